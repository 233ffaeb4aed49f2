"""Names of tables and columns as SQL."""


def quoted(name: str) -> str:
    """Write a name as SQL.

    Examples
    --------
    >>> quoted("clicks#1")
    '"clicks#1"'
    """
    return '"' + name.replace('"', '""') + '"'


def fitting(name: str, end: str = "", *, limit: int = 63) -> str:
    """Cut a name so that it and its end take no more bytes of UTF-8 than a database allows.

    Examples
    --------
    >>> fitting("clicks", "#1"), fitting("é" * 40, "#17", limit=10)
    ('clicks#1', 'ééé#17')
    """
    room = limit - len(end.encode())
    return name.encode()[:room].decode(errors="ignore") + end

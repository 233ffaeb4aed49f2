"""Where things lie in an archive: the names of its files, and what they mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_PARTITION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+@-]{0,127}")


def folder_of(url: str | Path) -> Path:
    """Tell which folder an archive's URL means.

    Parameters
    ----------
    url
        A path, or ``file:///absolute/path`` with percent-escapes.

    Raises
    ------
    ValueError
        The URL is of another kind, or names a host.

    Examples
    --------
    >>> str(folder_of("file:///var/my%20beacons"))
    '/var/my beacons'
    """
    text = str(url)
    if "://" not in text:
        return Path(text).absolute()
    parts = urlsplit(text)
    if parts.scheme != "file":
        raise ValueError(
            f"no archive can be kept at {parts.scheme}://…: "
            "name a folder, as a path or as file:///absolute/path"
        )
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ValueError("a file URL has three slashes: file:///absolute/path")
    return Path(unquote(parts.path))


def checked(partition: str) -> str:
    """Return the name of a partition if it can be a file name anywhere.

    Raises
    ------
    ValueError
        It is empty or too long, or holds other characters than letters, digits and ``._=+@-``.
    """
    if not _PARTITION.fullmatch(partition):
        raise ValueError(
            f"{partition!r} cannot name a partition: "
            "use up to 128 letters, digits and ._=+@-, beginning with a letter or digit"
        )
    return partition


def claim(partition: str, epoch: int) -> str:
    """Name the file that claims an epoch.

    >>> claim("clicks", 3)
    'epochs/clicks/00000003.json'
    """
    return f"epochs/{checked(partition)}/{epoch:08d}.json"


def segment(partition: str, epoch: int, sequence: int) -> str:
    """Name the file of a segment, or of the tombstone that fences it off.

    >>> segment("clicks", 3, 42)
    'segments/clicks/00000003/000000000042.arrow'
    """
    return f"segments/{checked(partition)}/{epoch:08d}/{sequence:012d}.arrow"


def expiry(partition: str, epoch: int, stop: int) -> str:
    """Name the mark that an epoch's segments below a sequence have expired.

    >>> expiry("clicks", 3, 42)
    'expired/clicks/00000003/000000000042.json'
    """
    return f"expired/{checked(partition)}/{epoch:08d}/{stop:012d}.json"


def lease(partition: str) -> str:
    """Name the file in which a partition's receiver shows that it lives.

    >>> lease("clicks")
    'leases/clicks.json'
    """
    return f"leases/{checked(partition)}.json"


def number_of(name: str, ending: str = "") -> int | None:
    """Read the number in the name of an epoch or a segment; None if it is a foreign file.

    >>> number_of("000000000042.arrow", ".arrow"), number_of("notes.txt", ".arrow")
    (42, None)
    """
    stem = name.removesuffix(ending)
    known = name.endswith(ending) and stem.isascii() and stem.isdigit()
    return int(stem) if known else None

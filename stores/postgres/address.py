"""The address of a store in a PostgreSQL database: the server's, and the name of a schema."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ..urls import redacted

NAMESPACE = "beaconfold"
LONGEST = 63
"""Bytes that PostgreSQL keeps of a name; it cuts off the rest without a word."""

# A server that is gone without saying so is noticed in a minute, not in hours.
DEFAULTS = {
    "application_name": "beaconfold",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "tcp_user_timeout": "60000",
}


@dataclass(frozen=True)
class PostgresAddress:
    """A URL, ``postgresql://user:password@host:port/database?namespace=NAME``.

    Parameters
    ----------
    url
        Other parameters than ``namespace`` go to libpq:
        https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS

    Raises
    ------
    ValueError
        If the URL or the namespace cannot be used.

    Examples
    --------
    >>> address = PostgresAddress("postgresql://me:secret@db/traffic?namespace=clicks")
    >>> address.namespace, str(address)
    ('clicks', 'postgresql://me:***@db/traffic?namespace=clicks')
    """

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        """Find what is wrong before anything is connected to."""
        size = len(self.namespace.encode())
        if not 0 < size <= LONGEST or "\0" in self.namespace or self.namespace.startswith("pg_"):
            raise ValueError(
                f"{self}: a namespace has 1 to {LONGEST} bytes, does not begin with 'pg_', "
                f"and {self.namespace!r} does not fit"
            )
        _ = self.parameters

    def __str__(self) -> str:
        return redacted(self.url)

    @cached_property
    def namespace(self) -> str:
        """Name of the schema."""
        given = [value for name, value in self._query if name == "namespace"]
        return unquote(given[-1]) if given else NAMESPACE

    @cached_property
    def parameters(self) -> dict[str, str]:
        """What libpq is told; may hold a password."""
        rest = "&".join(f"{name}={value}" for name, value in self._query if name != "namespace")
        try:
            found = conninfo_to_dict(f"{self.url.partition('?')[0]}?{rest}")
        except ProgrammingError as error:
            # libpq quotes what it stumbles over, which may be a piece of the password.
            pieces = re.split(r'"([^"]*)"', str(error).strip())
            pieces[1::2] = [f'"{each}"' if each in str(self) else "***" for each in pieces[1::2]]
            raise ValueError(f"{self}: {''.join(pieces)}") from None
        given = {name: str(value) for name, value in found.items()}
        place = f"{given.get('host', '')}{given.get('dbname', '')}"
        if "@" in place or not re.fullmatch(r"[0-9,]*", given.get("port", "")):
            raise ValueError(
                f"{self}: cannot tell user, password and host apart; within them write "
                "@ : / ? # % as %40 %3A %2F %3F %23 %25"
            )
        return {**DEFAULTS, **given}

    @property
    def conninfo(self) -> str:
        """The same as one text."""
        return make_conninfo(**self.parameters)

    def hide(self, text: str) -> str:
        """Return the first line of a message, without the password."""
        password = self.parameters.get("password")
        return text.strip().partition("\n")[0].replace(password or "\n", "***")

    @property
    def _query(self) -> list[tuple[str, str]]:
        parts = self.url.partition("?")[2].split("&")
        return [(name, value) for name, _, value in (part.partition("=") for part in parts if part)]

"""Addresses of Redis Streams: where the server is, and which stream is meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.retry import Retry

from .parameters import read_parameters

SCHEMES: Final = {"redis-stream": Connection, "rediss-stream": SSLConnection}
_PATIENCE: Final = {"socket_connect_timeout": 2.0, "socket_timeout": 5.0}
"""Seconds to wait for a connection and for a reply: shorter than a receiver's lease."""


@dataclass(frozen=True)
class RedisAddress:
    """A URL, taken apart.

    Parameters
    ----------
    host, port, database
        Where the stream is.
    stream
        The stream's key.
    tls
        Whether the connection is encrypted.
    user, password
        Who connects; None where the server asks for nobody.
    ca
        A file of certificates to trust, instead of the system's.

    Examples
    --------
    >>> address, rest = RedisAddress.of("redis-stream://me:s3cret@host/2?stream=clicks&a=1",
    ...                                 {"a": int})
    >>> str(address), address.port, rest
    ('redis-stream://host:6379/2?stream=clicks', 6379, {'a': 1})
    """

    host: str
    port: int
    database: int
    stream: str
    tls: bool = False
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca: str | None = None

    @classmethod
    def of(
        cls, url: str, known: Mapping[str, Callable[[str], Any]]
    ) -> tuple[RedisAddress, dict[str, Any]]:
        """Take a URL apart: its address, and its parameters of other names.

        Raises
        ------
        ValueError
            It is no such URL; the message does not show the password.
        """
        scheme = url.partition("://")[0]
        own: dict[str, Callable[[str], Any]] = {"stream": str}
        if scheme == "rediss-stream":
            own["ca"] = str
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 6379
            database = int(parts.path.strip("/") or 0)
        except ValueError:
            # The cause is left out: it may quote a part of the password.
            raise ValueError(
                f"a {scheme} URL is {scheme}://user:password@host:6379/0?stream=NAME: the port and "
                "the database are numbers, special characters are written as %XX"
            ) from None
        parameters = read_parameters(parts.query, {**own, **known}, scheme)
        if not host or database < 0 or parts.fragment:
            raise ValueError(f"name the server: {scheme}://host:6379/0?stream=NAME")
        if not parameters.get("stream"):
            raise ValueError(f"name the stream: {scheme}://{host}:{port}/{database}?stream=NAME")
        address = cls(
            host,
            port,
            database,
            parameters.pop("stream"),
            scheme == "rediss-stream",
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            parameters.pop("ca", None),
        )
        return address, parameters

    def __str__(self) -> str:
        scheme = "rediss-stream" if self.tls else "redis-stream"
        return f"{scheme}://{self.host}:{self.port}/{self.database}?stream={self.stream}"

    def connection(self) -> Connection:
        """Make a connection, which opens when it is first used."""
        options: dict[str, Any] = {
            **_PATIENCE,
            "host": self.host,
            "port": self.port,
            "db": self.database,
            "username": self.user,
            "password": self.password,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
        }
        if self.tls:
            return SSLConnection(**options, ssl_ca_certs=self.ca)
        return Connection(**options)

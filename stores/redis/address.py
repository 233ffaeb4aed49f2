"""Addresses of stores on Redis: what is ours in a URL, and what the client library takes."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from redis.connection import ConnectionPool, parse_url
from redis.exceptions import RedisError

from ..urls import redacted

NAMESPACE = "beaconfold"
SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "redis+unix": "unix",
    "redis+cluster": "redis",
    "rediss+cluster": "rediss",
}
PATIENCE = {"socket_connect_timeout": 5.0, "socket_timeout": 30.0}
"""Seconds to wait for a connection and for a reply, unless the URL says otherwise."""

MANY = 10_000
"""Connections at once: as many as there are threads, which do not wait for each other."""


class RedisAddress:
    """A URL, taken apart.

    Parameters
    ----------
    url
        ``redis://user:password@host:port/db``, ``rediss://`` (TLS), ``redis+unix:///path.sock``,
        ``redis+cluster://host:port``, ``rediss+cluster://``. ``?namespace=`` names the store among
        several on one server; other parameters are those of redis-py, such as ``ssl_ca_certs``.

    Attributes
    ----------
    url
        The address, valid in any working directory.
    shown
        The same without its password, for messages.
    namespace
        What all keys of the store begin with.
    cluster
        Whether the server is one node of a Redis Cluster.
    options
        What redis-py's pool of connections takes.

    Raises
    ------
    ValueError
        If it is no such URL; the message does not show the password.

    Examples
    --------
    >>> address = RedisAddress("redis://me:secret@db.example:6380/2?namespace=clicks")
    >>> address.namespace, address.options["host"], address.options["db"]
    ('clicks', 'db.example', 2)
    >>> address.shown
    'redis://me:***@db.example:6380/2?namespace=clicks'
    """

    def __init__(self, url: str) -> None:
        scheme, separator, rest = url.partition("://")
        self.shown = redacted(url)
        if not separator or scheme not in SCHEMES:
            known = ", ".join(f"{each}://" for each in SCHEMES)
            raise ValueError(f"{self.shown} is no address of Redis: known are {known}")
        self.cluster = scheme.endswith("+cluster")
        try:
            parts = urlsplit(f"{SCHEMES[scheme]}://{rest}")
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            self.namespace = query.pop("namespace", NAMESPACE)
            path = parts.path
            if parts.scheme == "unix":
                path = quote(str(Path(unquote(path)).absolute()))
                url = url.replace(f"{parts.netloc}{parts.path}", f"{parts.netloc}{path}", 1)
            place = f"{parts.scheme}://{parts.netloc}{path}"
            parse_url(place)
            valid = all(name.isidentifier() for name in query)
        except ValueError:
            valid = False
        if not valid:  # why is left out: it may quote a part of the password
            raise ValueError(
                f"{self.shown} is no valid URL: write special characters of user and password "
                "as %XX, and the port as a number"
            )
        for name, value in query.items():
            self._check(f"{parts.scheme}://?{urlencode({name: value})}", name)
        self.options: dict[str, Any] = {
            **PATIENCE,
            "max_connections": MANY,
            **parse_url(f"{place}?{urlencode(query)}"),
            "protocol": 2,
            "decode_responses": False,
        }
        self.url = url
        if not re.fullmatch(r"[A-Za-z0-9._:-]+", self.namespace):
            raise ValueError(f"{self.shown}: a namespace has letters, digits and . _ : - only")
        if self.cluster and self.options.get("db"):
            raise ValueError(f"{self.shown}: a cluster has one database only, number 0")

    def _check(self, url: str, name: str) -> None:
        """Find out whether redis-py takes a setting with its value."""
        try:
            ConnectionPool.from_url(url).make_connection()
        except TypeError:
            raise ValueError(f"{self.shown}: redis-py knows no setting {name} here") from None
        except (ValueError, RedisError):
            raise ValueError(f"{self.shown}: the setting {name} cannot have this value") from None

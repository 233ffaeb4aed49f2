"""Addresses of a RabbitMQ broker: who connects to where, over TLS or not."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from .parameters import read_parameters

_PORTS: Final = {
    "rabbitmq-stream": 5552,
    "rabbitmq-stream+tls": 5551,
    "amqp": 5672,
    "amqps": 5671,
}
_TLS: Final = {"rabbitmq-stream+tls", "amqps"}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._=+@-]+")


@dataclass(frozen=True)
class RabbitAddress:
    """A broker and a virtual host in it.

    Parameters
    ----------
    scheme
        How it is spoken to.
    host, port
        Where it is.
    vhost
        The virtual host.
    user, password
        Who connects; the broker knows a guest until it is told otherwise.
    ca, certificate, key
        Files: who to trust instead of the system's authorities, and who we are, over TLS.

    Examples
    --------
    >>> url = "amqp://me:s3cret@host/clicks%2Fall?queue=q"
    >>> address, path, rest = RabbitAddress.of(url, {"queue": str})
    >>> str(address), address.vhost, path, rest
    ('amqp://host:5672/clicks/all', 'clicks/all', [], {'queue': 'q'})
    """

    scheme: str
    host: str
    port: int
    vhost: str
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @classmethod
    def of(
        cls, url: str, known: Mapping[str, Callable[[str], Any]], *, names: int = 0
    ) -> tuple[RabbitAddress, list[str], dict[str, Any]]:
        """Take a URL apart: the address, the names that end its path, and other parameters.

        Parameters
        ----------
        url
            ``scheme://user:password@host:port/vhost/name?parameters``; everything may be
            percent-encoded, and the virtual host ``/`` may be left out.
        known
            How to read each parameter that there is, beside those of TLS.
        names
            How many names follow the virtual host in the path.

        Raises
        ------
        ValueError
            It is no such URL; the message does not show the password.
        """
        scheme = url.partition("://")[0]
        form = f"{scheme}://user:password@host:{_PORTS[scheme]}/vhost{'/name' * names}"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _PORTS[scheme]
        except ValueError:
            # The cause is left out: it may quote a part of the password.
            raise ValueError(
                f"a {scheme} URL is {form}: special characters are written as %XX"
            ) from None
        path = [unquote(each) for each in parts.path.strip("/").split("/") if each]
        if not host or not names <= len(path) <= names + 1:
            raise ValueError(f"a {scheme} URL is {form}; a slash in a name is written as %2F")
        own = dict.fromkeys(("ca", "certificate", "key") if scheme in _TLS else (), str)
        parameters = read_parameters(parts.query, {**own, **known}, scheme)
        files = {name: parameters.pop(name) for name in own if name in parameters}
        who = {
            name: unquote(text)
            for name, text in [("user", parts.username), ("password", parts.password)]
            if text is not None
        }
        vhost = path.pop(0) if len(path) > names else "/"
        return cls(scheme, host, port, vhost, **who, **files), path, parameters

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/{self.vhost.strip('/')}"

    def tls(self) -> ssl.SSLContext | None:
        """Make the context of an encrypted connection; None if it is not encrypted.

        Raises
        ------
        OSError
            A file of certificates cannot be read.
        """
        if self.scheme not in _TLS:
            return None
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


def partition_name(kind: str, vhost: str, name: str, incarnation: str = "") -> str:
    """Name a stream or a queue in the archive: readable, and unlike all others.

    Examples
    --------
    >>> partition_name("amqp", "/", "clicks & more")
    'amqp-clicks-more-876fea5d9d'
    """
    digest = hashlib.sha256(f"{vhost}\0{name}".encode()).hexdigest()[:10]
    readable = _UNSAFE.sub("-", name).strip("-")[:64]
    return "-".join(part for part in [kind, readable, digest, incarnation] if part)

"""Which publisher a URL means."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final
from urllib.parse import unquote

from .file import FilePublisher
from .publisher import Publisher


def open_publisher(url: str) -> Publisher:
    """Open a publisher of beacons.

    Parameters
    ----------
    url
        As a source's, see `beaconfold.pipelines.sources.open_source`: a path or
        ``file:///absolute/path``; ``redis-stream://host:6379/0?stream=beacons``.

    Raises
    ------
    ValueError
        The URL is of an unknown kind, or cannot be read.
    OSError
        What it means cannot be reached or written.

    Examples
    --------
    >>> open_publisher("gopher://beacons")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: beacons cannot be sent to gopher://…: use ...
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _path(url)
    if scheme == "file":
        return _file(rest)
    if scheme not in _KINDS:
        kinds = ", ".join(sorted(["file", *_KINDS]))
        raise ValueError(f"beacons cannot be sent to {scheme}://…: use {kinds}")
    module, name, library, extra = _KINDS[scheme]
    try:
        kind: Callable[[str], Publisher] = getattr(import_module(module, __package__), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != library:
            raise
        message = f"{scheme}:// needs {library}: pip install 'beaconfold[{extra}]'"
        raise ValueError(message) from None
    return kind(url)


def _path(path: str) -> Publisher:
    if not path:
        raise ValueError("name the file that the beacons go to")
    return FilePublisher(path)


def _file(rest: str) -> Publisher:
    path = rest.removeprefix("localhost")
    if not path.startswith("/"):
        raise ValueError("a file URL has three slashes: file:///absolute/path")
    return _path(unquote(path))


_KINDS: Final[dict[str, tuple[str, str, str, str]]] = {
    "amqp": (".amqp", "AmqpPublisher", "pika", "rabbitmq"),
    "amqps": (".amqp", "AmqpPublisher", "pika", "rabbitmq"),
    "rabbitmq-stream": (".rabbitmq_stream", "RabbitStreamPublisher", "rstream", "rabbitmq"),
    "rabbitmq-stream+tls": (".rabbitmq_stream", "RabbitStreamPublisher", "rstream", "rabbitmq"),
    "http": (".http", "HttpPublisher", "", ""),
    "https": (".http", "HttpPublisher", "", ""),
    "redis-stream": (".redis_stream", "RedisStreamPublisher", "redis", "redis"),
    "rediss-stream": (".redis_stream", "RedisStreamPublisher", "redis", "redis"),
}
"""Schemes: the module, the class in it (which takes the URL), its library, and the extra."""

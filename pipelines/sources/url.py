"""Which source a URL means."""

# ruff: noqa: PLC0415 - a broker's library is imported when a source of its kind is opened

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

from ...stores.clock import Clock, SystemClock
from ...stores.times import parse_duration, parse_instant
from .beacons import Beacons
from .file import FileSource
from .parameters import number, one_of, read_parameters
from .source import Source
from .stdin import StdinSource
from .synthetic import SyntheticSource

# A question mark may also be part of a glob: it begins a query if a parameter follows.
_QUERY: Final = re.compile(r"\?(?=[A-Za-z_]+=)")


def open_source(url: str, *, clock: Clock | None = None) -> Source:
    """Open a source of beacons.

    Parameters
    ----------
    url
        ``file:///path/*.log.gz``, a plain path, a glob or a folder, each with ``?identity=path``
        if files begin alike, or ``?follow=true`` to read them on as they grow; ``stdin://``;
        ``synthetic://?rate=1000&seed=0&count=…&publishers=100``
        ``&users=10000&start=…&malformed=0.01&disorder=5s``, where ``rate=max`` is unpaced;
        ``http://0.0.0.0:8080?name=…&paths=/b,/i&wait=5s&max_rows=…&max_bytes=…&max_body=…``, a
        collector that listens there;
        ``redis-stream://user:password@host:6379/0?stream=…&field=…&batch=one``, ``rediss-stream://``.
    clock
        Paces the source, where it is one that has a pace.

    Raises
    ------
    ValueError
        The URL is of an unknown kind, or has a parameter that is unknown or cannot be read.

    Examples
    --------
    >>> open_source("synthetic://?rate=max&seed=7").beacons.seed
    7
    >>> open_source("file:///var/log/beacons-?.log?identity=path").pattern
    '/var/log/beacons-?.log'
    >>> open_source("gopher://beacons")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: beacons cannot be read from gopher://…: use ...
    """
    place, query = url, ""
    if match := _QUERY.search(url):
        place, query = url[: match.start()], url[match.end() :]
    scheme, separator, rest = place.partition("://")
    if not separator:
        scheme, rest = "path", place
    if scheme not in _KINDS:
        kinds = ", ".join(sorted(kind for kind in _KINDS if kind != "path"))
        raise ValueError(f"beacons cannot be read from {scheme}://…: use {kinds}")
    return _KINDS[scheme](rest, query, clock or SystemClock())


def _path(rest: str, query: str, clock: Clock) -> Source:
    if not rest:
        raise ValueError("name the file, the glob or the folder that the beacons are in")
    known = {"identity": one_of("content", "path"), "follow": one_of("true", "false")}
    parameters = read_parameters(query, known, "file")
    identity, follow = parameters.get("identity", "content"), parameters.get("follow") == "true"
    if follow and identity == "path":
        raise ValueError("files that are followed are known by their content, as they are rotated")
    return FileSource(rest, identity, follow, clock)


def _file(rest: str, query: str, clock: Clock) -> Source:
    if not rest.removeprefix("localhost").startswith("/"):
        raise ValueError("a file URL has three slashes: file:///absolute/path")
    return _path(unquote(rest.removeprefix("localhost")), query, clock)


def _amqp(rest: str, query: str, clock: Clock, *, tls: bool = False) -> Source:
    with _installed("pika", "rabbitmq"):
        from .amqp import AmqpSource
    return AmqpSource.of(f"{'amqps' if tls else 'amqp'}://{rest}?{query}", clock)


def _rabbitmq_stream(rest: str, query: str, clock: Clock, *, tls: bool = False) -> Source:
    with _installed("rstream", "rabbitmq"):
        from .rabbitmq_stream import RabbitStreamSource
    scheme = "rabbitmq-stream+tls" if tls else "rabbitmq-stream"
    return RabbitStreamSource.of(f"{scheme}://{rest}?{query}", clock)


def _redis_stream(rest: str, query: str, clock: Clock, *, tls: bool = False) -> Source:
    with _installed("redis", "redis"):
        from .redis_stream import RedisStreamSource
    scheme = "rediss-stream" if tls else "redis-stream"
    return RedisStreamSource.of(f"{scheme}://{rest}?{query}", clock)


def _http(rest: str, query: str, clock: Clock) -> Source:
    with _installed("granian", "http"):
        from .http import HttpSource
    return HttpSource.of(rest, query, clock)


def _stdin(rest: str, query: str, clock: Clock) -> Source:
    del clock
    _no_place(rest, "stdin")
    read_parameters(query, {}, "stdin")
    return StdinSource()


def _synthetic(rest: str, query: str, clock: Clock) -> Source:
    _no_place(rest, "synthetic")
    parameters = read_parameters(query, {**_BEACONS, **_PACE}, "synthetic")
    beacons = {name: value for name, value in parameters.items() if name in _BEACONS}
    pace = {name: value for name, value in parameters.items() if name in _PACE}
    return SyntheticSource(Beacons(**beacons), **pace, clock=clock)


@contextmanager
def _installed(library: str, extra: str) -> Iterator[None]:
    """Say what to install where a source's library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != library:
            raise
        message = f"this source needs {library}: pip install 'beaconfold[{extra}]'"
        raise ValueError(message) from None


def _no_place(rest: str, scheme: str) -> None:
    if rest.strip("/?"):
        raise ValueError(
            f"nothing but parameters can follow {scheme}://, as {scheme}://?name=value"
        )


def _rate(text: str) -> float:
    return 0.0 if text == "max" else float(number(0, float)(text))


def _seconds(text: str) -> float:
    return 0.0 if text in {"0", "0s"} else parse_duration(text) / 1e6


_BEACONS: Final[dict[str, Callable[[str], Any]]] = {
    "seed": number(0),
    "publishers": number(1),
    "users": number(1),
    "malformed": number(0, float, most=1),
    "disorder": _seconds,
}
_PACE: Final[dict[str, Callable[[str], Any]]] = {
    "rate": _rate,
    "count": number(0),
    "start": parse_instant,
}
_KINDS: Final[dict[str, Callable[[str, str, Clock], Source]]] = {
    "path": _path,
    "file": _file,
    "http": _http,
    "stdin": _stdin,
    "amqp": _amqp,
    "amqps": partial(_amqp, tls=True),
    "rabbitmq-stream": _rabbitmq_stream,
    "rabbitmq-stream+tls": partial(_rabbitmq_stream, tls=True),
    "redis-stream": _redis_stream,
    "rediss-stream": partial(_redis_stream, tls=True),
    "synthetic": _synthetic,
}

"""Stores by address."""

# ruff: noqa: PLC0415 - a server's library is imported when a store of its kind is opened

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .backend import Backend
from .clock import Clock, SystemClock
from .errors import StoreError
from .memory import MemoryBackend
from .redaction import redacted
from .sqlite import SQLiteBackend
from .store import MergeableStore

Opener = Callable[[str, int | None], Backend]
"""From a URL and a number of shards, or None for the store's own, to a backend."""


def _memory(url: str, shards: int | None) -> Backend:
    return MemoryBackend(url.removeprefix("memory://"), shards)


def _sqlite(url: str, shards: int | None) -> Backend:
    path = url.removeprefix("sqlite:///")
    if path in ("", url, ":memory:"):
        raise ValueError(
            "a SQLite store needs a file: sqlite:///beacons.db, or sqlite:////path/beacons.db"
        )
    return SQLiteBackend(path, shards)


def _redis(url: str, shards: int | None) -> Backend:
    with _installed("redis", "redis", "hiredis"):
        from .redis import RedisBackend
    return RedisBackend(url, shards)


def _postgres(url: str, shards: int | None) -> Backend:
    with _installed("postgres", "psycopg"):
        from .postgres import PostgresBackend
    return PostgresBackend(url, shards)


@contextmanager
def _installed(extra: str, *libraries: str) -> Iterator[None]:
    """Say what to install where a store's library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in libraries:
            raise
        raise StoreError(f"this store needs {missing}: pip install 'beaconfold[{extra}]'") from None


__all__ = ["OPENERS", "open_store", "redacted"]

OPENERS: dict[str, Opener] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "rediss": _redis,
    "redis+unix": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
    "postgresql": _postgres,
}
"""Schemes that `open_store` knows; a backend of your own can be added."""


def open_store(
    url: str, *, shards: int | None = None, clock: Clock | None = None
) -> MergeableStore:
    """Open a store, and make it if it is not there.

    Parameters
    ----------
    url
        ``memory://`` (new each time), ``memory://name`` (the same in this process), or
        ``sqlite:///relative.db`` and ``sqlite:////absolute/path.db``;
        ``redis://user:password@host:6379/0``, ``rediss://`` (TLS), ``redis+unix:///path.sock``,
        ``redis+cluster://host:port``; ``postgresql://user:password@host:5432/database``. Several
        stores share a server under names of their own: ``?namespace=clicks``.
    shards
        Number of shards of a store that is made, 64 by default.
    clock
        Dates rows, and waits between attempts.

    Raises
    ------
    ValueError
        If the kind of URL is unknown, or no file is named.
    FileNotFoundError
        If the folder of a file does not exist.
    StoreLayoutError
        If something else is at the address, or the store has another number of shards.

    Examples
    --------
    >>> open_store("memory://").shards
    64
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in OPENERS:
        known = ", ".join(f"{name}://" for name in OPENERS)
        raise ValueError(f"unknown kind of store {redacted(url)!r}: known are {known}")
    return MergeableStore(OPENERS[scheme](url, shards), clock or SystemClock())

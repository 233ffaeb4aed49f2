"""Stores by address."""

import re
from collections.abc import Callable

from .backend import Backend
from .clock import Clock, SystemClock
from .memory import MemoryBackend
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


OPENERS: dict[str, Opener] = {"memory": _memory, "sqlite": _sqlite}
"""Schemes that `open_store` knows; a backend of your own can be added."""


def open_store(
    url: str, *, shards: int | None = None, clock: Clock | None = None
) -> MergeableStore:
    """Open a store, and make it if it is not there.

    Parameters
    ----------
    url
        ``memory://`` (new each time), ``memory://name`` (the same in this process), or
        ``sqlite:///relative.db`` and ``sqlite:////absolute/path.db``.
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


def redacted(url: str) -> str:
    """Write a URL without its passwords, fit for logs and messages.

    Examples
    --------
    >>> redacted("redis://me:secret@host/0?password=secret&db=1")
    'redis://me:***@host/0?password=***&db=1'
    """
    url = re.sub(r"://([^/?#@:]*):.*@", r"://\1:***@", url)
    return re.sub(r"([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&#]*", r"\1***", url)

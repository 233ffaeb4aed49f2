"""A store with a cache in front."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from threading import Lock

from ..clock import Clock, SystemClock
from ..times import parse_duration
from .store import K, KeyedStore, V


class CachedStore(KeyedStore[K, V]):
    """A read-through cache: what was read lately is not read again for a while.

    The least recently used keys go first. Absent keys are remembered as well. A write through this
    store, failed ones included, makes it forget the key; a write elsewhere shows after ``ttl`` at
    the latest. Any number of threads may share it: a read that a write overtakes is not kept.

    Cached values are handed out as they are: do not change one in place.

    Parameters
    ----------
    store
        Holds the values.
    capacity
        Number of keys to remember, absent ones included.
    ttl
        How long a key is remembered at most: ``"30s"``, ``"5m"``; None for ever.
    clock
        Tells how long it has been.

    Raises
    ------
    ValueError
        If the capacity is not positive, or ``ttl`` no duration.

    Examples
    --------
    >>> import polars as pl
    >>> from beaconfold.monoids import Sum
    >>> from beaconfold.stores.keyed import MemoryStore
    >>> slow = MemoryStore("memory://", namespace="clicks", value=Sum(dtype=pl.Int64))
    >>> clicks = CachedStore(slow, capacity=1000, ttl="30s")
    >>> clicks.get("p1")
    >>> slow.put("p1", 3)
    >>> clicks.get("p1"), clicks.merge("p1", 2), clicks.get("p1")
    (None, 3, 5)
    """

    def __init__(
        self,
        store: KeyedStore[K, V],
        *,
        capacity: int = 10_000,
        ttl: str | timedelta | None = "30s",
        clock: Clock | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity={capacity}: a cache holds at least one key")
        self.store, self.capacity, self.clock = store, capacity, clock or SystemClock()
        self.ttl = float("inf") if ttl is None else parse_duration(ttl) / 1e6
        self._lock = Lock()
        self._held: OrderedDict[K, tuple[V | None, float]] = OrderedDict()
        self._reading: dict[K, object] = {}
        """The latest read of each key that is on its way; a write takes it out."""

    def multi_get(self, keys: Iterable[K]) -> dict[K, V | None]:
        """Return what is remembered, and read the rest."""
        wanted, this_read = list(dict.fromkeys(keys)), object()
        with self._lock:
            now = self.clock.monotonic()
            found = {key: self._held[key][0] for key in wanted if self._fresh(key, now)}
            missing = [key for key in wanted if key not in found]
            self._reading.update(dict.fromkeys(missing, this_read))
        if not missing:
            return found
        read: dict[K, V | None] = {}
        try:
            read = self.store.multi_get(missing)
        finally:
            with self._lock:
                for key in missing:
                    if self._reading.get(key) is this_read:
                        del self._reading[key]
                        if key in read:
                            self._held[key] = read[key], now + self.ttl
                while len(self._held) > self.capacity:
                    self._held.popitem(last=False)
        return {key: found[key] if key in found else read[key] for key in wanted}

    def multi_put(self, values: Mapping[K, V | None]) -> None:
        """Write through, and forget the keys."""
        try:
            self.store.multi_put(values)
        finally:
            self._invalidate(values)

    def multi_merge(self, values: Mapping[K, V], once: str | None = None) -> dict[K, V | None]:
        """Write through, and forget the keys."""
        try:
            return self.store.multi_merge(values, once)
        finally:
            self._invalidate(values)

    def forget(self, older_than: str | timedelta) -> int:
        """Delete old tokens of the store."""
        return self.store.forget(older_than)

    def close(self) -> None:
        """Forget all keys, and close the store."""
        with self._lock:
            self._held.clear()
            self._reading.clear()
        self.store.close()

    def _fresh(self, key: K, now: float) -> bool:
        """Say whether a key is remembered, and note that it was asked for."""
        if key not in self._held:
            return False
        if self._held[key][1] <= now:
            del self._held[key]
            return False
        self._held.move_to_end(key)
        return True

    def _invalidate(self, keys: Collection[K]) -> None:
        with self._lock:
            for key in keys:
                self._held.pop(key, None)
                self._reading.pop(key, None)

"""A store under other keys."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Generic, TypeVar

from .store import K, KeyedStore, V

Inner = TypeVar("Inner")


class MappedKeys(KeyedStore[K, V], Generic[K, Inner, V]):
    """A store whose keys are written another way: Storehaus's ``composeKeyMapping``.

    Parameters
    ----------
    store
        Holds the values.
    to, back
        From a key to a key of that store, and back: no two keys may become one. What does not come
        back as it went is refused before anything is read or written.

    Examples
    --------
    >>> import polars as pl
    >>> from beaconfold.monoids import Sum
    >>> from beaconfold.stores.keyed import MemoryStore
    >>> text = MemoryStore("memory://", namespace="clicks", value=Sum(dtype=pl.Int64))
    >>> clicks = MappedKeys(text, to="/".join, back=lambda path: tuple(path.split("/")))
    >>> clicks.put(("p1", "mobile"), 3)
    >>> text.get("p1/mobile")
    3
    >>> clicks.get(("p1/mobile",))
    Traceback (most recent call last):
    ValueError: the key ('p1/mobile',) comes back as ('p1', 'mobile') from 'p1/mobile'
    """

    def __init__(
        self, store: KeyedStore[Inner, V], to: Callable[[K], Inner], back: Callable[[Inner], K]
    ) -> None:
        self.store, self.to, self.back = store, to, back

    def multi_get(self, keys: Iterable[K]) -> dict[K, V | None]:
        """Look up keys under their other names."""
        inner = self._inner(keys)
        found = self.store.multi_get(inner.values())
        return {key: found[each] for key, each in inner.items()}

    def multi_put(self, values: Mapping[K, V | None]) -> None:
        """Set keys under their other names."""
        inner = self._inner(values)
        self.store.multi_put({inner[key]: value for key, value in values.items()})

    def multi_merge(self, values: Mapping[K, V], once: str | None = None) -> dict[K, V | None]:
        """Merge into keys under their other names."""
        inner = self._inner(values)
        before = self.store.multi_merge({inner[key]: each for key, each in values.items()}, once)
        return {key: before[each] for key, each in inner.items()}

    def forget(self, older_than: str | timedelta) -> int:
        """Delete old tokens of the store."""
        return self.store.forget(older_than)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _inner(self, keys: Iterable[K]) -> dict[K, Inner]:
        inner = {key: self.to(key) for key in keys}
        for key, each in inner.items():
            if (returned := self.back(each)) != key:
                raise ValueError(f"the key {key!r} comes back as {returned!r} from {each!r}")
        return inner

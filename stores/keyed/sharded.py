"""One store made of several."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta

import polars as pl

from ...monoids.dtypes import as_dtype
from ..keys import Keys, shard_of
from .exact import exact
from .inputs import DataType
from .namespace import KEY
from .store import K, KeyedStore, V


class ShardedStore(KeyedStore[K, V]):
    """Several stores, each with the keys that a stable hash gives it: more room, more servers.

    The hash is that of `beaconfold.stores.keys`, other bits of it than the stores themselves use to
    spread keys. **The order and the number of the stores are part of the address**: give the same
    ones in the same order, always.

    A merge goes through the stores one after the other. Where one fails, those before it have
    merged their keys, and those after it none; a note on the exception says which. With a token,
    merge the same again; without one, merge ``split(values)`` of the other stores.

    Parameters
    ----------
    stores
        At least one.
    key
        Data type of keys.

    Raises
    ------
    ValueError
        If there is no store.
    TypeError
        If keys of that data type have no stable text.

    Examples
    --------
    >>> from beaconfold.monoids import Sum
    >>> from beaconfold.stores.keyed import MemoryStore
    >>> total = Sum(dtype=pl.Int64)
    >>> parts = [MemoryStore("memory://", namespace="clicks", value=total) for _ in range(2)]
    >>> clicks = ShardedStore(parts)
    >>> clicks.multi_merge({"p1": 1, "p3": 3}, once="batch-1")
    {'p1': None, 'p3': None}
    >>> [part.multi_get(["p1", "p3"]) for part in parts]
    [{'p1': 1, 'p3': None}, {'p1': None, 'p3': 3}]
    """

    def __init__(self, stores: Sequence[KeyedStore[K, V]], key: DataType = pl.String) -> None:
        if not stores:
            raise ValueError("a sharded store needs at least one store")
        self.stores = list(stores)
        self._keys = Keys({KEY: as_dtype(key)})

    def split(self, keys: Iterable[K]) -> list[list[K]]:
        """Part keys by the store that holds them, in the order of the stores."""
        wanted = list(dict.fromkeys(keys))
        texts = self._keys.encode(exact(KEY, wanted, self._keys.schema[KEY]).to_frame())
        # The lowest bits choose the shard within a store: with them, each would use few of its own.
        numbers = shard_of(texts, len(self.stores) << 32) // 2**32
        parts: list[list[K]] = [[] for _ in self.stores]
        for key, number in zip(wanted, numbers, strict=True):
            parts[number].append(key)
        return parts

    def multi_get(self, keys: Iterable[K]) -> dict[K, V | None]:
        """Look keys up where they are."""
        wanted, found = list(dict.fromkeys(keys)), {}
        for store, part in zip(self.stores, self.split(wanted), strict=True):
            found.update(store.multi_get(part) if part else {})
        return {key: found[key] for key in wanted}

    def multi_put(self, values: Mapping[K, V | None]) -> None:
        """Set keys where they are; where it fails, do it again."""
        for store, part in zip(self.stores, self.split(values), strict=True):
            if part:
                store.multi_put({key: values[key] for key in part})

    def multi_merge(self, values: Mapping[K, V], once: str | None = None) -> dict[K, V | None]:
        """Merge into keys where they are, store after store."""
        before: dict[K, V | None] = {}
        for number, part in enumerate(self.split(values)):
            if not part:
                continue
            try:
                before |= self.stores[number].multi_merge({key: values[key] for key in part}, once)
            except Exception as error:
                error.add_note(
                    f"in store {number} of {len(self.stores)}: those before it have merged "
                    f"{len(before)} keys, those after it none; see ShardedStore.split()"
                )
                raise
        return {key: before[key] for key in values}

    def forget(self, older_than: str | timedelta) -> int:
        """Delete old tokens of all stores."""
        return sum(store.forget(older_than) for store in self.stores)

    def close(self) -> None:
        """Close all stores."""
        with ExitStack() as stack:
            for store in self.stores:
                stack.callback(store.close)

"""The trait of a store by key: get, put, merge, and their many-forms."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Generic, Self, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class KeyedStore(ABC, Generic[K, V]):
    """Values by key, merged by a monoid: Storehaus's ``MergeableStore[K, V]``.

    Whoever makes one writes the many-forms; the others are written once in terms of them. Keys are
    hashable. None stands for "no value" and is never a value: to put it deletes.
    `beaconfold.stores.testing.KeyedStoreContract` checks every promise made here.

    A merge with a *token* is made once: a second merge into the same key with the same token
    changes nothing, and returns what the first one did. So it can be repeated after any failure.

    References
    ----------
    Twitter's Storehaus, ``com.twitter.storehaus.algebra.MergeableStore``.

    Examples
    --------
    >>> import polars as pl
    >>> from beaconfold.monoids import Sum
    >>> from beaconfold.stores.keyed import MemoryStore
    >>> with MemoryStore("memory://", namespace="clicks", value=Sum(dtype=pl.Int64)) as clicks:
    ...     clicks.merge("p1", 2), clicks.merge("p1", 3), clicks.get("p1")
    (None, 2, 5)
    """

    @abstractmethod
    def multi_get(self, keys: Iterable[K]) -> dict[K, V | None]:
        """Return the value of each key, None where there is none."""

    @abstractmethod
    def multi_put(self, values: Mapping[K, V | None]) -> None:
        """Set each key to its value, whatever it held; None deletes."""

    @abstractmethod
    def multi_merge(self, values: Mapping[K, V], once: str | None = None) -> dict[K, V | None]:
        """Add each value to its key's, each key atomically, and return the values before.

        Parameters
        ----------
        values
            What to add.
        once
            A token that names this merge: for each key, only the first with it is made.

        Raises
        ------
        MergeUncertain
            If the store went away before it answered, and there is no token to try again with.
        CellError
            If a total overflows; the message names its key.
        """

    @abstractmethod
    def forget(self, older_than: str | timedelta) -> int:
        """Delete the tokens of merges made longer ago than this, and return how many.

        Tokens stay until they are forgotten. A merge that is repeated afterwards is made again, so
        keep them for longer than anybody tries.

        Parameters
        ----------
        older_than
            A duration: ``"7d"``, ``"12h"``.
        """

    @abstractmethod
    def close(self) -> None:
        """Close connections; using the store again opens them anew."""

    def get(self, key: K) -> V | None:
        """Return a key's value, or None."""
        return self.multi_get([key])[key]

    def put(self, key: K, value: V | None) -> None:
        """Set a key to a value; None deletes it."""
        self.multi_put({key: value})

    def merge(self, key: K, value: V, once: str | None = None) -> V | None:
        """Add a value to a key's, and return the value before; see `multi_merge`."""
        return self.multi_merge({key: value}, once)[key]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

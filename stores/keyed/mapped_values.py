"""A store of other values."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Generic, TypeVar

from .store import K, KeyedStore, V

Inner = TypeVar("Inner")


class MappedValues(KeyedStore[K, V], Generic[K, Inner, V]):
    """A store whose values are written another way: Storehaus's ``convert``.

    Parameters
    ----------
    store
        Holds the values.
    to, back
        From a value to one of that store, for what is put or merged, and back, for what is read.
        Merging must mean the same on both sides: ``back(to(a) + to(b))`` is the sum of ``a`` and
        ``b``, as it is for units, not for logarithms.

    Examples
    --------
    >>> from decimal import Decimal
    >>> import polars as pl
    >>> from beaconfold.monoids import Sum
    >>> from beaconfold.stores.keyed import MemoryStore
    >>> cents = MemoryStore("memory://", namespace="revenue", value=Sum(dtype=pl.Int64))
    >>> revenue = MappedValues(
    ...     cents, to=lambda price: int(price * 100), back=lambda sum: Decimal(sum) / 100
    ... )
    >>> revenue.merge("p1", Decimal("1.25"))
    >>> revenue.merge("p1", Decimal("0.25"))
    Decimal('1.25')
    >>> cents.get("p1")
    150
    """

    def __init__(
        self, store: KeyedStore[K, Inner], to: Callable[[V], Inner], back: Callable[[Inner], V]
    ) -> None:
        self.store, self.to, self.back = store, to, back

    def multi_get(self, keys: Iterable[K]) -> dict[K, V | None]:
        """Return the values, mapped back."""
        return self._back(self.store.multi_get(keys))

    def multi_put(self, values: Mapping[K, V | None]) -> None:
        """Put the mapped values."""
        self.store.multi_put(
            {key: None if value is None else self.to(value) for key, value in values.items()}
        )

    def multi_merge(self, values: Mapping[K, V], once: str | None = None) -> dict[K, V | None]:
        """Merge the mapped values."""
        if None in values.values():
            raise TypeError("None is no value to merge; put(key, None) deletes")
        inner = {key: self.to(value) for key, value in values.items()}
        return self._back(self.store.multi_merge(inner, once))

    def forget(self, older_than: str | timedelta) -> int:
        """Delete old tokens of the store."""
        return self.store.forget(older_than)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _back(self, values: Mapping[K, Inner | None]) -> dict[K, V | None]:
        return {key: None if each is None else self.back(each) for key, each in values.items()}

"""Stores by key on any backend: the values of one aggregate, and the states behind them."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

import polars as pl

from ...monoids.aggregator import Aggregator
from ...monoids.dtypes import as_dtype
from ...monoids.monoid import Monoid
from ..backend import Backend
from ..clock import Clock, SystemClock
from ..keys import Keys
from ..store import MergeableStore
from ..urls import open_store, redacted
from .exact import exact
from .form import Form, States
from .inputs import DataType, Inputs
from .namespace import KEY, open_namespace
from .rows import KeyedRows, aligned
from .store import KeyedStore, V


class BackedStore(KeyedStore[Any, V]):
    """A store by key on the rows of a backend; keys are values of the namespace's data type.

    Parameters
    ----------
    rows
        The rows.
    form
        What Python values are to them.
    """

    def __init__(self, rows: KeyedRows, form: Form[V]) -> None:
        self.rows, self.form = rows, form

    def multi_get(self, keys: Iterable[Any]) -> dict[Any, V | None]:
        """Return the value of each key, None where there is none."""
        if not (wanted := list(dict.fromkeys(keys))):
            return {}
        texts = self._texts(wanted)
        return dict(zip(wanted, self.form.values(texts, self.rows.get(texts)), strict=True))

    def multi_put(self, values: Mapping[Any, V | None]) -> None:
        """Set each key to its value; None deletes."""
        if not values:
            return
        texts = self._texts(list(values))
        given = [value is not None for value in values.values()]
        there = texts.filter(pl.Series(given, dtype=pl.Boolean))
        states = self.form.states(there, [each for each in values.values() if each is not None])
        every = pl.DataFrame([there, states])
        self.rows.put(texts, aligned(texts, every))

    def multi_merge(self, values: Mapping[Any, V], once: str | None = None) -> dict[Any, V | None]:
        """Add each value to its key's, each key atomically, and return the values before."""
        if not values:
            return {}
        texts = self._texts(list(values))
        states = self.form.states(texts, list(values.values()))
        before = self.rows.merge(texts, states, once)
        return dict(zip(values, self.form.values(texts, before), strict=True))

    def forget(self, older_than: str | timedelta) -> int:
        """Delete old tokens, a few thousand at a time."""
        return self.rows.forget(older_than)

    def close(self) -> None:
        """Close the backend's connections."""
        self.rows.store.close()

    def _texts(self, keys: list[Any]) -> pl.Series:
        schema = self.rows.generation.keys
        return Keys(schema).encode(exact(KEY, keys, schema[KEY]).to_frame())


class ValueStore(BackedStore[Any]):
    """The values of one aggregate by key, in a namespace of any store.

    What is put or merged is an input of the aggregate, or a list, tuple or Polars series of inputs,
    folded at once; what comes back is its result. So ``HyperLogLog()`` takes text and gives
    numbers. A value of a `Monoid` is its own input and result; a list is then one value.

    A merge whose outcome is unknown raises `MergeUncertain`, unless it has a token, or merging
    twice is merging once (``Min``, ``HyperLogLog``): then it is tried again, and what it returns
    may, without a token, already hold it.

    A call costs milliseconds, a key of it microseconds: give many at a time. Keys are merged by
    shard, each shard at once. Where a merge of many keys fails, some shards may have merged theirs:
    merge the same again with the same token.

    Parameters
    ----------
    where
        Address of the store, as for `beaconfold.stores.open_store`, or a backend.
    namespace
        Name of these values among the jobs of that store: ``open_store(url).query(namespace)``
        reads them too.
    value
        What is kept for each key: ``Sum(dtype=pl.Int64)``, ``Count()``, ``Max(dtype=pl.Date)``,
        ``HyperLogLog()``, …, or a commutative `Monoid` over Python values, kept by its ``encode``
        and known by its class's name (``Lifted(monoid, version=…, …)`` says which version, too).
    key
        Data type of keys: text, integers, dates, …, not floats.
    inputs
        Data type of one input, where the aggregate does not say.
    shards
        Number of shards of a store that is made.
    clock
        Dates values and tokens, and waits between attempts.

    Raises
    ------
    ValueError
        If the namespace is no name, or the address unknown.
    TypeError
        If a data type does not fit.
    StoreLayoutError
        If the namespace holds something else: another aggregate or other keys.

    Examples
    --------
    >>> import tempfile
    >>> from beaconfold.monoids import HyperLogLog
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     users = ValueStore(f"sqlite:///{folder}/a.db", "users", HyperLogLog())
    ...     users.merge("p1", ["ann", "bob"], once="batch-1")
    ...     again = users.merge("p1", ["ann", "bob"], once="batch-1")
    ...     users.merge("p2", "ann")
    ...     {page: round(count) for page, count in users.multi_get(["p1", "p2"]).items()}
    ...     users.close()
    {'p1': 2, 'p2': 1}
    """

    schemes: ClassVar[tuple[str, ...]] = ()
    """The kinds of address that are taken; none for all."""

    def __init__(
        self,
        where: str | Backend,
        namespace: str,
        value: Aggregator | Monoid[Any],
        *,
        key: DataType = pl.String,
        inputs: DataType | None = None,
        shards: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        form = Inputs(value, inputs)
        if not isinstance(where, str):
            store = MergeableStore(where, clock or SystemClock())
        elif self.schemes and where.partition("://")[0] not in self.schemes:
            known = ", ".join(f"{scheme}://" for scheme in self.schemes)
            raise ValueError(f"{type(self).__name__} opens {known}, not {redacted(where)!r}")
        else:
            store = open_store(where, shards=shards, clock=clock)
        generation = open_namespace(store, namespace, as_dtype(key), form.product)
        super().__init__(KeyedRows(store, generation), form)

    @property
    def states(self) -> BackedStore[int | bytes]:
        """The same keys with their states in place of the results.

        States are integers or bytes, as the aggregate defines them: to move sketches from one
        store to another, or to merge what was folded elsewhere. Tokens are shared with this store.

        Examples
        --------
        >>> from beaconfold.monoids import HyperLogLog
        >>> here, there = (ValueStore("memory://", "users", HyperLogLog()) for _ in range(2))
        >>> here.merge("p1", ["ann", "bob"])
        >>> there.states.put("p1", here.states.get("p1"))
        >>> round(there.get("p1"))
        2
        """
        return BackedStore(self.rows, States(self.rows.state))

    def __repr__(self) -> str:
        rows = self.rows
        return f"{type(self).__name__}({redacted(rows.store.url)!r}, {rows.generation.job!r})"

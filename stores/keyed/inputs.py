"""The inputs of one aggregate, and its results: what goes into a store by key, and comes out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from ...monoids.aggregator import Aggregator
from ...monoids.dtypes import as_dtype
from ...monoids.hyperloglog import HyperLogLog
from ...monoids.lift import Lifted
from ...monoids.monoid import Monoid
from ...monoids.product import Product
from .exact import exact
from .form import Form
from .namespace import KEY, VALUE
from .rows import aligned

DataType = pl.DataType | type[pl.DataType]


class Inputs(Form[Any]):
    """Inputs folded to states, and states presented: Algebird's *prepare, monoid, present*.

    A list, a tuple or a Polars series is many inputs, folded at once. A monoid's element is its own
    input and its own result, so there a list is one.

    Parameters
    ----------
    value
        The aggregate, or a monoid over Python values.
    inputs
        Data type of one input, where the aggregate does not say.

    Raises
    ------
    TypeError
        If the data type of an input is not known, or the aggregate cannot take it.

    Examples
    --------
    >>> users, pages = Inputs(HyperLogLog()), pl.Series("key", ["/", "/x"])
    >>> states = users.states(pages, ["ann", ["ann", "bob", "ann"]])
    >>> [round(each) for each in users.values(pages, states)]
    [1, 2]
    """

    def __init__(self, value: Aggregator | Monoid[Any], inputs: DataType | None = None) -> None:
        self.monoid = value if isinstance(value, Monoid) else None
        if isinstance(value, Monoid):
            value = Lifted(
                value, prepare=value.decode, result=value.encode, dtype=pl.Binary(), version="1"
            )
        elif not isinstance(value, Aggregator):
            raise TypeError(
                f"value={value!r} is no aggregate, as Sum(dtype=pl.Int64), and no Monoid"
            )
        if len(value.columns) > 1:
            raise TypeError(
                f"{value} reads {', '.join(sorted(value.columns))}: a key has one input"
            )
        self.column = next(iter(value.columns), "value")
        self.input = _dtype_of(value, inputs)
        schema = {} if self.input is None else {self.column: self.input}
        self.product = Product({VALUE: value}).bind(schema)

    def states(self, keys: pl.Series, values: Sequence[Any]) -> pl.Series:
        """Fold each key's input, or inputs."""
        counts, inputs = np.ones(len(values), dtype=np.int64), list(values)
        if self.monoid is None and any(
            isinstance(each, list | tuple | pl.Series) for each in values
        ):
            many = [
                each if isinstance(each, list | tuple | pl.Series) else [each] for each in values
            ]
            counts, inputs = (
                np.array([len(each) for each in many]),
                [x for each in many for x in each],
            )
        frame = pl.DataFrame(
            [keys.gather(np.repeat(np.arange(len(keys)), counts)), self._column(inputs)]
        )
        return aligned(keys, self.product.fold(frame, [KEY]))

    def values(self, keys: pl.Series, states: pl.Series) -> list[Any]:
        """Present each key's state."""
        held = pl.DataFrame([keys, states]).filter(states.is_not_null())
        results = aligned(keys, self.product.present(held)).to_list()
        if self.monoid is None:
            return results
        return [None if each is None else self.monoid.decode(each) for each in results]

    def _column(self, inputs: Sequence[Any]) -> pl.Series:
        if any(each is None for each in inputs):
            raise TypeError("None is no value to put or merge; put(key, None) deletes")
        if self.input is None:
            return pl.repeat(True, len(inputs), eager=True).alias(self.column)
        if self.monoid is not None:
            inputs = [self.monoid.encode(each) for each in inputs]
        return exact("value", inputs, self.input).alias(self.column)


def _dtype_of(value: Aggregator, inputs: DataType | None) -> pl.DataType | None:
    """Find out the data type of an aggregate's input; None where any will do."""
    if not value.columns:
        return None
    default = pl.String() if isinstance(value, HyperLogLog) else None
    given = (inputs, getattr(value, "source", None), getattr(value, "dtype", None), default)
    for dtype in given:
        if dtype is not None:
            return as_dtype(dtype)
    raise TypeError(f"{value} of what? say {type(value).__name__}(dtype=…), or inputs=…")

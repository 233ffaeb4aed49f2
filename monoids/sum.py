"""Sums: exact, whatever the order, and never wrapped."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, Self

import polars as pl

from . import float_sum
from .aggregator import Aggregator, DeclaredExpr, Schema
from .dtypes import as_dtype
from .integers import DECIMAL38, INT128, checked_int64, halves, joined

_NARROW = "use Sum(column, dtype=pl.Int128), which holds 38 digits"


@dataclass(frozen=True, eq=False)
class Sum(Aggregator):
    """The sum of a column's values; null for a group that has none.

    - Integers and decimals: the state is the exact total in 128 bits. A total that does not fit
      is a `CellError` that names the cell; nothing ever wraps.
    - Floats: the state is an exact accumulator (see `beaconfold.monoids.float_sum`), so that the
      result is the correctly rounded sum, the same in any order. NaN propagates, as does the sum
      of both infinities; -0.0 counts as 0.0.

    Parameters
    ----------
    column
        An integer, decimal or float column; the default is the column of a store of its own.
    where
        Only rows where it is true are summed.
    dtype
        The results' data type: ``Int64`` (the default for integers), ``Int128``, ``Decimal(38, s)``
        or ``Float64``. A store of its own needs it; a job knows its columns.
    source
        The column's data type; `bind` sets it.

    Examples
    --------
    >>> from beaconfold.monoids import Product
    >>> frame = pl.DataFrame({"k": ["a", "a", "a"], "price": [1e100, 1.0, -1e100]})
    >>> total = Product({"total": Sum("price")}).bind(frame.schema)
    >>> total.present(total.fold(frame, ["k"]))["total"].item()
    1.0
    """

    kind: ClassVar[str] = "sum"

    column: str = "value"
    _: KW_ONLY
    where: pl.Expr | DeclaredExpr | None = None
    dtype: pl.DataType | None = None
    source: pl.DataType | None = None

    def __post_init__(self) -> None:
        """Refuse a `dtype` that is no sum's."""
        if self.dtype is None:
            return
        dtype = as_dtype(self.dtype)
        if isinstance(dtype, pl.Decimal):
            dtype = pl.Decimal(38, dtype.scale)
        elif dtype not in {pl.Int64(), pl.Int128(), pl.Float64()}:
            raise TypeError(f"{self}: dtype is Int64, Int128, Float64 or Decimal, not {dtype}")
        object.__setattr__(self, "dtype", dtype)

    def bind(self, schema: Schema) -> Self:
        """Take the column's data type; a `TypeError` if it cannot be summed to `dtype`."""
        source = self.source_dtype(schema)
        results: list[pl.DataType]
        if isinstance(source, pl.Decimal):
            results = [pl.Decimal(38, source.scale)]
        elif source.is_float():
            results = [pl.Float64()]
        elif source == pl.Int128:
            results = [pl.Int128(), pl.Int64()]
        elif source.is_integer() and source != pl.UInt128:
            results = [pl.Int64(), pl.Int128()]
        else:
            hint = f"; to count true rows, use Count(where=pl.col({self.column!r}))"
            raise TypeError(
                f"{self} sums integers, decimals and floats, and {self.column!r} is {source}"
                + (hint if source == pl.Boolean else "; declare or cast it as one of these")
            )
        if self.dtype is not None and self.dtype not in results:
            raise TypeError(f"{self}: the sum of {source} is {results[0]}, not {self.dtype}")
        bound = replace(self, dtype=self.dtype or results[0], source=source)
        return super(Sum, bound).bind(schema)

    @property
    def state(self) -> pl.DataType:
        """``Binary`` for floats, else ``Int128``."""
        return pl.Binary() if self._result == pl.Float64 else pl.Int128()

    def fold(self) -> pl.Expr:
        """Sum integers a group; gather a group's floats."""
        if self.source is None:
            raise TypeError(f"{self} must be bound to its input's data types first: use bind()")
        if self._result == pl.Float64:
            return self.rows().cast(pl.Float64).implode()
        values = self.rows().to_physical().cast(pl.Int128)
        if _is_narrow(self.source):
            return pl.when(values.count() > 0).then(values.sum())
        return halves(values)

    def fold_states(self, folded: pl.Series) -> pl.Series:
        """Build states: accumulators, or checked totals."""
        if isinstance(folded.dtype, pl.List):
            return float_sum.fold(folded)
        return folded if folded.dtype == pl.Int128 else self._joined(folded)

    def plus(self, name: str) -> pl.Expr:
        """Sum totals a group; gather a group's accumulators."""
        return pl.col(name).implode() if self.state == pl.Binary else halves(pl.col(name))

    def plus_states(self, merged: pl.Series) -> pl.Series:
        """Build states: merged accumulators, or checked totals."""
        return float_sum.plus(merged) if self.state == pl.Binary else self._joined(merged)

    def present(self, states: pl.Series) -> pl.Series:
        """Give totals in `dtype`; a `CellError` if an ``Int64`` cannot hold one."""
        result = self._result
        if result == pl.Float64:
            return float_sum.present(states)
        if result == pl.Int64:
            return checked_int64(states, f"the sum does not fit in Int64: {_NARROW}")
        return states.reinterpret(dtype=result) if result != pl.Int128 else states

    def _joined(self, sums: pl.Series) -> pl.Series:
        if self._result.is_decimal():
            return joined(sums, DECIMAL38, "the sum does not fit in the 38 digits of a Decimal")
        return joined(sums, INT128, "the sum does not fit in Int128")

    @property
    def _result(self) -> pl.DataType:
        if self.dtype is None:
            raise TypeError(f"{self} must be bound to its input's data types first: use bind()")
        return self.dtype


def _is_narrow(source: pl.DataType) -> bool:
    """Say whether the values of a group, fewer than 2**32, cannot overflow their sum."""
    if isinstance(source, pl.Decimal):
        return source.precision <= 28  # noqa: PLR2004 - 10**28 * 2**32 < 10**38
    return source != pl.Int128

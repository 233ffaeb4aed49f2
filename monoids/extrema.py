"""The least and the greatest value, in one total order a data type."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, Final, Self

import polars as pl

from .aggregator import Aggregator, DeclaredExpr, Schema
from .dtypes import as_dtype

_VERSION: Final = b"\x01"
_MAGNITUDE: Final = pl.lit(2**63 - 1, dtype=pl.Int64)
_NAN: Final = float("nan")


@dataclass(frozen=True, eq=False)
class _Extremum(Aggregator):
    """What `Min` and `Max` share: states that compare as their values do."""

    idempotent: ClassVar[bool] = True
    nan_state: ClassVar[int]
    """The state of NaN, which wins over every other one, and so propagates."""

    column: str = "value"
    _: KW_ONLY
    where: pl.Expr | DeclaredExpr | None = None
    dtype: pl.DataType | None = None

    def bind(self, schema: Schema) -> Self:
        """Take the column's data type; a `TypeError` if its values have no order here."""
        dtype = self.source_dtype(schema)
        _state_of(dtype, str(self))
        if self.dtype is not None and as_dtype(self.dtype) != dtype:
            raise TypeError(f"{self} is of {self.dtype}, and {self.column!r} is {dtype}")
        return super(_Extremum, replace(self, dtype=dtype)).bind(schema)

    @property
    def state(self) -> pl.DataType:
        """``Binary`` for text and bytes, ``Int128`` for wide integers, else ``Int64``."""
        return _state_of(self._result, str(self))

    def fold(self) -> pl.Expr:
        """Pick each group's extreme value, mapped to an integer of the same order."""
        dtype, values = self._result, self.rows()
        if dtype.is_float():
            return self.pick(_ordered(values.cast(pl.Float64), self.nan_state))
        if self.state == pl.Binary:
            return self.pick(values).cast(pl.Binary)
        return self.pick(values.to_physical().cast(self.state))

    def fold_states(self, folded: pl.Series) -> pl.Series:
        """Put the version byte before text and bytes."""
        if self.state != pl.Binary:
            return folded
        return folded.to_frame().select(pl.lit(_VERSION) + pl.col(folded.name)).to_series()

    def plus(self, name: str) -> pl.Expr:
        """Pick each group's extreme state."""
        return self.pick(pl.col(name))

    def present(self, states: pl.Series) -> pl.Series:
        """Give the values in the column's data type; a `ValueError` for damaged states."""
        dtype = self._result
        if dtype.is_float():
            values = states.to_frame().select(_unordered(pl.col(states.name), self.nan_state))
            return values.to_series().cast(dtype)
        if self.state == pl.Binary:
            if not states.bin.starts_with(_VERSION).all():
                raise ValueError(f"not the states of {self} of version {_VERSION[0]}")
            return states.bin.slice(1).cast(dtype)
        return states.reinterpret(dtype=dtype) if dtype.is_decimal() else states.cast(dtype)

    @abstractmethod
    def pick(self, values: pl.Expr) -> pl.Expr:
        """Give the extreme of a group's values."""

    @property
    def _result(self) -> pl.DataType:
        if self.dtype is None:
            raise TypeError(f"{self} must be bound to its input's data types first: use bind()")
        return as_dtype(self.dtype)


class Min(_Extremum):
    """The least value of a column; null for a group that has none.

    Numbers, Booleans and times are ordered by value, text by its UTF-8 bytes, bytes as they are.
    Among floats, -0.0 is 0.0, and a NaN makes the result NaN, for `Min` as for `Max`, in any order
    (Polars ignores it in both).

    Parameters
    ----------
    column
        A column of integers (up to 64 bits unsigned, 128 signed), decimals, floats, Booleans,
        dates, times, durations, text or bytes.
    where
        Only rows where it is true are looked at.
    dtype
        The column's data type; `bind` sets it.

    Examples
    --------
    >>> from beaconfold.monoids import Product
    >>> frame = pl.DataFrame({"k": [1, 1, 2], "word": ["b", "a", None]})
    >>> first = Product({"first": Min("word")}).bind(frame.schema)
    >>> first.present(first.fold(frame, ["k"])).sort("k").rows()
    [(1, 'a'), (2, None)]
    """

    kind: ClassVar[str] = "min"
    nan_state: ClassVar[int] = -(2**63)

    def pick(self, values: pl.Expr) -> pl.Expr:
        """Give the least."""
        return values.min()


class Max(_Extremum):
    """The greatest value of a column; null for a group that has none. See `Min`.

    Examples
    --------
    >>> from beaconfold.monoids import Product
    >>> frame = pl.DataFrame({"k": [1, 1, 2], "x": [0.5, float("nan"), -0.0]})
    >>> last = Product({"last": Max("x")}).bind(frame.schema)
    >>> last.present(last.fold(frame, ["k"])).sort("k").rows()
    [(1, nan), (2, 0.0)]
    """

    kind: ClassVar[str] = "max"
    nan_state: ClassVar[int] = 2**63 - 1

    def pick(self, values: pl.Expr) -> pl.Expr:
        """Give the greatest."""
        return values.max()


def _state_of(dtype: pl.DataType, asking: str) -> pl.DataType:
    if dtype in {pl.UInt64(), pl.Int128()} or dtype.is_decimal():
        return pl.Int128()
    if dtype in {pl.String(), pl.Binary()}:
        return pl.Binary()
    narrow = dtype.is_integer() and dtype != pl.UInt128
    if narrow or dtype.is_float() or dtype.is_temporal() or dtype == pl.Boolean:
        return pl.Int64()
    raise TypeError(
        f"{asking} orders numbers, Booleans, times, text and bytes, not {dtype}: "
        "declare or cast the column as one of these"
    )


def _ordered(values: pl.Expr, nan_state: int) -> pl.Expr:
    """Map floats to integers of the same order.

    The bits of positive floats are ordered as integers are. Those of negative ones are ordered the
    other way round, so all but their sign bit are flipped.
    """
    bits = pl.when(values == 0.0).then(0.0).otherwise(values).reinterpret(dtype=pl.Int64)
    ordered = pl.when(bits < 0).then(bits ^ _MAGNITUDE).otherwise(bits)
    return pl.when(values.is_nan()).then(pl.lit(nan_state, dtype=pl.Int64)).otherwise(ordered)


def _unordered(states: pl.Expr, nan_state: int) -> pl.Expr:
    bits = pl.when(states < 0).then(states ^ _MAGNITUDE).otherwise(states)
    nan = states == pl.lit(nan_state, dtype=pl.Int64)
    return pl.when(nan).then(_NAN).otherwise(bits.reinterpret(dtype=pl.Float64))

"""Distinct values, counted approximately in bounded space."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, Self

import polars as pl

from . import hll_estimate, hll_union
from .aggregator import Aggregator, DeclaredExpr, Schema
from .hll_coupons import can_hash, coupon
from .hll_state import LG_K


@dataclass(frozen=True, eq=False)
class HyperLogLog(Aggregator):
    """The number of distinct values of a column, estimated; null for a group that has none.

    States are ``Binary`` and canonical: the set of values alone decides them (see
    `beaconfold.monoids.hll_state`). Results are ``Float64``, exact up to rounding for a few
    values, and then with a standard error of ``1.04 / sqrt(2**lg_k)``: 1.6 % for the default.
    Registers are those of Apache DataSketches, with which states are exchanged by
    `to_datasketches` and `from_datasketches`. Empty text is ignored, as it is there: a group of
    nothing else presents 0.0.

    The algorithm: P. Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality
    estimation algorithm" (2007).

    Parameters
    ----------
    column
        Text, bytes or integers up to 64 bits; the default is the column of a store of its own.
        Text and its UTF-8 bytes count as the same value, a number and its digits do not.
    lg_k
        Dense states have ``2**lg_k`` registers: 4 to 18. Only states of one lg_k merge.
    where
        Only rows where it is true are counted.
    source
        The column's data type; `bind` sets it.

    Raises
    ------
    TypeError, ValueError
        `lg_k` is no integer, or is not from 4 to 18.

    Examples
    --------
    >>> from beaconfold.monoids import Product
    >>> frame = pl.DataFrame({"p": ["a", "a", "a", "b"], "user": ["ann", "bob", "ann", None]})
    >>> users = Product({"users": HyperLogLog("user")}).bind(frame.schema)
    >>> users.present(users.fold(frame, ["p"])).sort("p").rows()
    [('a', 2.000000004967054), ('b', None)]
    """

    kind: ClassVar[str] = "hyperloglog"
    idempotent: ClassVar[bool] = True

    column: str = "value"
    _: KW_ONLY
    lg_k: int = 12
    where: pl.Expr | DeclaredExpr | None = None
    source: pl.DataType | None = None

    def __post_init__(self) -> None:
        """Refuse an `lg_k` that no sketch has."""
        if not isinstance(self.lg_k, int) or isinstance(self.lg_k, bool):
            raise TypeError(f"{self}: lg_k must be an integer, not {self.lg_k!r}")
        if self.lg_k not in LG_K:
            raise ValueError(f"{self}: lg_k must be from {LG_K[0]} to {LG_K[-1]}, not {self.lg_k}")

    @property
    def state(self) -> pl.DataType:
        """Always ``Binary``."""
        return pl.Binary()

    def bind(self, schema: Schema) -> Self:
        """Take the column's data type; a `TypeError` if it cannot be hashed."""
        source = self.source_dtype(schema)
        if not can_hash(source):
            raise TypeError(
                f"{self} counts text, bytes and integers up to 64 bits, and {self.column!r} is "
                f"{source}: use .cast(pl.String)"
            )
        return super(HyperLogLog, replace(self, source=source)).bind(schema)

    def fold(self) -> pl.Expr:
        """Gather a group's coupons."""
        if self.source is None:
            raise TypeError(f"{self} must be bound to its input's data types first: use bind()")
        return coupon(self.rows(), self.source).drop_nulls().implode()

    def fold_states(self, folded: pl.Series) -> pl.Series:
        """Build the state of each group's set of coupons."""
        return hll_union.of_coupons(folded, self.lg_k)

    def plus(self, name: str) -> pl.Expr:
        """Gather a group's states."""
        return pl.col(name).drop_nulls().implode()

    def plus_states(self, merged: pl.Series) -> pl.Series:
        """Merge each group's states; a `ValueError` for damaged ones or another lg_k."""
        return hll_union.of_states(merged, self.lg_k)

    def present(self, states: pl.Series) -> pl.Series:
        """Estimate each group's distinct values; a `ValueError` for damaged states."""
        return hll_estimate.estimate(states, self.lg_k)

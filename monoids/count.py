"""Counting rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from .aggregator import Aggregator, DeclaredExpr
from .integers import checked_int64


@dataclass(frozen=True, eq=False)
class Count(Aggregator):
    """The number of rows, or of those where a condition is true.

    State and result are ``Int64``. A group that is there with no matching row counts 0.

    Parameters
    ----------
    where
        A Boolean expression; a row where it is null does not count.

    Examples
    --------
    >>> from beaconfold.monoids import Product
    >>> clicks = Product({"n": Count(), "clicks": Count(where=pl.col("kind") == "click")})
    >>> frame = pl.DataFrame({"p": ["a", "a", "b"], "kind": ["click", None, "view"]})
    >>> clicks.bind(frame.schema).fold(frame, ["p"]).sort("p").rows()
    [('a', 2, 1), ('b', 1, 0)]
    """

    kind: ClassVar[str] = "count"

    where: pl.Expr | DeclaredExpr | None = None

    @property
    def state(self) -> pl.DataType:
        """Always ``Int64``."""
        return pl.Int64()

    def fold(self) -> pl.Expr:
        """Count rows a group."""
        if self.where is None:
            return pl.len().cast(pl.Int64)
        return self.condition().sum().cast(pl.Int64)

    def plus(self, name: str) -> pl.Expr:
        """Add counts in 128 bits, so that nothing wraps before it is checked."""
        total = pl.col(name).cast(pl.Int128).sum()
        return pl.when(pl.col(name).count() > 0).then(total)

    def plus_states(self, merged: pl.Series) -> pl.Series:
        """Check that each count fits 64 bits."""
        return checked_int64(merged, "the count does not fit in Int64")

    def present(self, states: pl.Series) -> pl.Series:
        """Give the counts; 0 where there is no state."""
        return states.fill_null(0)

"""Sums of 128-bit integers that never wrap.

Polars' own sums wrap silently. Each addend is split into ``hi * 2**64 + lo`` with ``0 <= lo <
2**64``; sums of the halves are far from 128 bits, and put together again they are checked.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from .aggregator import CellError

_HALF: Final = pl.lit(2**64, dtype=pl.Int128)
INT128: Final = (-(2**127), 2**127 - 1)
DECIMAL38: Final = (-(10**38) + 1, 10**38 - 1)


def halves(values: pl.Expr) -> pl.Expr:
    """Sum Int128 values a group: a struct of `hi`, `lo` and `n`, the number of values."""
    return pl.struct(hi=(values // _HALF).sum(), lo=(values % _HALF).sum(), n=values.count())


def joined(sums: pl.Series, bounds: tuple[int, int], problem: str) -> pl.Series:
    """Put the sums of `halves` together: Int128, null for groups with no value.

    Raises
    ------
    CellError
        With `problem`, for the first total that is not within `bounds`.
    """
    low, high = (pl.lit(bound, dtype=pl.Int128) for bound in bounds)
    half = pl.lit(2**63, dtype=pl.Int128)
    frame = sums.struct.unnest().lazy()
    carried = frame.select("n", hi=pl.col("hi") + pl.col("lo") // _HALF, lo=pl.col("lo") % _HALF)
    fits = (pl.col("hi") >= -half) & (pl.col("hi") < half)
    totals = (
        carried.select("n", total=pl.when(fits).then(pl.col("hi") * _HALF + pl.col("lo")))
        .select(
            total=pl.when(pl.col("n") > 0).then("total"),
            wrong=(pl.col("n") > 0) & ~pl.col("total").is_between(low, high).fill_null(False),
        )
        .collect()
    )
    refuse(totals["wrong"], problem)
    return totals["total"].alias(sums.name)


def checked_int64(totals: pl.Series, problem: str) -> pl.Series:
    """Cast Int128 to Int64; a `CellError` with `problem` for the first that does not fit."""
    narrow = totals.cast(pl.Int64, strict=False)
    refuse(narrow.is_null() & totals.is_not_null(), problem)
    return narrow


def refuse(wrong: pl.Series, problem: str) -> None:
    """Raise a `CellError` for the first true group, if there is any."""
    if wrong.any():
        raise CellError(problem, int(wrong.arg_true()[0]))

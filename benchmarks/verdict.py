"""Hold an answer against the truth, cell by cell."""

from dataclasses import dataclass

import polars as pl

KEY = ["publisher", "window"]
EXACT = ["count", "clicks", "sum_price", "min_ts", "max_ts"]
MONEY = pl.Decimal(38, 6)

# HyperLogLog of 2^12 registers (Flajolet et al., 2007): its standard error, relative
STANDARD_ERROR = 1.04 / 4096**0.5
SMALL = 20  # below, an estimate must be right once rounded


@dataclass(frozen=True)
class Verdict:
    """How an answer differs from the truth."""

    cells: int
    wrong: int  # cells missing, too many, or with a scalar that is not exact
    worst: float  # the largest relative error of distinct users
    typical: float  # its root mean square
    out_of_bounds: int  # cells whose users are not within 4 standard errors, or not exact if small


def judge(answer: pl.DataFrame, truth: pl.DataFrame) -> Verdict:
    """Compare an answer with the truth."""
    exact = pl.col("sum_price").cast(MONEY)
    right = truth.with_columns(exact)
    given = answer.with_columns(exact)
    both = right.join(given, on=KEY, how="full", suffix="_given", coalesce=True)
    wrong = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_given")) for name in EXACT)
    users, estimate = pl.col("users"), pl.col("users_given").cast(pl.Float64)
    error = (estimate / users - 1).abs()
    rounded = estimate.round().cast(pl.Int64) == users
    bounded = pl.when(users < SMALL).then(rounded).otherwise(error <= 4 * STANDARD_ERROR)
    found = both.select(
        cells=pl.len(),
        wrong=wrong.sum(),
        worst=error.max(),
        typical=error.pow(2).mean().sqrt(),
        out_of_bounds=(~bounded.fill_null(value=False)).sum(),
    )
    return Verdict(**found.row(0, named=True))

"""A small job to test stores with: three aggregates, whose states are of every data type."""

from collections.abc import Iterable
from typing import Any

import polars as pl

from ...monoids import Count, HyperLogLog, Product, Sum
from ..generation import Generation

MINUTE = 60_000_000
"""Its window, in microseconds."""


def declaration(job: str = "clicks", fingerprint: str = "c0ffee") -> dict[str, Any]:
    """Declare a job with states of each dtype: ``n: Int64, total: Int128, users: Binary``."""
    columns = {"price": pl.Int64(), "user": pl.String()}
    total, users = Sum("price", dtype=pl.Int128()), HyperLogLog("user", lg_k=8)
    product = Product({"n": Count(), "total": total, "users": users})
    return {
        "layout": 1,
        "job": job,
        "fingerprint": fingerprint,
        "window_us": MINUTE,
        "keys": {"publisher": "String"},
        "aggregates": product.bind(columns).declare(),
    }


def generation(job: str = "clicks", revision: int = 0) -> Generation:
    """Make a generation that no store has yet."""
    return Generation.declared(declaration(job), revision)


def fold(beacons: Iterable[tuple[str, int, int, str]]) -> pl.DataFrame:
    """Fold beacons, each a publisher, a minute, a price and a user, into partials."""
    frame = pl.DataFrame(
        list(beacons),
        {"publisher": pl.String, "minute": pl.Int64, "price": pl.Int64, "user": pl.String},
        orient="row",
    ).with_columns(window=(pl.col("minute") * MINUTE).cast(pl.Datetime("us", "UTC")))
    return generation().product.fold(frame, ["publisher", "window"])

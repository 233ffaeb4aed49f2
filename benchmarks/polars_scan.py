"""The job in Polars: its streaming engine over lazily scanned lines."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from contender import run

ASCII = {f"%{code:02{case}}": chr(code) for code in range(128) for case in "Xx"}


def field(name: str, after: str = "&") -> pl.Expr:
    """Cut one field's text out of the line, by its name."""
    rest = pl.col("line").str.splitn(f"{after}{name}=", 2).struct.field("field_1")
    return rest.str.splitn("&", 2).struct.field("field_0").alias(name)


def decoded(name: str) -> pl.Expr:
    """Percent-decode a column.

    ASCII by one pass of a multi-pattern replacement; the few values with bytes beyond it by way
    of hexadecimal, where the escapes already are what they stand for.
    """
    text = pl.col(name).str.replace_all("+", " ", literal=True)
    parts = pl.when(text.str.contains("%[89A-Fa-f]")).then(text).str.split("%")
    in_hex = pl.element().str.head(2) + pl.element().str.slice(2).str.encode("hex")
    later = parts.list.slice(1).list.eval(in_hex).list.join("")
    whole = (parts.list.first().str.encode("hex") + later).str.decode("hex", strict=False)
    beyond_ascii = whole.cast(pl.String, strict=False)
    return beyond_ascii.fill_null(text.str.replace_many(ASCII)).alias(name)


def answer(files: Sequence[Path], _cores: int) -> pl.DataFrame:
    """Run the query; the cores are those of POLARS_MAX_THREADS."""
    ts = pl.col("ts")
    return (
        pl.scan_lines(list(files), name="line")
        .select(field("beaconType", after="?"), *map(field, ("publisher", "user", "ts", "price")))
        .with_columns(
            *map(decoded, ("beaconType", "publisher", "user")),
            ts.cast(pl.Int64),
            pl.col("price").cast(pl.Decimal(18, 6)),
        )
        .group_by("publisher", (ts - ts % 60_000).alias("window"))
        .agg(
            pl.len().alias("count"),
            (pl.col("beaconType") == "click").sum().alias("clicks"),
            pl.col("price").sum().alias("sum_price"),
            ts.min().alias("min_ts"),
            ts.max().alias("max_ts"),
            pl.col("user").approx_n_unique().alias("users"),
        )
        .collect(engine="streaming")
    )


if __name__ == "__main__":
    run(f"Polars {pl.__version__}", answer)

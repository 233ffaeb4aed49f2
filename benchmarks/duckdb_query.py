"""The job in DuckDB: one SQL query over the lines."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl
from contender import run


def field(name: str, after: str = "&") -> str:
    """Cut one field's text out of the line, by its name."""
    return f"split_part(split_part(line, '{after}{name}=', 2), '&', 1)"


def decoded(text: str) -> str:
    """Percent-decode an expression."""
    return f"url_decode(replace({text}, '+', ' '))"


QUERY = f"""
    select
        publisher,
        ts - ts % 60000 as "window",
        count(*) as "count",
        count(*) filter (kind = 'click') as clicks,
        sum(price) as sum_price,
        min(ts) as min_ts,
        max(ts) as max_ts,
        approx_count_distinct("user") as users
    from (
        select
            {decoded(field("beaconType", after="?"))} as kind,
            {decoded(field("publisher"))} as publisher,
            {decoded(field("user"))} as "user",
            {field("ts")}::bigint as ts,
            {field("price")}::decimal(18, 6) as price
        from read_csv(
            $files, columns = {{'line': 'varchar'}}, header = false, auto_detect = false,
            delim = '\x01', quote = '', escape = '', new_line = '\\n'
        )
    )
    group by all
"""


def answer(files: Sequence[Path], cores: int) -> pl.DataFrame:
    """Run the query on so many threads."""
    with duckdb.connect(config={"threads": cores}) as connection:
        found = connection.sql(QUERY, params={"files": [str(file) for file in files]})
        frame = pl.from_arrow(found.to_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame


if __name__ == "__main__":
    run(f"DuckDB {duckdb.__version__}", answer)

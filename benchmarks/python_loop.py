"""The job as a loop over the lines in plain Python: one core, exact distinct users."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl

import polars as pl
from contender import run


@dataclass(slots=True)
class Cell:
    """One publisher's minute."""

    count: int = 0
    clicks: int = 0
    sum_price: Decimal = Decimal(0)
    min_ts: int = 1 << 62
    max_ts: int = 0
    users: set[str] = field(default_factory=set)


def answer(files: Sequence[Path], _cores: int) -> pl.DataFrame:
    """Go through the lines one by one."""
    cells: dict[tuple[str, int], Cell] = {}
    for file in files:
        with file.open() as lines:
            for line in lines:
                beacon = dict(parse_qsl(line.partition("?")[2].rstrip("\n")))
                ts = int(beacon["ts"])
                key = beacon["publisher"], ts - ts % 60_000
                cell = cells.get(key)
                if cell is None:
                    cell = cells[key] = Cell()
                cell.count += 1
                cell.clicks += beacon["beaconType"] == "click"
                cell.sum_price += Decimal(beacon["price"])
                cell.min_ts = min(cell.min_ts, ts)
                cell.max_ts = max(cell.max_ts, ts)
                cell.users.add(beacon["user"])
    return pl.DataFrame(
        [
            (publisher, window, c.count, c.clicks, c.sum_price, c.min_ts, c.max_ts, len(c.users))
            for (publisher, window), c in cells.items()
        ],
        orient="row",
        schema=["publisher", "window", "count", "clicks", "sum_price", "min_ts", "max_ts", "users"],
    )


if __name__ == "__main__":
    run("Python loop, 1 core", answer)

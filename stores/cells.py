"""Between partials, as a job knows them, and rows, as a backend keeps them."""

from collections.abc import Collection
from datetime import datetime

import polars as pl

from .generation import Generation
from .keys import Keys, shard_of

WINDOW = pl.Datetime("us", "UTC")
NO_WINDOW = pl.lit(0, dtype=pl.Int64).alias("window")
CELL = {"window": pl.Int64(), "key": pl.String()}


class Cells:
    """The cells of one generation, spread over a number of shards.

    Parameters
    ----------
    generation
        Says which columns there are.
    shards
        Number of shards.
    """

    def __init__(self, generation: Generation, shards: int) -> None:
        self.generation, self.shards = generation, shards
        self.keys, self.product = Keys(generation.keys), generation.product
        self.by = ["key"] if generation.window is None else ["window", "key"]
        self.no_cells = pl.DataFrame(schema={"shard": pl.Int64(), **CELL})
        self.no_rows = pl.DataFrame(schema={**CELL, **generation.states, "updated_at": pl.Int64()})

    def names(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Name the cells of a frame: ``shard``, ``window``, ``key``, each once."""
        return self._named(frame).unique()

    def rows(self, partials: pl.DataFrame) -> pl.DataFrame:
        """Turn partials into rows, ``shard``, ``window``, ``key`` and states, one for each cell.

        Raises
        ------
        TypeError
            If a column is missing or has another dtype than the generation's.
        """
        for name, dtype in self.generation.states.items():
            if partials.schema.get(name) != dtype:
                raise TypeError(
                    f"partials of {self.generation.job} need {name!r} as states of {dtype}, "
                    f"not {partials.schema.get(name, 'nothing')}"
                )
        rows = self._named(partials).with_columns(partials.select(list(self.generation.states)))
        return self.plus(rows.clear(), rows)

    def plus(
        self, found: pl.DataFrame, rows: pl.DataFrame, shards: Collection[int] | None = None
    ) -> pl.DataFrame:
        """Merge the rows that were found in the store with new ones, in some shards or all."""
        both = pl.concat([found.select(rows.columns), rows])
        if shards is not None:
            both = both.filter(pl.col("shard").is_in(list(shards)))
        # As instants, windows are readable in the message of an overflow.
        both = both.with_columns(pl.col("window").cast(WINDOW))
        merged = self.product.plus([both], self.by)
        window = pl.col("window").to_physical() if "window" in self.by else NO_WINDOW
        return merged.with_columns(window, shard_of(merged["key"], self.shards)).select(
            rows.columns
        )

    def split(self, rows: pl.DataFrame, now: datetime) -> dict[int, pl.DataFrame]:
        """Date rows, and part them by shard."""
        date = pl.lit(int(now.timestamp() * 1000), dtype=pl.Int64).alias("updated_at")
        parts = rows.with_columns(date).partition_by("shard", as_dict=True, include_key=False)
        return {int(shard): part for (shard,), part in parts.items()}

    def partials(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Turn rows back into partials."""
        windows = [rows["window"].cast(WINDOW)] if self.generation.window is not None else []
        return self.keys.decode(rows["key"]).with_columns(
            *windows, *rows.select(list(self.generation.states))
        )

    def _named(self, frame: pl.DataFrame) -> pl.DataFrame:
        key = self.keys.encode(frame)
        return pl.DataFrame([shard_of(key, self.shards), self._windows(frame), key])

    def _windows(self, frame: pl.DataFrame) -> pl.Series:
        if self.generation.window is None:
            return pl.repeat(0, frame.height, dtype=pl.Int64, eager=True).alias("window")
        if frame.schema.get("window") != WINDOW:
            raise TypeError(
                f"{self.generation.job} has windows: 'window' must be {WINDOW}, "
                f"not {frame.schema.get('window', 'missing')}"
            )
        if frame["window"].null_count():
            raise ValueError("'window' is null in some rows: every cell has one")
        return frame["window"].to_physical()

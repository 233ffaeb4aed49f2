"""Rows of one generation as hashes: numbers as text, sketches as bytes."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import polars as pl

from ..cells import CELL
from ..errors import StoreLayoutError
from ..generation import Generation
from .names import Names, Shard
from .protocol import Argument, Reply, packed

NULL = "-"

# In frames, by names that no state has: the numbers of a row, and which hash a row was found in.
TEXT, HASH = "updated_at", "shard"


class RedisRows:
    """The rows of a generation: for each shard and window a few hashes, with a field for each key.

    One hash holds the numbers of a row as text, in the order of `numbers`, ``-`` for none:
    ``12 3 4500000 1763854800123 1763854859999 1763854861000``. Short texts in small hashes stay in
    Redis's compact encoding. Each binary state has a hash of its own, with no field where there
    is none.

    Parameters
    ----------
    names, generation, number
        Name the keys and the columns.

    Attributes
    ----------
    numbers
        The columns kept as numbers, ``updated_at`` the last of them.
    sketches
        The columns kept as bytes.
    schema
        The columns of a scan.
    """

    def __init__(self, names: Names, generation: Generation, number: int) -> None:
        self.names, self.number = names, number
        states, self.sketches = generation.states, list[str]()
        self.numbers: dict[str, pl.DataType] = {}
        for name, dtype in states.items():
            if dtype == pl.Binary:
                self.sketches.append(name)
            else:
                self.numbers[name] = dtype
        self.numbers["updated_at"] = pl.Int64()
        self.schema = {**CELL, **states, "updated_at": pl.Int64()}

    @property
    def width(self) -> int:
        """Number of hashes of a window."""
        return 1 + len(self.sketches)

    def text(self) -> pl.Expr:
        """Write the numbers of a row."""
        cells = [pl.col(name).cast(pl.String).fill_null(NULL) for name in self.numbers]
        return pl.concat_str(cells, separator=" ").alias(TEXT)

    def hashes(self, shard: Shard, window: int) -> list[str]:
        """Name the hashes of a window: that of the numbers, then one for each sketch."""
        columns = [None, *self.sketches]
        return [self.names.cells(self.number, shard, window, column) for column in columns]

    def get(self, shard: Shard, window: int, keys: Sequence[Argument]) -> list[bytes]:
        """Write the commands that look up some keys of a window."""
        return [packed("HMGET", name, *keys) for name in self.hashes(shard, window)]

    def get_all(self, shard: Shard, window: int) -> list[bytes]:
        """Write the commands that read a window."""
        return [packed("HGETALL", name) for name in self.hashes(shard, window)]

    def found(self, cells: pl.DataFrame, answers: Sequence[Reply]) -> pl.DataFrame:
        """Return the rows that exist, of the replies to `get`.

        Parameters
        ----------
        cells
            What was asked for, in the order in which it was.
        answers
            Of each run of cells, `width` replies.
        """
        if not answers:
            return pl.DataFrame(schema={**cells.schema, **self.schema})
        columns = {
            name: pl.Series(list(chain.from_iterable(answers[n :: self.width])), dtype=pl.Binary)
            for n, name in enumerate([TEXT, *self.sketches])
        }
        return self._parsed(cells.with_columns(**columns).filter(pl.col(TEXT).is_not_null()))

    def found_all(self, windows: Sequence[int], answers: Sequence[Reply]) -> pl.DataFrame:
        """Return the rows of windows, of the replies to `get_all` for each of them."""
        rows = _fields(answers[:: self.width], TEXT)
        for number, name in enumerate(self.sketches, 1):
            sketches = _fields(answers[number :: self.width], name)
            rows = rows.join(sketches, on=[HASH, "key"], how="left")
        runs = pl.Series(windows, dtype=pl.Int64)
        return self._parsed(
            rows.with_columns(window=runs.gather(rows[HASH]), key=pl.col("key").cast(pl.String))
        ).select(list(self.schema))

    def _parsed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Part the text of rows into its numbers."""
        try:
            parts = rows[TEXT].cast(pl.String).str.split_exact(" ", len(self.numbers) - 1)
            numbers = parts.struct.rename_fields(list(self.numbers)).struct.unnest()
            return rows.drop(TEXT).hstack(
                numbers.select(
                    pl.when(pl.col(name) != NULL).then(pl.col(name)).cast(dtype).alias(name)
                    for name, dtype in self.numbers.items()
                )
            )
        except pl.exceptions.PolarsError:
            raise StoreLayoutError("rows written by another version/layout") from None


def _fields(answers: Sequence[Reply], value: str) -> pl.DataFrame:
    """Make a frame of the fields and values of hashes, and the number of each one's hash."""
    flat = list(chain.from_iterable(answers))
    sizes = [len(answer) // 2 for answer in answers]
    return pl.DataFrame(
        {
            HASH: pl.Series(np.repeat(np.arange(len(sizes)), sizes)),
            "key": pl.Series(flat[::2], dtype=pl.Binary),
            value: pl.Series(flat[1::2], dtype=pl.Binary),
        }
    )

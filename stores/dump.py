r"""The canonical bytes of states, to compare stores by: live and replayed, before and after.

One line for each cell, sorted by window and key, in the text form of `beaconfold.stores.keys`:
the window's start in microseconds, the key columns, the states (integers in decimal, bytes as
``\\x`` and hexadecimal digits, null as ``\N``). The first line names the columns.
"""

import hashlib
import json
from collections.abc import Iterator

import polars as pl

from .generation import Generation
from .keys import NULL

BATCH = 10_000


def dump(generation: Generation, rows: pl.DataFrame) -> Iterator[bytes]:
    """Yield the lines of all rows, some thousands at a time.

    Parameters
    ----------
    generation
        Names the columns.
    rows
        ``window: Int64``, ``key: String`` and the states, in any order.
    """
    yield json.dumps(["window", *generation.keys, *generation.states]).encode() + b"\n"
    texts = ["window", "key", *(_text(*state) for state in generation.states.items())]
    line = pl.concat_str(texts, separator="\t") + "\n"
    for batch in rows.sort("window", "key").iter_slices(BATCH):
        lines: str = batch.select(line.str.join("")).item()
        yield lines.encode()


def digest(generation: Generation, rows: pl.DataFrame) -> str:
    """Return the SHA-256 of the dump, in hexadecimal."""
    sha = hashlib.sha256()
    for lines in dump(generation, rows):
        sha.update(lines)
    return sha.hexdigest()


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype == pl.Binary:
        return (pl.lit("\\\\x") + column.bin.encode("hex")).fill_null(NULL)
    return column.cast(pl.String).fill_null(NULL)

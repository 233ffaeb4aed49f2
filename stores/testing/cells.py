"""Cells of a backend as tuples, written and read back."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from ..backend import Backend, ShardWrite
from ..generation import Generation
from .beacons import MINUTE

LARGE = 2**100

Cell = tuple[int, str, int | None, int | None, bytes | None]
"""Window, key, and three states: ``n``, ``total`` and ``users``."""


def rows(cells: Sequence[Cell], updated_at: int = 1) -> pl.DataFrame:
    """Make the rows of a write."""
    schema = {"window": pl.Int64, "key": pl.String, "n": pl.Int64, "total": pl.Int128}
    frame = pl.DataFrame(cells, {**schema, "users": pl.Binary}, orient="row")
    return frame.with_columns(updated_at=pl.lit(updated_at, dtype=pl.Int64))


def wanted(shard: int, cells: Sequence[Cell]) -> pl.DataFrame:
    """Name the cells to read."""
    schema = {"shard": pl.Int64, "window": pl.Int64, "key": pl.String}
    return pl.DataFrame([(shard, cell[0], cell[1]) for cell in cells], schema, orient="row")


def held(backend: Backend, where: Generation, **bounds: Any) -> list[Cell]:
    """Scan a generation's cells, sorted."""
    return sorted(
        cell
        for batch in backend.scan(where, **bounds)
        for cell in batch.select("window", "key", "n", "total", "users").rows()
    )


def version(backend: Backend, where: Generation, shard: int) -> int:
    """Read the version of a shard."""
    heads, _ = backend.read(where, [shard], wanted(shard, []))
    return heads[shard].version


def write(
    backend: Backend, where: Generation, shard: int, cells: Sequence[Cell], ledger: bytes = b"{}"
) -> bool:
    """Write cells at the shard's present version."""
    head = version(backend, where, shard)
    return backend.commit(where, [ShardWrite(shard, head, ledger, rows(cells))])[0]


CELLS: list[Cell] = [
    (0, "p1", 1, 2, b"\x01"),
    (-MINUTE, "", 0, -LARGE, b""),
    (2**62, "tab\\tslash\\\\null\\Nü\U0001f600", 2**63 - 1, LARGE, b"\x00\xff'\""),
    (-(2**62), "P1", -(2**63), 2**63, bytes(5000)),
    (MINUTE, "nothing", None, None, None),
    (2 * MINUTE, "p1", 7, -(2**63) - 1, None),
]

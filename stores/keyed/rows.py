"""The transaction of a store by key: rows of states, and rows of tokens beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from ..backend import ShardHead, ShardWrite
from ..cells import CELL, Cells
from ..generation import Generation
from ..keys import Keys, shard_of
from ..store import MergeableStore
from ..times import parse_duration
from ..transaction import Change, refuse, transact
from .namespace import VALUE

VALUES, TOKENS = 0, 1
"""What the column ``window`` says, as there are no windows: a row is a value, or a token."""

STEP = 10_000
"""Tokens that are deleted at a time."""


@dataclass(frozen=True)
class KeyedRows:
    """States by the text of their key, one row each; null is "no state" everywhere.

    A token is a row of its own, written in the transaction of its merge: its key is the value's
    key, a tab and the token's text, its state the one before the merge, and its date the merge's.

    Parameters
    ----------
    store, generation
        Where the rows are.
    """

    store: MergeableStore
    generation: Generation

    @property
    def state(self) -> pl.DataType:
        """Data type of the states."""
        return self.generation.states[VALUE]

    def get(self, keys: pl.Series) -> pl.Series:
        """Look up the states of some keys."""
        wanted = self._rows(keys)
        shards = wanted["shard"].unique().to_list()
        heads, found = self.store.backend.read(self.generation, shards, wanted)
        refuse(self.generation, heads, "dropped")
        return aligned(keys, found)

    def put(self, keys: pl.Series, states: pl.Series) -> None:
        """Set the states of some keys; null deletes the row."""
        cells = Cells(self.generation, self.store.shards)
        self._check(keys, states)

        def change(
            heads: Mapping[int, ShardHead], found: pl.DataFrame, rows: pl.DataFrame
        ) -> list[ShardWrite]:
            del found
            return self._writes(
                cells,
                heads,
                rows.filter(pl.col(VALUE).is_not_null()),
                rows.filter(pl.col(VALUE).is_null()),
            )

        self._transact(self._rows(keys).with_columns(states), change, repeatable=True)

    def merge(self, keys: pl.Series, states: pl.Series, once: str | None) -> pl.Series:
        """Add states to those of some keys, and return the states before."""
        cells = Cells(self.generation, self.store.shards)
        rows, suffix = self._rows(keys).with_columns(states), ""
        if once is not None:
            suffix = _suffix(once)
            tokens = rows.with_columns(
                pl.lit(TOKENS, dtype=pl.Int64).alias("window"),
                pl.col("key") + suffix,
                pl.lit(None, dtype=self.state).alias(VALUE),
            )
            rows = pl.concat([rows, tokens])
        before: list[pl.DataFrame] = []

        def change(
            heads: Mapping[int, ShardHead], found: pl.DataFrame, rows: pl.DataFrame
        ) -> list[ShardWrite]:
            held, new = found, rows
            if once is not None:
                held, known = _parted(found, suffix)
                new, _ = _parted(rows, suffix)
                if known.height:
                    held, new = (each.join(known, on="key", how="anti") for each in (held, new))
                    before.append(known.select(rows.columns))
            merged = cells.plus(held, new).filter(pl.col(VALUE).is_not_null())
            self._check(merged["key"], merged[VALUE])
            earlier = new.with_columns(aligned(new["key"], held))
            before.append(earlier)
            if once is not None:
                window = pl.lit(TOKENS, dtype=pl.Int64).alias("window")
                merged = pl.concat([merged, earlier.with_columns(window, pl.col("key") + suffix)])
            return self._writes(cells, heads, merged)

        (aggregator,) = self.generation.product.aggregators.values()
        self._transact(rows, change, repeatable=once is not None or aggregator.idempotent)
        return aligned(keys, pl.concat(before).unique("key", keep="last"))

    def forget(self, older_than: str | timedelta) -> int:
        """Delete the tokens older than a duration, some at a time, and return how many."""
        cells = Cells(self.generation, self.store.shards)
        age = timedelta(microseconds=parse_duration(older_than))
        horizon = int((self.store.clock.now() - age).timestamp() * 1000)
        forgotten = 0

        def change(
            heads: Mapping[int, ShardHead], found: pl.DataFrame, rows: pl.DataFrame
        ) -> list[ShardWrite]:
            del found
            return self._writes(cells, heads, cells.no_rows, rows)

        for shard in range(self.store.shards):
            for batch in self.store.backend.scan(
                self.generation, since=TOKENS, until=TOKENS + 1, shards=[shard]
            ):
                old = batch.filter(pl.col("updated_at") < horizon).select(*CELL)
                rows = old.select(pl.lit(shard, dtype=pl.Int64).alias("shard"), *CELL)
                for some in rows.iter_slices(STEP):
                    self._transact(some, change, repeatable=True)
                forgotten += old.height
        return forgotten

    def _rows(self, keys: pl.Series) -> pl.DataFrame:
        window = pl.repeat(VALUES, len(keys), dtype=pl.Int64, eager=True).alias("window")
        return pl.DataFrame([shard_of(keys, self.store.shards), window, keys])

    def _check(self, keys: pl.Series, states: pl.Series) -> None:
        """Refuse states that could never be read: too great for the result, or damaged."""
        self.generation.product.present(pl.DataFrame([keys, states]))

    def _writes(
        self,
        cells: Cells,
        heads: Mapping[int, ShardHead],
        rows: pl.DataFrame,
        removed: pl.DataFrame | None = None,
    ) -> list[ShardWrite]:
        parts = cells.split(rows, self.store.clock.now()) if rows.height else {}
        gone = {} if removed is None else removed.partition_by("shard", as_dict=True)
        lost = {int(shard): part.select(*CELL) for (shard,), part in gone.items()}
        return [
            ShardWrite(
                shard,
                heads[shard].version,
                heads[shard].ledger,
                parts.get(shard, cells.no_rows),
                lost.get(shard),
            )
            for shard in sorted(parts.keys() | lost.keys())
        ]

    def _transact(self, rows: pl.DataFrame, change: Change, *, repeatable: bool) -> None:
        transact(
            self.store.backend,
            self.generation,
            rows,
            change,
            shards=rows["shard"].unique().to_list(),
            clock=self.store.clock,
            random=self.store.random,
            repeatable=repeatable,
        )


def aligned(keys: pl.Series, found: pl.DataFrame) -> pl.Series:
    """Give the state of each key, in the order of the keys; null where none was found."""
    if keys.equals(found["key"]):
        return found[VALUE]
    states = found.select("key", VALUE)
    return keys.to_frame().join(states, on="key", how="left", maintain_order="left")[VALUE]


def _parted(rows: pl.DataFrame, suffix: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part the rows of values from those of a token, and give these the keys of their values."""
    tokens = rows.filter(pl.col("window") == TOKENS)
    window = pl.lit(VALUES, dtype=pl.Int64).alias("window")
    return (
        rows.filter(pl.col("window") == VALUES),
        tokens.with_columns(window, pl.col("key").str.strip_suffix(suffix)),
    )


def _suffix(once: str) -> str:
    """Write what a token adds to a key: a tab, which no key column holds bare, and its text."""
    if not isinstance(once, str):
        raise TypeError(f"once={once!r} is no token: use text that names the merge")
    if not once:
        raise ValueError("once='' is no token: use text that names the merge")
    return "\t" + str(Keys({"once": pl.String()}).encode(pl.DataFrame({"once": [once]})).item())

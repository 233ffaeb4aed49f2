"""The transaction over shards: read, change, commit; again where somebody else was first."""

from collections.abc import Callable, Collection, Mapping
from random import Random

import polars as pl

from .backend import Backend, ShardHead, ShardWrite
from .cells import CELL
from .clock import Clock
from .errors import (
    CommitUncertain,
    MergeUncertain,
    StoreError,
)
from .generation import Generation, State
from .horizons import Horizons, place
from .shard_record import ShardRecord

FIRST_WAIT, LONGEST_WAIT = 0.005, 1.0
"""Bounds of the back-off after a conflict, in seconds."""

Change = Callable[[Mapping[int, ShardHead], pl.DataFrame, pl.DataFrame], list[ShardWrite]]
"""From the heads and rows that were read, and the rows to bring in, to what shall be written.

The rows to bring in have been moved to the windows that their shard keeps; several may have come to
one cell, and those that have expired are left out.
"""


def transact(
    backend: Backend,
    generation: Generation,
    rows: pl.DataFrame,
    change: Change,
    *,
    shards: Collection[int] | None = None,
    clock: Clock,
    random: Random,
    repeatable: bool = True,
    seen: dict[int, Horizons] | None = None,
) -> None:
    """Change shards, each of them once and on its own.

    Shards that somebody else changed in between are tried again in halves: the fewer at a time,
    the shorter the moment in which they can be lost, so that a large merge gets through among
    many small ones.

    Parameters
    ----------
    backend, generation
        Where.
    rows
        ``shard``, ``window``, ``key``, each once, and whatever `change` needs of them.
    change
        Called with what was read, once for each attempt.
    shards
        The shards to change; None for all. Rows of others are left out.
    clock, random
        Time and length of the pauses: exponential with full jitter, as in Brooker, *Exponential
        Backoff and Jitter* (AWS Architecture Blog, 2015).
    repeatable
        Whether `change` can tell a write that has been made from one that has not, so that one
        whose outcome is unknown is simply tried again.
    seen
        The horizons that shards had when they were last read; kept up to date.

    Raises
    ------
    GenerationRetired, GenerationDropped
        If the generation takes no more merges.
    StoreError
        If the store cannot be reached, or refuses; what is not repeatable has not been written.
    MergeUncertain
        If what is not repeatable has been written in part, or that is not known.
    """
    seen = {} if seen is None else seen
    todo, conflicts = [list(range(backend.shards) if shards is None else sorted(set(shards)))], 0
    written = False
    while todo:
        part = todo.pop()
        mine = rows
        if len(part) < backend.shards:
            mine = rows.filter(pl.col("shard").is_in(part))
        writes: list[ShardWrite] = []
        try:
            heads, found, mine = read_placed(backend, generation, part, mine, seen)
            refuse(generation, heads, "retired", "dropped")
            writes = change(heads, found, mine)
            landed = backend.commit(generation, writes) if writes else []
        except StoreError as error:
            uncertain = isinstance(error, CommitUncertain)
            if not repeatable and (written or uncertain):
                raise MergeUncertain(
                    f"{error}: some of the merge may have been made, and some not; merge with "
                    "once=token where it must not be made twice"
                ) from error
            if not uncertain or not writes:
                raise
            landed = [False] * len(writes)
        written = written or any(landed)
        lost = [write.shard for write, done in zip(writes, landed, strict=True) if not done]
        if not lost:
            conflicts = 0
            continue
        random.shuffle(lost)
        half = (len(lost) + 1) // 2
        todo += [each for each in (lost[:half], lost[half:]) if each]
        pause(clock, random, conflicts)
        conflicts += 1


def read_placed(
    backend: Backend,
    generation: Generation,
    shards: Collection[int],
    rows: pl.DataFrame,
    seen: dict[int, Horizons],
) -> tuple[dict[int, ShardHead], pl.DataFrame, pl.DataFrame]:
    """Read shards and the cells to which rows belong by each shard's horizons.

    Which cells these are can only be told once the shard was read: they are read by the horizons
    last seen, and again if it has others by now.

    Returns
    -------
    heads, found
        What `Backend.read` returns.
    placed
        The rows in the windows that their shard keeps, without those that have expired.
    """
    while True:
        assumed = {shard: seen.get(shard, Horizons()) for shard in shards}
        placed = place(rows, assumed)
        names = placed.select("shard", *CELL)
        if any(horizons.advanced for horizons in assumed.values()):
            names = names.unique()
        heads, found = backend.read(generation, list(shards), names)
        if generation.window is None:
            return heads, found, placed
        actual = {s: ShardRecord.decode(head.ledger).horizons for s, head in heads.items()}
        seen |= actual
        if not rows.height or actual == assumed:
            return heads, found, placed


def pause(clock: Clock, random: Random, conflicts: int) -> None:
    """Wait after a conflict that came after so many others."""
    clock.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**conflicts)))


def refuse(generation: Generation, heads: Mapping[int, ShardHead], *states: State) -> None:
    """Raise if a shard is in one of these states."""
    for state in {head.state for head in heads.values()}:
        generation.refuse(state, *states)

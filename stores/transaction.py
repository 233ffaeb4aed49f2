"""The transaction over shards: read, change, commit; again where somebody else was first."""

from collections.abc import Callable, Collection, Mapping
from random import Random

import polars as pl

from .backend import Backend, ShardHead, ShardWrite
from .cells import CELL
from .clock import Clock
from .errors import CommitUncertain, GenerationDropped, GenerationRetired, MergeUncertain
from .generation import Generation

FIRST_WAIT, LONGEST_WAIT = 0.005, 1.0
"""Bounds of the back-off after a conflict, in seconds."""

Change = Callable[[Mapping[int, ShardHead], pl.DataFrame, pl.DataFrame], list[ShardWrite]]
"""From the heads and rows that were read, and the rows to bring in, to what shall be written."""


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

    Raises
    ------
    GenerationRetired, GenerationDropped
        If the generation takes no more merges.
    MergeUncertain
        If the outcome of a write that is not repeatable is unknown.
    """
    todo, conflicts = [list(range(backend.shards) if shards is None else sorted(set(shards)))], 0
    while todo:
        part = todo.pop()
        mine = rows
        if len(part) < backend.shards:
            mine = rows.filter(pl.col("shard").is_in(part))
        heads, found = backend.read(generation, part, mine.select("shard", *CELL))
        refuse(generation, heads, "retired", "dropped")
        writes = change(heads, found, mine)
        try:
            landed = backend.commit(generation, writes) if writes else []
        except CommitUncertain as error:
            if not repeatable:
                raise MergeUncertain(
                    f"{error}: the merge may have been made, or not; merge with once=token "
                    "where it must not be made twice"
                ) from error
            landed = [False] * len(writes)
        lost = [write.shard for write, done in zip(writes, landed, strict=True) if not done]
        if not lost:
            conflicts = 0
            continue
        random.shuffle(lost)
        half = (len(lost) + 1) // 2
        todo += [each for each in (lost[:half], lost[half:]) if each]
        clock.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**conflicts)))
        conflicts += 1


def refuse(generation: Generation, heads: Mapping[int, ShardHead], *states: str) -> None:
    """Raise if a shard is in one of these states."""
    found = {head.state for head in heads.values()} & set(states)
    if "dropped" in found:
        raise GenerationDropped(f"{generation} was dropped: backfill the job to build it again")
    if "retired" in found:
        raise GenerationRetired(f"{generation} was retired: readers use a newer generation")

"""Verify: replay into memory and compare with the store, to the byte."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from distributed import Client

from ...stores import (
    Generation,
    Horizons,
    Ledger,
    MergeableStore,
    open_store,
    rolled_up,
)
from ...stores.ranges import Ranges
from ...stores.times import parse_instant
from ..archive import Archive
from ..batch import FoldedSegments
from ..gaps import Gap, gaps, warning
from ..generation import open_generation
from ..job import Job
from .memory import run_archive

LOOKS = 50
"""Attempts to read a store between two merges."""


class NotComparable(ValueError):
    """So much has expired from the archive that nothing is left to compare."""


class PartlyMerged(ValueError):
    """The store holds some segments in some of its shards only."""


@dataclass(frozen=True)
class Verification:
    """The outcome of comparing a store with a replay of the segments in its ledger."""

    job: str
    cells: int
    """Cells compared: keys × windows."""
    segments: int
    """Segments replayed."""
    not_merged: int
    """Segments of the archive that the store has not merged yet."""
    expired: int
    """Merged segments that the archive has deleted since, so that they cannot be replayed."""
    compared_from: datetime | None
    """Where segments have expired: only windows from the last receipt of theirs on are compared."""
    gaps: tuple[Gap, ...]
    """Segments that have expired from the archive and were never merged."""
    elsewhere: bool
    """The store has merged segments of other archives too: only their cells can differ by that."""
    differing: pl.DataFrame
    """Key, window, ``aggregate``, and how ``store`` and ``replay`` present it."""

    def __bool__(self) -> bool:
        return self.differing.is_empty()

    def __str__(self) -> str:
        verdict = (
            "store and replay agree byte for byte"
            if self
            else f"{self.differing.height} states differ"
        )
        text = f"{self.job}: {verdict} ({self.cells:,} cells, {self.segments} segments)"
        if self.compared_from is not None:
            text += (
                f"; {self.expired} merged segments have expired from the archive: nothing before "
                f"{self.compared_from:%Y-%m-%dT%H:%M:%SZ} was compared"
            )
        if self.gaps:
            text += f"; {warning(self.gaps)}"
        if self.elsewhere:
            text += "; the store holds segments that are not in this archive"
        return text + (f"; {self.not_merged} not merged yet" if self.not_merged else "")

    def _repr_html_(self) -> str:
        table = "" if self else self.differing._repr_html_()
        return f"<p>{'✓' if self else '✗'} {html.escape(str(self))}</p>{table}"


def verify(
    job: Job,
    *,
    archive: Archive | str,
    store: MergeableStore | str,
    client: Client | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    on_progress: Callable[[FoldedSegments, int], None] = lambda _folded, _of: None,
) -> Verification:
    """Fold the segments that a store has merged once more, in memory, and compare every state.

    Where merged segments have expired from the archive, only windows that start after the last
    receipt of theirs are compared: beacons are taken to happen before they are received.

    Parameters
    ----------
    since, until
        Compare only the windows that start in this range of event time.
    client
        Fold on its workers; None: in this process.

    Raises
    ------
    UnknownJob
        The store does not hold the job.
    JobChanged
        It holds it under another definition.
    PartlyMerged
        Some segments are merged in some shards only: nothing can be said before the rest is.
    NotComparable
        Merged segments have expired from the archive, and the job has no windows.
    """
    archive = Archive.open(archive, create=False) if isinstance(archive, str) else archive
    store = open_store(store) if isinstance(store, str) else store
    store.live(job.name)
    generation = open_generation(job, store)
    ledger, stored, horizons = _snapshot(store, generation)
    refs, seals = archive.segments(), archive.seals()
    merged = [ref for ref in refs if ref.id in ledger]
    expired, known, compared_from = 0, Ledger().add(ref.id for ref in merged), None
    for partition, epoch, stop, last in archive.expired():
        held = Ranges.below(stop) - ledger.lacking(archive.id, partition, epoch, stop)
        known = known.add_range(archive.id, partition, epoch, held)
        expired += len(held)
        if held:
            compared_from = max(compared_from or last, last)
    if compared_from is not None and job.window is None:
        raise NotComparable(
            f"{job.name}: {expired} merged segments have expired from the archive, and a job "
            "without windows has every beacon in one cell a key: nothing can be compared"
        )
    replayed = run_archive(
        job,
        archive,
        segments=merged,
        client=client,
        on_progress=lambda folded: on_progress(folded, len(merged)),
    )
    replayed = rolled_up(replayed, generation, horizons, store.shards)
    if job.window:
        bounds = [pl.lit(True)]
        if since is not None:
            bounds.append(pl.col("window") >= parse_instant(since))
        if compared_from is not None:
            bounds.append(pl.col("window") >= compared_from)
        if until is not None:
            bounds.append(pl.col("window") < parse_instant(until))
        replayed, stored = (side.filter(*bounds) for side in (replayed, stored))
    return Verification(
        job.name,
        max(replayed.height, stored.height),
        len(merged),
        len(refs) - len(merged),
        expired,
        compared_from,
        tuple(gaps(archive, ledger)),
        ledger.add((), seals) != known.add((), seals),
        _differing(job, stored, replayed),
    )


def _snapshot(
    store: MergeableStore, generation: Generation
) -> tuple[Ledger, pl.DataFrame, Mapping[int, Horizons]]:
    """Read states and what they belong to, though a run may be merging or rolling up meanwhile."""
    for _ in range(LOOKS):
        before = store.records(generation)
        states = store.states(generation)
        distinct = {record.ledger.encode() for record in before.values()}
        if len(distinct) == 1 and store.records(generation) == before:
            horizons = {shard: record.horizons for shard, record in before.items()}
            return before[0].ledger, states, horizons
        store.clock.sleep(0.1)
    raise PartlyMerged(
        f"{generation.job}: segments are being merged, or are merged in part since a run was "
        "killed: stop the run, or complete it with `beacons replay`, and verify then"
    )


def _differing(job: Job, stored: pl.DataFrame, replayed: pl.DataFrame) -> pl.DataFrame:
    both = stored.join(replayed, on=job.by, how="full", nulls_equal=True, coalesce=True)
    found = []
    shown = {side: job.present(frame) for side, frame in (("store", stored), ("replay", replayed))}
    for name in job.aggregate:
        cells = both.filter(pl.col(name).ne_missing(pl.col(f"{name}_right"))).select(job.by)
        found.append(
            cells.join(
                shown["store"].select(*job.by, store=pl.col(name).cast(pl.String, strict=False)),
                on=job.by, how="left", nulls_equal=True,
            )
            .join(
                shown["replay"].select(*job.by, replay=pl.col(name).cast(pl.String, strict=False)),
                on=job.by, how="left", nulls_equal=True,
            )
            .select(*job.by, pl.lit(name).alias("aggregate"), "store", "replay")
        )  # fmt: skip
    return pl.concat(found).sort([*job.by, "aggregate"])

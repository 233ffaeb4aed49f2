"""A replay applies what the ledger lacks, and nothing else."""

from typing import ClassVar

import polars as pl
import pytest

from beaconfold import (
    Archive,
    Count,
    Job,
    MergeableStore,
    Monoid,
    open_store,
    replay,
    stream,
    verify,
)
from beaconfold.pipelines.batch import fold_segments
from beaconfold.pipelines.generation import JobChanged
from beaconfold.pipelines.jobs import beacon_counts
from beaconfold.pipelines.platforms.verify import PartlyMerged
from beaconfold.stores import ManualClock

BEACONS = "synthetic://?count=5000&rate=0&seed=7&malformed=0.02"


@pytest.fixture
def archive(tmp_path):
    """Give an archive of five segments."""
    with stream(
        beacon_counts,
        source=BEACONS,
        archive=str(tmp_path / "archive"),
        store="memory://",
        max_rows=1_000,
        partition="1h",
    ) as run:
        run.drain()
    return Archive.open(tmp_path / "archive")


def test_twice_is_once(archive):
    store = open_store("memory://")
    first = replay(beacon_counts, archive=archive, store=store)
    assert (first.segments, first.done.merged_segments, first.already_merged) == (5, 5, 0)
    before = store.dump(store.live("beacon-counts"))
    again = replay(beacon_counts, archive=archive, store=store)
    assert (again.segments, again.already_merged) == (0, 5)
    assert "nothing to merge" in str(again)
    assert store.dump(store.live("beacon-counts")) == before


def test_a_dry_run_changes_nothing(archive):
    store = open_store("memory://")
    assert replay(beacon_counts, archive=archive, store=store, dry_run=True).segments == 5
    assert store.generations() == []
    assert replay(beacon_counts, archive=archive, store=store).segments == 5


def test_whole_segments_by_time_of_receipt(archive):
    store = open_store("memory://")
    early = replay(beacon_counts, archive=archive, store=store, until="2000-01-01")
    late = replay(beacon_counts, archive=archive, store=store, since="2000-01-01")
    assert (early.segments, late.segments) == (0, 5)


def test_what_could_not_be_decoded_is_kept_with_its_reason(archive):
    store = open_store("memory://")
    outcome = replay(beacon_counts, archive=archive, store=store)
    kept = store.quarantine(store.live("beacon-counts")).list()
    assert kept["rows"].sum() == outcome.done.num_rejected_rows > 0
    counted = store.query("beacon-counts")["beacons"].sum()
    assert counted + outcome.done.num_rejected_rows == 5_000


def test_another_definition_is_refused_and_named(archive):
    store = open_store("memory://")
    replay(beacon_counts, archive=archive, store=store)
    changed = Job(
        "beacon-counts",
        decode=beacon_counts.decode,
        event_time="ts",
        window="1h",
        key=["beaconType"],
        aggregate={"beacons": Count()},
    )
    with pytest.raises(JobChanged, match="window_us: 60000000 → 3600000000"):
        replay(changed, archive=archive, store=store)


def test_a_missing_archive_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        replay(beacon_counts, archive=str(tmp_path / "none"), store="memory://")
    assert not (tmp_path / "none").exists()


def test_verify_names_the_cells_that_differ(archive):
    store = open_store("memory://")
    replay(beacon_counts, archive=archive, store=store)
    assert verify(beacon_counts, archive=archive, store=store)
    generation = store.live("beacon-counts")
    cell = store.states(generation).head(1)
    store.put(generation, cell.with_columns(pl.col("beacons") + 1))
    outcome = verify(beacon_counts, archive=archive, store=store)
    assert not outcome
    (row,) = outcome.differing.rows(named=True)
    assert row["aggregate"] == "beacons"
    assert int(row["store"]) == int(row["replay"]) + 1


class Fussy(Monoid[int]):
    """A sum of numbers, until a number comes that it does not like."""

    zero = 0
    dislikes: ClassVar[set[int]] = set()

    def plus(self, left, right):
        """Add, or refuse to."""
        if self.dislikes & {left, right} and self.zero not in {left, right}:
            raise ZeroDivisionError("of all things")
        return left + right


@pytest.mark.parametrize("in_fold", [True, False], ids=["folding", "merging"])
def test_poison_is_set_aside_shown_and_tried_again(archive, in_fold):
    refs = archive.segments()
    numbers = {raw: n for n, raw in enumerate(archive.read(refs[2])["raw"])}
    bad = next(raw for raw, n in numbers.items() if n == 5)

    def values(raw):
        # In the fold the bad number meets others of its segment; in the merge those of others.
        if raw == bad:
            return [("all", -7)]
        return [] if raw in numbers and not in_fold else [("all", 1)]

    job = Job.per_row(name="fussy", version="1", map=values, monoid=Fussy())
    store = open_store("memory://")
    Fussy.dislikes = {-7}
    outcome = replay(job, archive=archive, store=store)
    generation = store.live("fussy").with_product(job.product)
    assert outcome.done.poison == {str(refs[2].id): "ZeroDivisionError: of all things"}
    assert store.poison(generation).segments() == {refs[2].id}
    assert refs[2].id not in store.segments(generation)
    alone = fold_segments(job, archive, [refs[2]])
    assert bool(alone.poison) is in_fold
    assert outcome.done.merged_segments == 4

    Fussy.dislikes = set()
    assert replay(job, archive=archive, store=store).done.merged_segments == 1
    assert not store.poison(generation).segments()
    frames = [archive.read(ref) for ref in refs]
    everything = pl.concat(frames)
    assert job.present(store.states(generation)).equals(job.run(everything))


def test_a_merge_that_is_not_complete_cannot_be_verified(archive):
    store = open_store("memory://")
    first = archive.segments()[0]
    generation = store.register(beacon_counts.declaration)
    store.apply(generation, [first.id], beacon_counts.fold(archive.read(first)), shards=[1, 2])
    with pytest.raises(PartlyMerged, match="complete it with `beacons replay`"):
        verify(beacon_counts, archive=archive, store=MergeableStore(store.backend, ManualClock()))
    replay(beacon_counts, archive=archive, store=store)
    assert verify(beacon_counts, archive=archive, store=store)


def test_verify_says_that_the_store_has_more_than_the_archive(archive, tmp_path):
    store = open_store("memory://")
    replay(beacon_counts, archive=archive, store=store)
    with stream(beacon_counts, source=BEACONS, archive=str(tmp_path / "other"), store=store) as run:
        run.drain()
    outcome = verify(beacon_counts, archive=archive, store=store)
    assert not outcome
    assert "the store holds segments that are not in this archive" in str(outcome)

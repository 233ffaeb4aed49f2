"""A replay applies what the ledger lacks, and nothing else."""

import polars as pl
import pytest

from beaconfold import Archive, Count, Job, QueryString, open_store, replay, stream, verify
from beaconfold.pipelines.generation import JobChanged
from beaconfold.pipelines.jobs import beacon_counts

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


def fail_on(raw):
    """Map a beacon, or make its segment poison."""
    if b"beaconType=click" in raw:
        raise KeyError("no clicks today")
    return [("all", 1)]


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


def test_poison_is_set_aside_shown_and_tried_again(archive, monkeypatch):
    job = Job(
        "poisoned",
        decode=QueryString(beaconType=pl.String, ts=pl.Datetime("ms", "UTC")),
        event_time="ts",
        window="1m",
        key=["beaconType"],
        aggregate={"beacons": Count()},
    )
    store = open_store("memory://")
    bad = archive.segments()[2].id
    of_bad = archive.read(archive.segments()[2])
    fold = Job.fold_all

    def fold_or_fail(self, rows):
        if rows.equals(of_bad):
            raise ZeroDivisionError("of all things")
        return fold(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "fold_all", fold_or_fail)
        outcome = replay(job, archive=archive, store=store)
    assert outcome.done.poison == {str(bad): "ZeroDivisionError: of all things"}
    generation = store.live("poisoned")
    assert store.poison(generation).segments() == {bad}
    assert bad not in store.segments(generation)

    assert replay(job, archive=archive, store=store).done.merged_segments == 1
    assert not store.poison(generation).segments()
    assert verify(job, archive=archive, store=store)

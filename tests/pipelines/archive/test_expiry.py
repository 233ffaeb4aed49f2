"""What has expired from an archive is deleted, remembered, and named where it is missed."""

import logging
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from beaconfold import Count, Job, QueryString, open_store, replay, stream, verify
from beaconfold.pipelines.archive import RAW, Archive, SegmentExpired, SegmentUnreadable
from beaconfold.pipelines.archive.expiry import Expired, Expiries
from beaconfold.pipelines.batch import fold_segments, run_batch
from beaconfold.pipelines.cli import main
from beaconfold.pipelines.gaps import Gap, gaps
from beaconfold.pipelines.generation import open_generation
from beaconfold.pipelines.platforms import run_archive
from beaconfold.pipelines.platforms.verify import NotComparable
from beaconfold.stores import Ledger, Seal, SegmentId

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(
    "clicks",
    decode=QueryString(publisher=pl.String, ts=pl.Datetime("ms", "UTC")),
    event_time="ts",
    window="1m",
    key=["publisher"],
    aggregate={"beacons": Count()},
)


def day(number):
    return START + timedelta(days=number)


def publish(archive, epoch, sequence, days, partition="web"):
    row = {"raw": f"/b.gif?publisher=p{days}&ts=1".encode(), "received": day(days), "offset": days}
    frame = pl.DataFrame([row], schema=RAW)
    return archive.publish(partition, epoch, sequence, frame, position=days)


@pytest.fixture
def archive(tmp_path):
    """Give an archive with a sealed epoch, received on days 0 to 3, and an open one, 4 to 6."""
    archive = Archive.open(tmp_path / "archive")
    archive.claim("web")
    for number in range(4):
        publish(archive, 1, number, number)
    archive.claim("web")
    archive.seal("web", 1)
    for number in range(3):
        publish(archive, 2, number, 4 + number)
    return archive


def names(archive):
    return [ref.id[2:] for ref in archive.segments()]


def test_old_segments_are_deleted_from_the_beginning(archive):
    before = archive.expire(day(2), dry_run=True)
    assert (before.segments, before.beacons, before.kept) == (2, 2, 0)
    assert len(names(archive)) == 7
    assert archive.expire(day(2)) == before
    assert names(archive) == [(1, 2), (1, 3), (2, 0), (2, 1), (2, 2)]
    assert archive.expired() == [Expired("web", 1, 2, day(1))]
    assert archive.expire(day(2)).segments == 0
    archive.expire(day(5))
    assert names(archive) == [(2, 1), (2, 2)]
    assert archive.expired() == [Expired("web", 1, 4, day(3)), Expired("web", 2, 1, day(4))]
    assert archive.seals() == [Seal(archive.id, "web", 1, 4)], "what is complete stays known"


def test_a_receiver_can_go_on_from_an_archive_that_has_all_expired(archive):
    archive.expire(day(100))
    assert names(archive) == [(2, 2)]
    assert archive.position("web") == 6
    publish(archive, 2, 3, 7)
    assert archive.claim("web") == 3
    assert archive.seal("web", 2) == 4
    archive.expire(day(100))
    assert names(archive) == [(2, 3)]
    assert archive.position("web") == 7


def test_what_must_be_kept_is_and_what_follows_it(archive):
    done = archive.expire(day(3), keep=lambda segment: segment.sequence == 1)
    assert (done.segments, done.kept) == (1, 2)
    assert names(archive)[:3] == [(1, 1), (1, 2), (1, 3)]


@given(stops=st.lists(st.integers(1, 4), min_size=1))
def test_marks_only_grow_and_a_crash_before_the_deletion_is_made_good(tmp_path_factory, stops):
    archive = Archive.open(tmp_path_factory.mktemp("archive"))
    archive.claim("web")
    for number in range(5):
        publish(archive, 1, number, number)
    for count, stop in enumerate(stops, 1):
        mark = Expired("web", 1, stop, day(stop - 1))
        deletes, archive.folder.delete = archive.folder.delete, lambda _name: None
        archive.expiries.add(mark, archive.check)
        archive.folder.delete = deletes
        assert archive.expiries.stop("web", 1) == max(stops[:count])
    assert names(archive) == [(1, number) for number in range(max(stops), 5)]
    archive.expiries.add(Expired("web", 1, max(stops), day(max(stops) - 1)), archive.check)
    files = sorted(path.stem for path in archive.folder.root.glob("segments/web/*/*"))
    assert [int(name) for name in files] == list(range(max(stops), 5))
    assert archive.expired() == [Expired("web", 1, max(stops), day(max(stops) - 1))]


def test_reading_what_has_expired_says_so(archive):
    first, *_ = refs = archive.segments()
    other = Archive.open(archive.url)
    archive.expire(day(1))
    for reader in (archive, other):
        with pytest.raises(SegmentExpired, match="web/1/0 has expired"):
            reader.read(first)
    archive.folder.delete("segments/web/00000001/000000000001.arrow")
    with pytest.raises(SegmentUnreadable) as missing:
        archive.read(refs[1])
    assert not isinstance(missing.value, SegmentExpired)


def test_gaps_are_what_expired_unmerged(archive):
    merged = [SegmentId(archive.id, "web", 1, number) for number in (0, 2)]
    assert gaps(archive, Ledger()) == []
    archive.expire(day(5))
    found = gaps(archive, Ledger().add(merged))
    assert found == [Gap("web", 1, 1, 2), Gap("web", 1, 3, 4), Gap("web", 2, 0, 1)]
    assert gaps(archive, Ledger().add([SegmentId("other", "web", 1, 1)]))[0] == Gap("web", 1, 0, 4)


def test_a_replay_after_expiry_names_the_gap_and_never_says_that_all_is_merged(archive):
    store = open_store("memory://")
    archive.expire(day(2))
    done = replay(JOB, archive=archive, store=store)
    assert done.gaps == (Gap("web", 1, 0, 2),)
    assert str(done).endswith("expired from the archive and were never merged: web/1/0-1")
    again = str(replay(JOB, archive=archive, store=store))
    assert "all 5 segments are merged; 2 segments have expired" in again


def test_what_was_merged_before_it_expired_is_no_gap_and_verify_tells(archive):
    store = open_store("memory://")
    replay(JOB, archive=archive, store=store)
    archive.expire(day(2))
    assert replay(JOB, archive=archive, store=store).gaps == ()
    result = verify(JOB, archive=archive, store=store)
    assert (bool(result), result.expired, result.elsewhere) == (True, 2, False)
    assert result.compared_from == day(1)
    assert "2 merged segments have expired from the archive: nothing before" in str(result)
    windowless = Job("all", decode=JOB.decode, key=["publisher"], aggregate={"n": Count()})
    replay(windowless, archive=archive, store=store)
    archive.expire(day(3))
    with pytest.raises(NotComparable, match="1 merged segments have expired"):
        verify(windowless, archive=archive, store=store)


def test_after_an_expiry_later_windows_are_compared(archive):
    late = f"/b.gif?publisher=late&ts={int(day(6).timestamp() * 1000)}".encode()
    row = {"raw": late, "received": day(6), "offset": 9}
    archive.publish("web", 2, 3, pl.DataFrame([row], schema=RAW), position=9)
    store = open_store("memory://")
    replay(JOB, archive=archive, store=store)
    archive.expire(day(5))
    where = store.live("clicks")
    store.put(where, store.states(where).with_columns(beacons=pl.lit(7, dtype=pl.Int64)))
    result = verify(JOB, archive=archive, store=store)
    assert result.differing["publisher"].to_list() == ["late"]


def test_verify_names_gaps(archive):
    archive.expire(day(2))
    store = open_store("memory://")
    replay(JOB, archive=archive, store=store)
    result = verify(JOB, archive=archive, store=store)
    assert result
    assert str(result).endswith("and were never merged: web/1/0-1")


def test_a_stream_warns_of_gaps(archive, caplog):
    archive.expire(day(2))
    with (
        caplog.at_level(logging.WARNING),
        stream(JOB, archive=archive, store=open_store("memory://")) as run,
    ):
        run.drain()
    assert "2 segments have expired" in caplog.text


def test_a_segment_that_expires_before_it_is_read_holds_nothing_up(archive):
    store, refs = open_store("memory://"), archive.segments()
    generation = open_generation(JOB, store)
    archive.expire(day(2))
    done = run_batch(JOB, archive, store, generation, refs)
    assert (done.segments, done.merged_segments) == (7, 5)
    assert store.segments(generation).missing(ref.id for ref in refs) == {r.id for r in refs[:2]}
    assert len(fold_segments(JOB, archive, refs).expired) == 2
    with pytest.raises(SegmentExpired, match="while the archive was being read"):
        run_archive(JOB, archive, segments=refs)


def test_the_command_keeps_what_a_store_has_not_merged(archive, tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    where = open_generation(JOB, store)
    run_batch(JOB, archive, store, where, archive.segments()[:3])
    store.register({**JOB.declaration, "job": "elsewhere"})  # reads another archive, if any

    def run(*arguments):
        return CliRunner().invoke(main, ["archive", *arguments, "--archive", archive.url])

    dry = run("expire", "--older-than", "1d", "--dry-run")
    assert dry.stdout.startswith("would delete 6 segments, 6 beacons, ")
    done = run("expire", "--older-than", "1d", "--store", store.url)
    assert done.stdout.startswith("deleted 3 segments, 3 beacons, ")
    assert "kept 3 segments: a store has not merged them all" in done.stderr
    listed = run("list", "--format", "csv").stdout.splitlines()
    assert listed[0] == "partition,epochs,segments,expired,rows,bytes,first,last"
    assert listed[1].startswith("web,2,4,3,4,")
    missing = run("expire", "--older-than", "1d", "--store", f"sqlite:///{tmp_path}/none.db")
    assert missing.exit_code == 2
    assert "no store at" in missing.stderr
    assert Expiries(archive.folder, archive._listing).stop("web", 1) == 3

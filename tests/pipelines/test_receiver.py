"""The receiver: a whole life, its ends, and what it does when the archive or the source fails."""

import errno
import gzip
import shutil
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from beaconfold.pipelines.archive import Archive, ArchiveChanged, Lease
from beaconfold.pipelines.archive.local import LocalFolder
from beaconfold.pipelines.receiver import LEASE, Receiver
from beaconfold.pipelines.sources import (
    ARRIVING,
    NOTHING,
    Batch,
    SourcePartition,
    SourceUnreadable,
    open_source,
)
from beaconfold.stores.clock import ManualClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class Numbers(SourcePartition):
    """Yields batches of numbered rows; None in the script is a batch of an idle source."""

    script: list
    ends: bool = True
    acknowledged: list = field(default_factory=list)
    closed: bool = False

    identity = "numbers"

    @property
    def finite(self):
        return self.ends

    def read(self, position):
        at = 0
        try:
            for size in self.script:
                if isinstance(size, Exception):
                    raise size
                end = at + (size or 0)
                if end > (position or 0) or not size:
                    begin = max(at, position or 0)
                    rows = range(begin, end)
                    frame = pl.DataFrame(
                        {
                            "raw": [f"{n}".encode() for n in rows],
                            "offset": rows,
                            "message_id": [None] * len(rows),
                        },
                        schema=ARRIVING,
                    )
                    yield Batch(frame, end)
                at = end
            while not self.ends:
                yield Batch(NOTHING, at)
        finally:
            self.closed = True

    def acknowledge(self, position):
        self.acknowledged.append(position)


class FullDisk(LocalFolder):
    """A folder whose disk is full for so many files, before or after it has made them."""

    def __init__(self, root, *, failures=0, after=False):
        super().__init__(root)
        self.failures, self.after = failures, after

    def create(self, name, data, check=bool):
        full = name.startswith("segments") and data and self.failures > 0
        if full:
            self.failures -= 1
        if not full or self.after:
            super().create(name, data, check)
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def clock():
    return ManualClock(NOON)


@pytest.fixture
def archive(tmp_path):
    return Archive.open(tmp_path / "archive")


def stored(archive):
    return [archive.read(ref)["offset"].to_list() for ref in archive.segments()]


def steps(receiver):
    done = []
    while (step := receiver.step()) is not None:
        done.append(step)
    return done


class TestALife:
    def test_step_by_step(self, archive, clock):
        receiver = Receiver(Numbers([2, None, 1]), archive, max_rows=2, clock=clock)
        assert receiver.progress.state == "new"
        assert steps(receiver) == [
            *("claimed", "sealed", "resumed"),
            *("received", "full", "published", "acknowledged"),
            *("received", "received"),
            *("full", "published", "acknowledged"),
            *("ended", "sealed"),
        ]
        assert receiver.done
        assert stored(archive) == [[0, 1], [2]]
        assert [seal.length for seal in archive.seals()] == [2]

    def test_positions_of_partitions_are_where_the_next_row_begins(self, archive, clock):
        source = Numbers([7, 2, 4])
        end = Receiver(source, archive, max_rows=3, clock=clock).run()
        assert stored(archive) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [12]]
        assert [archive.header(ref).position for ref in archive.segments()] == [3, 6, 9, 12, 13]
        assert source.acknowledged == [3, 6, 9, 12, 13]
        assert source.closed
        assert (end.state, end.rows, end.segments, end.position) == ("finished", 13, 5, 13)
        assert (end.bytes, end.pending, end.epoch, end.error) == (16, 0, 1, None)

    def test_age_publishes_what_is_held_though_the_source_is_idle(self, archive, clock):
        receiver = Receiver(Numbers([2, None, None, None], ends=False), archive, clock=clock)
        while receiver.progress.pending == 0:
            receiver.step()
        clock.advance(0.9)
        receiver.step()
        assert stored(archive) == []
        clock.advance(0.1)
        for _ in range(4):
            receiver.step()
        assert stored(archive) == [[0, 1]]

    def test_times_of_receipt_are_the_clock_s(self, archive, clock):
        receiver = Receiver(Numbers([1, 1]), archive, age="1m", clock=clock)
        for step in iter(receiver.step, None):
            if step == "received":
                clock.advance(10)
        (ref,) = archive.segments()
        received = archive.read(ref)["received"].to_list()
        assert received == [NOON, NOON + timedelta(seconds=10)]

    def test_a_second_run_finds_nothing_to_do(self, archive, clock):
        Receiver(Numbers([5]), archive, clock=clock).run()
        end = Receiver(Numbers([5]), archive, clock=clock).run()
        assert (end.state, end.rows, end.epoch, end.position) == ("finished", 0, 2, 5)
        assert stored(archive) == [[0, 1, 2, 3, 4]]
        assert [seal.length for seal in archive.seals()] == [1, 0]

    def test_a_successor_goes_on_where_a_crashed_one_was(self, archive, clock):
        crashed = Receiver(Numbers([3, 3, 3]), archive, max_rows=2, clock=clock)
        while crashed.progress.segments < 2:
            crashed.step()
        assert Receiver(Numbers([9]), archive, clock=clock).run().rows == 5
        assert [n for part in stored(archive) for n in part] == list(range(9))
        assert steps(crashed)[-1:] != ["sealed"]
        assert crashed.progress.state == "fenced"
        assert [seal.length for seal in archive.seals()] == [2, 1]

    def test_the_claim_records_what_the_source_is(self, archive, tmp_path):
        (tmp_path / "beacons.log").write_text("a\n")
        (partition,) = open_source(str(tmp_path / "beacons.log")).partitions()
        Receiver(partition, archive).run()
        assert archive.sources() == {partition.identity: partition.about()}


class TestEnds:
    def test_a_stop_publishes_what_is_held_and_seals(self, archive, clock):
        source = Numbers([2], ends=False)
        receiver = Receiver(source, archive, clock=clock)
        while receiver.progress.pending == 0:
            receiver.step()
        receiver.stop()
        assert receiver.run().state == "stopped"
        assert stored(archive) == [[0, 1]]
        assert [seal.length for seal in archive.seals()] == [1]
        assert source.closed
        assert archive.lease("numbers") is None

    def test_a_stop_without_draining_leaves_what_is_held_to_the_successor(self, archive, clock):
        receiver = Receiver(Numbers([2], ends=False), archive, clock=clock)
        while receiver.progress.pending == 0:
            receiver.step()
        receiver.stop(drain=False)
        assert receiver.run().state == "stopped"
        assert stored(archive) == []
        Receiver(Numbers([2]), archive, clock=clock).run()
        assert stored(archive) == [[0, 1]]

    def test_a_stop_before_the_start_claims_nothing(self, archive, clock):
        receiver = Receiver(Numbers([2]), archive, clock=clock)
        receiver.stop()
        assert receiver.run().state == "stopped"
        assert archive.claim("numbers") == 1

    def test_a_source_that_breaks_leaves_what_came_before(self, archive, clock):
        broken = SourceUnreadable("the file is cut")
        receiver = Receiver(Numbers([3, broken]), archive, clock=clock)
        with pytest.raises(SourceUnreadable, match="cut"):
            receiver.run()
        assert stored(archive) == [[0, 1, 2]]
        assert (receiver.progress.state, receiver.progress.error) == ("failed", "the file is cut")
        assert receiver.failure is broken
        assert receiver.step() is None
        assert [seal.length for seal in archive.seals()] == [1]
        assert Receiver(Numbers([5]), archive, clock=clock).run().rows == 2

    def test_a_cut_gzip_file_and_its_whole_successor(self, archive, tmp_path):
        lines = [f"/b.gif?n={n}" for n in range(50_000)]
        content = gzip.compress("\n".join(lines).encode())
        path = tmp_path / "beacons.gz"
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(SourceUnreadable, match="beacons.gz is cut"):
            Receiver(open_source(str(path)).partitions()[0], archive).run()
        path.write_bytes(content)
        Receiver(open_source(str(path)).partitions()[0], archive).run()
        raw = pl.concat(archive.read(ref)["raw"] for ref in archive.segments())
        assert raw.cast(pl.String).to_list() == lines

    def test_an_archive_made_anew_ends_it(self, archive, clock):
        receiver = Receiver(Numbers([1, 1]), archive, max_rows=1, clock=clock)
        while receiver.progress.segments < 1:
            receiver.step()
        shutil.rmtree(archive.folder.root)
        anew = Archive.open(archive.url)
        with pytest.raises(ArchiveChanged):
            receiver.run()
        assert receiver.progress.state == "failed"
        assert stored(anew) == []

    def test_a_thread_of_its_own(self, archive, tmp_path):
        (tmp_path / "beacons.log").write_text("a\nb\n")
        (partition,) = open_source(str(tmp_path / "beacons.log")).partitions()
        receiver = Receiver(partition, archive)
        receiver.start()
        assert receiver.join(30)
        assert (receiver.progress.state, receiver.progress.rows) == ("finished", 2)

    def test_a_thread_is_stopped(self, archive):
        (partition,) = open_source("synthetic://?rate=10000").partitions()
        published = threading.Event()
        receiver = Receiver(partition, archive, age="50ms", on_publish=lambda _: published.set())
        receiver.start()
        assert published.wait(30)
        receiver.stop()
        assert receiver.join(30)
        end = receiver.progress
        assert end.state == "stopped"
        assert end.rows == end.position == sum(map(len, stored(archive)))

    def test_a_thread_that_fails_says_why(self, archive):
        receiver = Receiver(Numbers([RuntimeError("out of order")]), archive)
        receiver.start()
        assert receiver.join(30)
        assert (receiver.progress.state, receiver.progress.error) == ("failed", "out of order")


class TestFaults:
    @pytest.mark.parametrize("after", [False, True], ids=["nothing made", "made all the same"])
    def test_a_full_disk_is_waited_out(self, archive, clock, after):
        folder = FullDisk(archive.folder.root, failures=3, after=after)
        source = Numbers([2, 2])
        receiver = Receiver(source, Archive(folder, archive.id), max_rows=2, clock=clock)
        seen = []
        while (step := receiver.step()) is not None:
            progress = receiver.progress
            seen.append((step, progress.state, progress.error, list(source.acknowledged)))
        full = "[Errno 28] No space left on device"
        assert ("retrying", "retrying", full, []) in seen
        assert sum(step == "retrying" for step, *_ in seen) == (2 if after else 3)
        assert (receiver.progress.state, receiver.progress.error) == ("finished", None)
        assert stored(archive) == [[0, 1], [2, 3]]
        assert clock.monotonic() >= (0.2 if after else 0.7) - 1e-9

    def test_a_full_disk_does_not_keep_one_that_need_not_drain(self, archive, clock):
        folder = FullDisk(archive.folder.root, failures=1000)
        receiver = Receiver(Numbers([2]), Archive(folder, archive.id), clock=clock)
        while receiver.progress.state != "retrying":
            receiver.step()
        receiver.stop(drain=False)
        with pytest.raises(OSError, match="No space left"):
            receiver.run()
        assert receiver.progress.state == "failed"

    def test_an_announcement_that_fails_stops_nothing(self, archive, clock, caplog):
        def announce(ref):
            raise RuntimeError(f"nobody listens to {ref.id.sequence}")

        end = Receiver(Numbers([1, 1]), archive, max_rows=1, clock=clock, on_publish=announce).run()
        assert (end.state, end.rows) == ("finished", 2)
        assert "nobody listens to 1" in caplog.text

    def test_announcements_come_after_the_acknowledgement(self, archive, clock):
        source, announced = Numbers([1, 1]), []

        def announce(ref):
            announced.append((ref, list(source.acknowledged)))

        Receiver(source, archive, max_rows=1, clock=clock, on_publish=announce).run()
        assert announced == list(zip(archive.segments(), [[1], [1, 2]], strict=True))


class TestLease:
    def test_it_is_renewed_while_it_lives_and_released_at_the_end(self, archive, clock):
        receiver = Receiver(Numbers([1], ends=False), archive, clock=clock)
        for _ in range(40):
            receiver.step()
            clock.advance(1)
            lease = archive.lease("numbers")
            assert receiver.progress.epoch == 0 or lease is None or lease.live(clock.now())
        assert archive.lease("numbers").epoch == 1
        receiver.stop()
        receiver.run()
        assert archive.lease("numbers") is None

    def test_one_that_hangs_is_dead_after_its_lease(self, archive, clock):
        receiver = Receiver(Numbers([1], ends=False), archive, clock=clock)
        for _ in range(10):
            receiver.step()
        assert archive.lease("numbers").live(clock.now())
        clock.advance(LEASE.total_seconds())
        assert not archive.lease("numbers").live(clock.now())

    def test_a_successor_s_lease_fences_an_idle_one(self, archive, clock):
        receiver = Receiver(Numbers([1], ends=False), archive, clock=clock)
        for _ in range(10):
            receiver.step()
        archive.renew(Lease.mine("numbers", 2, clock.now() + LEASE))
        clock.advance(LEASE.total_seconds())
        assert receiver.run().state == "fenced"
        assert archive.lease("numbers").epoch == 2

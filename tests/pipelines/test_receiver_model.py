"""A model of receivers that crash, hang and wake, over a real folder that may be made anew.

Whatever happens, the segments of all epochs in order are the source's rows: each once, in order.
"""

import errno
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from beaconfold.pipelines.archive import Archive, ArchiveChanged
from beaconfold.pipelines.archive.local import LocalFolder
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources import ARRIVING, NOTHING, Batch, SourcePartition
from beaconfold.stores.clock import ManualClock

IN_MEMORY = Path("/dev/shm")
"""A real folder all the same, where syncing thousands of files does not wait for a disk."""

ROWS = 24
PARTITIONS = ("left", "right")


class Crash(BaseException):
    """The process is gone."""


class FaultyFolder(LocalFolder):
    """A folder in which something can happen just before or after a file has its name."""

    def __init__(self, root):
        super().__init__(root)
        self.before = self.after = None

    def create(self, name, data, check=bool):
        def check_and_wait():
            check()
            before, self.before = self.before, None
            if before:
                before()

        super().create(name, data, check_and_wait)
        after, self.after = self.after, None
        if after:
            after()


@dataclass
class Numbers(SourcePartition):
    """Rows 0 to 23; a row can be read again from its offset on."""

    name: str
    batch: int
    acknowledged: Callable

    @property
    def identity(self):
        return self.name

    def read(self, position):
        at = position or 0
        while at < ROWS:
            yield Batch(NOTHING, at)
            rows = range(at, min(at + self.batch, ROWS))
            raw = [f"{self.identity} {row}".encode() for row in rows]
            columns = {"raw": raw, "offset": rows, "message_id": [None] * len(rows)}
            at = rows.stop
            yield Batch(pl.DataFrame(columns, schema=ARRIVING), at)

    def acknowledge(self, position):
        self.acknowledged(self.identity, position)


class Receivers(RuleBasedStateMachine):
    """Receivers of two partitions, of which any number may believe to be the one."""

    receivers = Bundle("receivers")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self.clock = ManualClock()
        self.alive = []
        self.make_archive()

    def make_archive(self):
        self.archive = Archive.open(self.folder / "archive")
        self.there = True
        self.frames, self.lengths = {}, {}

    def step(self, receiver, times=1):
        for _ in range(times):
            with suppress(ArchiveChanged, OSError):  # it has failed, and says so
                receiver.step()

    def acknowledged(self, archive, partition, position):
        if self.there and archive == self.archive.id:
            assert len(self.rows(partition)) >= position, "acknowledged before it was durable"

    def rows(self, partition):
        rows = []
        for ref in self.archive.segments():
            if ref.id not in self.frames:
                self.frames[ref.id] = self.archive.read(ref)
            if ref.id.partition == partition:
                rows += self.frames[ref.id]["offset"].to_list()
        return rows

    @rule(
        target=receivers,
        partition=st.sampled_from(PARTITIONS),
        batch=st.integers(1, 7),
        max_rows=st.integers(1, 7),
        steps=st.integers(0, 12),
    )
    def start(self, partition, batch, max_rows, steps):
        folder = FaultyFolder(self.archive.folder.root)
        archive = Archive(folder, self.archive.id)
        source = Numbers(partition, batch, lambda *what: self.acknowledged(archive.id, *what))
        receiver = Receiver(source, archive, max_rows=max_rows, clock=self.clock)
        self.alive.append(receiver)
        self.step(receiver, steps)
        return receiver

    @rule(receiver=receivers, times=st.integers(1, 20))
    def go_on(self, receiver, times):
        self.step(receiver, times)

    @rule(receiver=receivers, drain=st.booleans())
    def stop(self, receiver, drain):
        receiver.stop(drain=drain)

    @rule(receiver=consumes(receivers))
    def crash(self, receiver):
        self.alive.remove(receiver)

    @rule(receiver=consumes(receivers), linked=st.booleans())
    def crash_around_the_link(self, receiver, linked):
        folder = receiver.archive.folder
        self.alive.remove(receiver)

        def gone():
            folder.path("tmp/left-behind").write_bytes(b"half a segm")
            raise Crash

        folder.before, folder.after = (None, gone) if linked else (gone, None)
        with suppress(Crash):
            self.step(receiver, 20)
        folder.before = folder.after = None

    @rule(
        zombie=receivers, others=st.lists(receivers, min_size=1, max_size=2), linked=st.booleans()
    )
    def hang_around_the_link(self, zombie, others, linked):
        """Others go on between a receiver's last check of its archive and its next file."""

        def meanwhile():
            for other in others:
                if other is not zombie:
                    self.step(other, 15)

        folder = zombie.archive.folder
        folder.before, folder.after = (None, meanwhile) if linked else (meanwhile, None)
        self.step(zombie, 5)
        folder.before = folder.after = None

    @rule(receiver=receivers, linked=st.booleans())
    def fill_the_disk(self, receiver, linked):
        def full():
            raise OSError(errno.ENOSPC, "No space left on device")

        folder = receiver.archive.folder
        folder.before, folder.after = (None, full) if linked else (full, None)
        self.step(receiver, 5)
        folder.before = folder.after = None

    @rule(seconds=st.sampled_from([0.5, 4, 20]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(going_on=st.lists(receivers, max_size=2), steps=st.integers(1, 8), anew=st.booleans())
    def take_the_folder_away(self, going_on, steps, anew):
        """It comes back as it was, or another archive takes its place."""
        root, away = self.archive.folder.root, self.folder / "away"
        root.rename(away)
        self.there = False
        for receiver in going_on:
            self.step(receiver, steps)
        resurrected = root.exists()
        shutil.rmtree(away if anew else root, ignore_errors=True)
        if anew:
            self.make_archive()
        else:
            away.rename(root)
            self.there = True
        assert not resurrected, "a receiver brought a deleted folder back to life"

    @invariant()
    def each_row_once_in_order(self):
        for partition in PARTITIONS:
            rows = self.rows(partition)
            assert rows == list(range(len(rows)))
            for segment, frame in self.frames.items():
                raw = [f"{segment.partition} {row}".encode() for row in frame["offset"]]
                assert frame["raw"].to_list() == raw

    @invariant()
    def what_is_sealed_stays_as_it_is(self):
        ids = [ref.id for ref in self.archive.segments()]
        for seal in self.archive.seals():
            assert self.lengths.setdefault(seal[:3], seal.length) == seal.length
            sequences = [segment.sequence for segment in ids if segment[:3] == seal[:3]]
            assert sequences == list(range(seal.length))

    @invariant()
    def every_epoch_was_claimed(self):
        for segment in self.archive.segments():
            claim = f"epochs/{segment.id.partition}/{segment.id.epoch:08d}.json"
            assert (self.folder / "archive" / claim).exists()

    def teardown(self):
        try:
            for partition in PARTITIONS:
                self.step(self.start(partition, 5, 4, 0), 300)
                assert self.rows(partition) == list(range(ROWS))
            for zombie in self.alive:
                self.step(zombie, 300)
                assert zombie.done
            self.each_row_once_in_order()
            self.what_is_sealed_stays_as_it_is()
            for partition in PARTITIONS:
                assert self.rows(partition) == list(range(ROWS))
        finally:
            shutil.rmtree(self.folder)


TestReceivers = Receivers.TestCase
TestReceivers.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)

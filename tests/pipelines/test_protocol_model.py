"""The whole protocol as a stateful model: receivers, drivers and a store, with crashes and zombies.

Whatever the interleaving, the store ends with the bytes of one clean run: everything that was
received, once.
"""

import shutil
import tempfile
from pathlib import Path

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from beaconfold import Archive, Count, HyperLogLog, Job, MergeableStore, QueryString, Sum
from beaconfold.pipelines.archive import ArchiveChanged
from beaconfold.pipelines.batch import fold_segments, merge_segments, run_batch
from beaconfold.pipelines.generation import open_generation
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources.source import ARRIVING, Batch, SourcePartition
from beaconfold.stores import GenerationDropped, GenerationRetired
from beaconfold.stores.clock import ManualClock
from beaconfold.stores.memory import MemoryBackend

JOB = Job(
    "modelled",
    decode=QueryString(site=pl.String, n=pl.Int64, ts=pl.Datetime("ms", "UTC")),
    event_time="ts",
    window="1m",
    key="site",
    aggregate={"beacons": Count(), "total": Sum("n"), "users": HyperLogLog("site", lg_k=4)},
)
PARTITIONS = {
    name: [f"/b?site={name}{n % 5}&n={n}&ts={n * 9_000}".encode() for n in range(12)]
    for name in ("east", "west")
}
PARTITIONS["west"][7] = b"/b?site=west&n=seven&ts=1"


class Listed(SourcePartition):
    """A source partition that can be read again from any position, two beacons at a time."""

    def __init__(self, name):
        self.name = name

    @property
    def identity(self):
        """Name it."""
        return self.name

    def read(self, position):
        """Read on from a position."""
        rows = PARTITIONS[self.name]
        for at in range(position or 0, len(rows), 2):
            some = rows[at : at + 2]
            offsets = range(at, at + len(some))
            frame = pl.DataFrame({"raw": some, "offset": offsets}).with_columns(
                message_id=pl.lit(None, pl.Binary)
            )
            yield Batch(frame.cast(ARRIVING).select(ARRIVING.names()), at + len(some))


class Crash(BaseException):
    """The process is gone: nothing of ours may catch this."""


class CrashingBackend(MemoryBackend):
    """A store in memory whose client dies after some of a commit's shards are written."""

    survive: int | None = None

    def commit(self, generation, writes):
        """Write shard after shard, until the crash."""
        if self.survive is None:
            return super().commit(generation, writes)
        written = super().commit(generation, writes[: self.survive])
        if len(writes) > self.survive:
            self.survive = None
            raise Crash
        return written


class Protocol(RuleBasedStateMachine):
    """Any number of receivers and drivers, alive, dead or asleep."""

    receivers = Bundle("receivers")
    folded = Bundle("folded")

    @initialize(target=receivers, rows=st.integers(1, 4), steps=st.integers(4, 20))
    def begin(self, rows, steps):
        """A receiver of each partition has begun, and got somewhere."""
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.backend = CrashingBackend(shards=4)
        self.store = MergeableStore(self.backend, self.clock)
        self.archive = Archive.open(self.folder / "archive")
        self.generation = open_generation(JOB, self.store)
        self.revision = 0
        self.lost = JOB.empty
        begun = [self.receiver(name, rows) for name in PARTITIONS]
        for receiver in begun:
            self.step(receiver, steps)
        return multiple(*begun)

    def teardown(self):
        if hasattr(self, "folder"):
            self.end()
            shutil.rmtree(self.folder, ignore_errors=True)

    def receiver(self, name, rows):
        """Make a receiver of a partition."""
        return Receiver(Listed(name), self.archive, max_rows=rows, clock=self.clock)

    # Receivers

    @rule(target=receivers, name=st.sampled_from(sorted(PARTITIONS)), rows=st.integers(1, 5))
    def start_receiver(self, name, rows):
        """A successor begins, whoever else believes to be receiving that partition."""
        return self.receiver(name, rows)

    @rule(receiver=receivers, steps=st.integers(1, 20))
    def step(self, receiver, steps):
        """A receiver does a little, or wakes up as a zombie."""
        try:
            for _ in range(steps):
                receiver.step()
        except ArchiveChanged:
            assert receiver.archive.id != self.archive.id

    @rule(target=receivers, zombie=receivers, steps=st.integers(3, 9), late=st.integers(1, 9))
    def succeed(self, zombie, steps, late):
        """A successor begins while its predecessor sleeps, which then wakes as a zombie."""
        successor = self.receiver(zombie.partition.name, 2)
        self.step(successor, steps)
        self.step(zombie, late)
        return successor

    @rule(receiver=consumes(receivers))
    def kill_receiver(self, receiver):
        """A receiver dies between two steps."""

    # Drivers

    def pending(self):
        ledger = self.store.segments(self.generation)
        return [ref for ref in self.archive.segments() if ref.id not in ledger]

    @precondition(lambda self: self.pending())
    @rule(data=st.data(), survive=st.none() | st.integers(0, 3))
    def drive(self, data, survive):
        """A driver folds and merges some segments, and may die when some shards have them."""
        self.merge(self.fold(data), survive)

    @precondition(lambda self: self.pending())
    @rule(target=folded, data=st.data())
    def fold(self, data):
        """A driver folds some segments that are not merged, in any order, and falls asleep."""
        some = st.lists(st.sampled_from(self.pending()), unique=True, min_size=1, max_size=4)
        return fold_segments(JOB, self.archive, data.draw(some)), self.archive, self.generation

    @rule(work=folded, survive=st.none() | st.integers(0, 3))
    def wake(self, work, survive):
        """A driver merges what it folded long ago, perhaps again."""
        self.merge(work, survive)

    def merge(self, work, survive):
        """Merge, and perhaps not to the end."""
        of_segments, archive, generation = work
        if archive.id != self.archive.id:
            return  # its segments can no longer be read: nobody can merge them
        self.backend.survive = survive
        try:
            merge_segments(of_segments, JOB, archive, self.store, generation)
            self.store.record_seals(generation, archive.seals())
        except Crash:
            pass
        except (GenerationRetired, GenerationDropped):
            assert generation != self.generation
        finally:
            self.backend.survive = None

    # What only the store still has cannot be rebuilt.
    @precondition(lambda self: self.lost.is_empty())
    @rule(drop=st.booleans(), seldom=st.integers(0, 3))
    def rebuild(self, drop, seldom):
        """A new revision is built from the archive, becomes live, and the old one is closed."""
        if seldom:
            return
        old = self.generation
        self.revision += 1
        new = self.store.register(JOB.declaration, self.revision).with_product(JOB.product)
        assert new.state == "building"
        self.run_clean(self.store, new)
        self.store.switch(new)
        self.store.retire(old)
        if drop:
            self.store.drop(old)
        self.generation = new

    @precondition(lambda self: self.lost.is_empty())
    @rule(seldom=st.integers(0, 3))
    def remake_the_archive(self, seldom):
        """The folder is deleted and made anew: what was merged stays, all is received again."""
        if seldom:
            return
        self.run_clean(self.store, self.generation)
        self.lost = self.clean_run()
        shutil.rmtree(self.folder / "archive")
        old, self.archive = self.archive, Archive.open(self.folder / "archive")
        assert old.id != self.archive.id

    # What must hold

    def run_clean(self, store, generation):
        ledger = store.segments(generation)
        refs = [ref for ref in self.archive.segments() if ref.id not in ledger]
        run_batch(JOB, self.archive, store, generation, refs, self.archive.seals())

    def clean_run(self):
        refs = self.archive.segments()
        return JOB.plus(JOB.empty, *(JOB.fold(self.archive.read(ref)) for ref in refs))

    @invariant()
    def every_beacon_is_in_the_archive_once_and_in_order(self):
        if not hasattr(self, "archive"):
            return
        received = {name: [] for name in PARTITIONS}
        for ref in self.archive.segments():
            received[ref.id.partition] += self.archive.read(ref)["raw"].to_list()
        for name, rows in received.items():
            assert rows == PARTITIONS[name][: len(rows)]

    def end(self):
        """Whatever happened: a last receiver each and a last driver, and the answer is right."""
        for name in PARTITIONS:
            self.receiver(name, 3).run()
        self.run_clean(self.store, self.generation)
        rows = [row for of_partition in PARTITIONS.values() for row in of_partition]
        once = JOB.plus(JOB.fold(pl.DataFrame({"raw": rows})), self.lost)

        clean = MergeableStore(MemoryBackend(shards=4), self.clock)
        alone = clean.register(JOB.declaration)
        clean.put(alone, once)
        assert self.store.dump(self.generation) == clean.dump(alone)

        kept = self.store.quarantine(self.generation).list()
        here = kept.filter(pl.col("segment").str.starts_with(self.archive.id))
        assert here["rows"].sum() == 1


Protocol.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestProtocol = Protocol.TestCase

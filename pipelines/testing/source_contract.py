"""What every source must do."""

# ruff: noqa: S101, D102 - these are tests, and their names say what they test

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias

import polars as pl
import pytest

from ..archive import Archive
from ..archive.names import checked
from ..receiver import Receiver
from ..sources import ARRIVING, Batch, SourcePartition, open_source

Publish: TypeAlias = Callable[[Sequence[bytes]], object]
"""Publishes beacons in order, and returns once the broker has confirmed them."""

PATIENCE = 60.0
"""Seconds after which what should have come is taken to be missing: a bound, not a measure."""


class Broker(Protocol):
    """A broker that can be killed."""

    def kill(self) -> object:
        """End it as ``kill -9`` does, and return once it is gone."""

    def start(self) -> object:
        """Start it again with what it had stored, and return once it can be published to."""


class SourceContract:
    """What every source must do; subclasses give the fixtures and say what their source can do.

    Fixtures: ``source_url``, of a source of one partition that is empty in each test;
    ``publish``, see `Publish`; and ``broker``, see `Broker`, where there is one to kill.
    """

    live: ClassVar[bool] = True
    """It never ends by itself; else it ends where what was published before ends."""

    stores: ClassVar[bool] = True
    """It keeps what is published while nobody reads."""

    resumes: ClassVar[bool] = True
    """It has offsets: reading on from any position is exact."""

    exact: ClassVar[bool] = True
    """It has offsets or message ids: nothing is received twice, even if a broker is killed."""

    secret: ClassVar[str] = "s3cret"  # noqa: S105 - of a broker that is started for the test
    """The password in ``source_url``, if it has one: it is never shown."""

    bad_urls: ClassVar[Sequence[str]] = ()
    """URLs that are refused when they are opened; each may hold the password."""

    @pytest.fixture
    def broker(self) -> Broker | None:
        """Give the broker that can be killed; None where there is none."""
        return None

    def bodies(self, count: int, first: int = 0) -> list[bytes]:
        """Make the beacons to publish, from a number on; all different."""
        return [b"/b.gif?n=%07d" % n for n in range(first, first + count)]

    def partition(self, url: str) -> SourcePartition:
        """Open the source, anew each time."""
        (partition,) = open_source(url).partitions()
        return partition

    # Names

    def test_an_identity_is_stable_and_safe_and_no_secret(
        self, source_url: str, publish: Publish
    ) -> None:
        if self.stores:
            publish(self.bodies(3))  # a file is known by its content
        one, other = self.partition(source_url), self.partition(source_url)
        assert one.identity == other.identity
        assert checked(one.identity) == one.identity
        assert self.secret not in f"{one.identity} {one.about()} {one.health} {one!r}"
        assert one.finite == (not self.live)

    def test_a_bad_url_is_refused_in_a_line_without_the_password(self) -> None:
        for url in self.bad_urls:
            with pytest.raises(ValueError, match=r".") as refused:
                open_source(url).partitions()
            text = str(refused.value)
            assert "\n" not in text
            assert self.secret not in text

    # Reading

    def test_what_was_published_is_read_once_and_in_order(
        self, source_url: str, publish: Publish
    ) -> None:
        self._needs(self.stores)
        bodies = self.bodies(5000)
        publish(bodies)
        batches = read(self.partition(source_url), len(bodies))
        assert all(batch.frame.schema == ARRIVING for batch in batches)
        frame = pl.concat(batch.frame for batch in batches)
        assert frame["raw"].to_list() == bodies
        if self.resumes:
            assert frame["offset"].is_sorted()
            assert frame["offset"].null_count() == 0

    def test_reading_on_from_any_position_is_exact(self, source_url: str, publish: Publish) -> None:
        self._needs(self.stores and self.resumes)
        bodies = self.bodies(3000)
        publish(bodies[:1000])
        publish(bodies[1000:])
        batches = read(self.partition(source_url), len(bodies))
        seen = 0
        for batch in batches:
            seen += batch.frame.height
            if rest := bodies[seen:]:
                assert raw(read(self.partition(source_url), len(rest), batch.position)) == rest
        frame = pl.concat(batch.frame for batch in batches).with_row_index("row")
        firsts = frame.group_by("offset", maintain_order=True).first()
        for row, offset in firsts.sample(3, seed=1).select("row", "offset").iter_rows():
            found = read(self.partition(source_url), len(bodies) - row, offset)
            assert raw(found) == bodies[row:]

    def test_positions_never_go_back(self, source_url: str, publish: Publish) -> None:
        self._needs(self.stores and self.resumes)
        bodies = self.bodies(2000)
        publish(bodies)
        positions = [batch.position for batch in read(self.partition(source_url), len(bodies))]
        assert all(a is not None and b is not None and a <= b for a, b in pairwise(positions))

    def test_a_live_source_that_is_idle_yields_empty_batches(
        self, source_url: str, publish: Publish
    ) -> None:
        self._needs(self.live and self.stores)
        bodies = self.bodies(20)
        publish(bodies[:10])
        partition = self.partition(source_url)
        batches = partition.read(None)
        assert raw(take(batches, 10)) == bodies[:10]
        idle = [next(batches) for _ in range(3)]
        assert all(batch.frame.is_empty() for batch in idle)
        assert partition.health is None
        publish(bodies[10:])
        assert raw(take(batches, 10)) == bodies[10:]
        close(batches)

    def test_closing_the_iterator_releases_what_it_holds(
        self, source_url: str, publish: Publish
    ) -> None:
        self._needs(self.stores)
        publish(self.bodies(100))
        read(self.partition(source_url), 100)  # what is started once for all is not to be released
        threads, files = set(threading.enumerate()), open_files()
        for _ in range(3):
            read(self.partition(source_url), 100)
        eventually(lambda: set(threading.enumerate()) <= threads and open_files() <= files)

    # Receiving

    def test_a_receiver_has_all_of_it_once(
        self, source_url: str, publish: Publish, tmp_path: Path
    ) -> None:
        bodies = self.bodies(4000)
        archive = Archive.open(tmp_path / "archive")
        if self.stores:
            publish(bodies[:2000])
        if not self.live:
            publish(bodies[2000:])
            Receiver(self.partition(source_url), archive, max_rows=700).run()
        else:
            with receiving(self.partition(source_url), archive):
                publish(bodies[2000 if self.stores else 0 :])
                eventually(lambda: held(archive) >= len(bodies))
        assert stored(archive) == bodies

    def test_a_successor_goes_on_exactly(
        self, source_url: str, publish: Publish, tmp_path: Path
    ) -> None:
        self._needs(self.stores and self.resumes)
        bodies = self.bodies(3000)
        publish(bodies)
        archive = Archive.open(tmp_path / "archive")
        for published in (1, 2):
            receiver = Receiver(self.partition(source_url), archive, age="1h", max_rows=500)
            while receiver.progress.segments < published:
                receiver.step()
            del receiver  # it has not been stopped, and has not sealed its epoch
        last = Receiver(self.partition(source_url), archive, age="50ms", max_rows=500)
        while held(archive) < len(bodies):
            last.step()
        last.stop()
        last.run()
        assert stored(archive) == bodies

    # The broker is gone

    def test_a_killed_broker_loses_nothing_and_repeats_nothing(
        self, source_url: str, publish: Publish, broker: Broker | None, tmp_path: Path
    ) -> None:
        if broker is None:
            pytest.skip("there is no broker to kill")
        bodies = self.bodies(20_000)
        archive = Archive.open(tmp_path / "archive")
        publish(bodies[:10_000])
        with receiving(self.partition(source_url), archive) as receiver:
            eventually(lambda: held(archive) > 0)
            broker.kill()
            eventually(lambda: receiver.partition.health is not None)
            health = receiver.partition.health or ""
            assert "\n" not in health
            assert self.secret not in health
            assert receiver.progress.state == "receiving"
            broker.start()
            publish(bodies[10_000:])
            eventually(lambda: set(stored(archive)) >= set(bodies))
            eventually(lambda: receiver.partition.health is None)
        counts = Counter(stored(archive))
        assert set(counts) == set(bodies)
        if self.exact:
            assert max(counts.values()) == 1

    def test_a_broker_that_is_not_there_yet_is_waited_for(
        self, source_url: str, publish: Publish, broker: Broker | None, tmp_path: Path
    ) -> None:
        if broker is None:
            pytest.skip("there is no broker to kill")
        bodies = self.bodies(500)
        publish(bodies)
        broker.kill()
        archive = Archive.open(tmp_path / "archive")
        with receiving(self.partition(source_url), archive) as receiver:
            eventually(lambda: receiver.partition.health is not None)
            broker.start()
            eventually(lambda: held(archive) >= len(bodies))
        assert sorted(set(stored(archive))) == bodies

    def test_a_stop_is_heard_while_the_broker_is_gone(
        self, source_url: str, publish: Publish, broker: Broker | None, tmp_path: Path
    ) -> None:
        if broker is None:
            pytest.skip("there is no broker to kill")
        publish(self.bodies(500))
        archive = Archive.open(tmp_path / "archive")
        try:
            with receiving(self.partition(source_url), archive) as receiver:
                eventually(lambda: held(archive) > 0)
                broker.kill()
                eventually(lambda: receiver.partition.health is not None)
            assert receiver.progress.state == "stopped"
        finally:
            broker.start()

    def _needs(self, ability: object) -> None:
        if not ability:
            pytest.skip("this source cannot do that")


def read(partition: SourcePartition, count: int, position: int | None = None) -> list[Batch]:
    """Read so many beacons from a position on; empty batches are left out."""
    batches = partition.read(position)
    try:
        found = take(batches, count)
        if partition.finite:
            assert all(batch.frame.is_empty() for batch in batches), "there is more"
        return found
    finally:
        close(batches)


def take(batches: Iterator[Batch], count: int) -> list[Batch]:
    """Take batches until there are so many beacons."""
    found: list[Batch] = []
    late = time.monotonic() + PATIENCE
    while (missing := count - sum(batch.frame.height for batch in found)) > 0:
        batch = next(batches, None)
        assert batch is not None, f"the source has ended, {missing} beacons too early"
        assert time.monotonic() < late, f"{missing} of {count} beacons have not come"
        if batch.frame.height:
            found.append(batch)
    assert missing == 0, f"{-missing} beacons too many"
    return found


def raw(batches: Sequence[Batch]) -> list[bytes]:
    """Give the beacons of some batches."""
    return [beacon for batch in batches for beacon in batch.frame["raw"]]


def close(batches: Iterator[Batch]) -> None:
    """Close what reads."""
    batches.close()  # type: ignore[attr-defined] # every source's is a generator


@contextmanager
def receiving(partition: SourcePartition, archive: Archive) -> Iterator[Receiver]:
    """Receive in another thread, and stop cleanly at the end."""
    receiver = Receiver(partition, archive, age="50ms", max_rows=2000)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
        assert receiver.join(PATIENCE), "the receiver cannot be stopped"
    assert receiver.failure is None


def stored(archive: Archive) -> list[bytes]:
    """Give the beacons in an archive."""
    return [beacon for ref in archive.segments() for beacon in archive.read(ref)["raw"]]


def held(archive: Archive) -> int:
    """Count the beacons in an archive."""
    return sum(archive.header(ref).rows for ref in archive.segments())


def eventually(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    late = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < late, "it has not come true"
        time.sleep(0.01)


def open_files() -> int:
    """Count the open files of this process, where that can be told."""
    descriptors = Path("/proc/self/fd")
    return sum(1 for _ in descriptors.iterdir()) if descriptors.is_dir() else 0

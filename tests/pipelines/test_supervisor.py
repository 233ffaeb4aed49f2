"""The supervisor: every cause of death, its pauses, its budget, and its end, by a manual clock."""

import dataclasses
import random
import threading

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.archive import RAW, Archive, ArchiveChanged
from beaconfold.pipelines.receiver import Receiver, ReceiverProgress
from beaconfold.pipelines.receiver_actor import ORPHANED, Heard, _live
from beaconfold.pipelines.receiver_thread import Threads
from beaconfold.pipelines.sources import SourcePartition, open_source
from beaconfold.pipelines.supervisor import Supervisor
from beaconfold.stores.clock import ManualClock

FRESH = ReceiverProgress("clicks", "receiving", 1, 0, 0, 0, 0, None, None)


class Scripted:
    """A receiver that does what the test says."""

    def __init__(self, worker, epoch):
        self.worker, self.failure, self.lost = worker, None, None
        self.progress = dataclasses.replace(FRESH, epoch=epoch)
        self.told, self.abandoned = [], False
        self.moving = True

    def look(self):
        if self.lost is not None:
            raise self.lost
        if self.moving:
            self.becomes(steps=self.progress.steps + 1)
        return self.progress

    def becomes(self, **changes):
        self.progress = dataclasses.replace(self.progress, **changes)

    def fails(self, error):
        self.failure = error
        self.becomes(state="failed", error=str(error))

    def stop(self, *, drain=True):
        self.told.append(drain)

    def abandon(self):
        self.abandoned = True


class ScriptedPosts:
    def __init__(self, *workers):
        self.there, self.started, self.refuse = list(workers), [], None

    def workers(self):
        return self.there

    def start(self, partition, worker):
        if self.refuse is not None:
            raise self.refuse
        self.started.append(Scripted(worker, len(self.started) + 1))
        return self.started[-1]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def posts():
    return ScriptedPosts("a", "b")


@pytest.fixture
def supervisor(posts, clock):
    return Supervisor(posts, clock=clock, silence=30, jitter=lambda _low, high: high)


def hang(post, clock, supervisor):
    post.moving = False
    supervisor.look()
    clock.advance(30)


DEATHS = {
    "an exception": lambda post, *_: post.fails(RuntimeError("out of order")),
    "a lost worker": lambda post, *_: setattr(post, "lost", RuntimeError("actor was lost")),
    "a lost connection": lambda post, *_: setattr(post, "lost", OSError("no route")),
    "silence": hang,
    "an end nobody asked for": lambda post, *_: post.becomes(state="stopped"),
}


@pytest.mark.parametrize("die", DEATHS.values(), ids=DEATHS)
def test_whatever_it_dies_of_a_successor_is_started_elsewhere(die, supervisor, posts, clock):
    one = supervisor.add("clicks")
    supervisor.look()
    supervisor.look()
    (first,) = posts.started
    assert (first.worker, one.status.state, one.status.worker) == ("a", "receiving", "a")
    first.becomes(rows=7, bytes=70, segments=1)
    supervisor.look()
    die(first, clock, supervisor)
    supervisor.look()
    assert one.status.state == "restarting"
    assert one.status.error
    assert (first.abandoned, first.told) == (True, [False])
    supervisor.look()
    assert len(posts.started) == 1
    clock.advance(0.5)
    supervisor.look()
    supervisor.look()
    assert [post.worker for post in posts.started] == ["a", "b"]
    posts.started[1].becomes(rows=3, bytes=30, segments=1)
    supervisor.look()
    assert (one.status.state, one.status.restarts) == ("receiving", 1)
    assert (one.progress.rows, one.progress.bytes, one.progress.segments) == (10, 100, 2)
    assert not one.done


def test_one_that_moves_is_not_silent_however_long_it_waits(supervisor, posts, clock):
    supervisor.add("clicks")
    supervisor.look()
    for _ in range(10):
        clock.advance(29)
        supervisor.look()
    assert len(posts.started) == 1


@pytest.mark.parametrize("state", ["finished", "fenced"])
def test_one_that_is_over_is_left_alone(supervisor, posts, clock, state):
    one = supervisor.add("clicks", finite=True)
    supervisor.look()
    posts.started[0].becomes(state=state)
    supervisor.look()
    clock.advance(1000)
    supervisor.look()
    assert (one.done, one.state, len(posts.started)) == (True, state, 1)


def test_what_a_successor_would_meet_again_ends_it(supervisor, posts, clock):
    one = supervisor.add("clicks")
    supervisor.look()
    changed = ArchiveChanged("another archive")
    posts.started[0].fails(changed)
    supervisor.look()
    assert (one.done, one.failure, one.state) == (True, changed, "failed")


def die_often(supervisor, posts, clock, times):
    for _ in range(times):
        before = len(posts.started)
        while len(posts.started) == before:
            clock.advance(0.25)
            supervisor.look()
        posts.started[-1].fails(RuntimeError("again"))
        supervisor.look()


def test_too_many_deaths_are_an_alarm_and_no_hot_loop(posts, clock, caplog):
    supervisor = Supervisor(
        posts, clock=clock, restarts=3, within=300, again=100, jitter=lambda _low, _high: 0.0
    )
    one = supervisor.add("clicks")
    supervisor.look()
    posts.started[0].fails(RuntimeError("again"))
    supervisor.look()
    die_often(supervisor, posts, clock, 2)
    assert one.state == "restarting"
    die_often(supervisor, posts, clock, 1)
    assert (one.state, len(posts.started)) == ("given up", 4)
    (alarm,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "clicks is not received any more" in alarm.getMessage()
    clock.advance(99)
    supervisor.look()
    assert len(posts.started) == 4
    clock.advance(1)
    supervisor.look()
    assert len(posts.started) == 5
    posts.started[-1].fails(RuntimeError("and again"))
    supervisor.look()
    assert (one.state, one.done) == ("given up", False)

    supervisor.restart("clicks")  # by hand
    supervisor.look()
    supervisor.look()
    assert (len(posts.started), one.state) == (6, "receiving")
    posts.started[-1].fails(RuntimeError("once more"))
    supervisor.look()
    assert one.state == "restarting"


def test_receivers_that_do_their_work_may_die_more_often_and_are_replaced_at_once(posts, clock):
    supervisor = Supervisor(posts, clock=clock, restarts=3, jitter=lambda _low, high: high)
    one = supervisor.add("clicks")
    supervisor.look()
    for _ in range(9):
        posts.started[-1].becomes(segments=1)
        supervisor.look()
        posts.started[-1].lost = OSError("killed")
        supervisor.look()
        assert (one.state, one.due - clock.monotonic()) == ("restarting", 0.5)
        clock.advance(0.5)
        supervisor.look()
    posts.started[-1].becomes(segments=1)
    supervisor.look()
    posts.started[-1].lost = OSError("killed")
    supervisor.look()
    assert one.state == "given up"


def test_deaths_long_ago_do_not_count(posts, clock):
    supervisor = Supervisor(posts, clock=clock, restarts=2, within=60)
    one = supervisor.add("clicks")
    for _ in range(20):
        while not posts.started or posts.started[-1].abandoned:
            clock.advance(1)
            supervisor.look()
        for _ in range(7):
            clock.advance(10)
            supervisor.look()
        posts.started[-1].fails(RuntimeError("again"))
        supervisor.look()
        assert one.state == "restarting"


@given(seed=st.integers(0, 1000))
def test_pauses_are_jittered_and_bounded(seed):
    clock, posts = ManualClock(), ScriptedPosts(None)
    supervisor = Supervisor(
        posts, clock=clock, restarts=99, within=1e9, jitter=random.Random(seed).uniform
    )
    one = supervisor.add("clicks")
    supervisor.look()
    for death in range(12):
        posts.started[-1].fails(RuntimeError("again"))
        supervisor.look()
        assert 0 <= one.due - clock.monotonic() <= min(30, 0.5 * 2**death)
        clock.advance(one.due - clock.monotonic() + 1e-6)
        supervisor.look()
        assert len(posts.started) == death + 2


def test_without_a_worker_it_waits_and_uses_one_that_is_added(supervisor, posts, clock):
    posts.there = []
    one = supervisor.add("clicks")
    for _ in range(100):
        supervisor.look()
        clock.advance(10)
    assert (one.status.state, posts.started) == ("waiting for a worker", [])
    posts.there = ["late"]
    supervisor.look()
    assert (one.status.worker, one.status.restarts) == ("late", 0)


def test_partitions_are_spread_over_the_workers(supervisor, posts):
    for number in range(4):
        supervisor.add(f"clicks-{number}")
    supervisor.look()
    assert sorted(post.worker for post in posts.started) == ["a", "a", "b", "b"]


def test_a_start_that_fails_is_a_death(supervisor, posts, clock):
    one = supervisor.add("clicks")
    posts.refuse = FileNotFoundError("it is gone")
    supervisor.look()
    assert (one.state, one.status.error) == ("restarting", "FileNotFoundError: it is gone")
    posts.refuse = None
    clock.advance(0.5)
    supervisor.look()
    assert len(posts.started) == 1


def test_what_a_killed_receiver_had_no_time_to_tell_is_counted(posts, clock, tmp_path):
    def publish(epoch, sequence, rows):
        received = pl.lit(clock.now()).cast(RAW["received"])
        frame = pl.DataFrame({"raw": [b"ab"] * rows}).with_columns(
            received=received,
            offset=pl.lit(0, pl.Int64),
            message_id=pl.lit(None, pl.Binary),
        )
        archive.publish("clicks", epoch, sequence, frame.select(RAW.names()), position=0)

    archive = Archive.open(tmp_path / "archive")
    archive.claim("clicks")
    publish(1, 0, 100)  # by an earlier run
    supervisor = Supervisor(posts, archive, clock=clock)
    one = supervisor.add("clicks")
    supervisor.look()
    posts.started[0].becomes(epoch=archive.claim("clicks"), rows=3, bytes=6, segments=1)
    supervisor.look()
    for sequence, rows in enumerate((3, 4, 5)):
        publish(2, sequence, rows)
    posts.started[0].lost = OSError("killed")
    supervisor.look()
    archive.claim("clicks")
    publish(3, 0, 20)  # by one that was never heard of
    clock.advance(1)
    supervisor.look()
    posts.started[1].becomes(epoch=archive.claim("clicks"), rows=1, bytes=2, segments=1)
    supervisor.look()
    publish(4, 0, 1)
    assert (one.progress.rows, one.progress.bytes, one.progress.segments) == (33, 66, 5)


class TestStop:
    def test_a_clean_stop_drains(self, supervisor, posts):
        one = supervisor.add("clicks")
        supervisor.look()
        supervisor.stop()
        assert posts.started[0].told == [True]
        assert not one.done
        posts.started[0].becomes(state="stopped")
        supervisor.look()
        assert supervisor.join(0)
        assert one.state == "stopped"

    def test_what_ends_by_itself_may_come_to_that_end_and_is_restarted_until_then(
        self, supervisor, posts, clock
    ):
        finite, endless = supervisor.add("file", finite=True), supervisor.add("live")
        supervisor.look()
        supervisor.stop(wait_for_the_end=True)
        assert [post.told for post in posts.started] == [[], [True]]
        posts.started[0].lost = OSError("lost")
        posts.started[1].becomes(state="stopped")
        supervisor.look()
        clock.advance(1)
        supervisor.look()
        assert (endless.done, finite.done, len(posts.started)) == (True, False, 3)
        posts.started[2].becomes(state="finished")
        supervisor.look()
        assert supervisor.done

    def test_one_that_dies_while_it_is_to_stop_is_not_started_again(self, supervisor, posts):
        one = supervisor.add("clicks")
        supervisor.look()
        supervisor.stop()
        posts.started[0].lost = OSError("lost")
        supervisor.look()
        assert (one.done, one.state) == (True, "lost")

    def test_one_that_never_ran_is_stopped_at_once(self, supervisor, posts):
        one = supervisor.add("clicks")
        supervisor.stop()
        assert (one.done, one.state, posts.started) == (True, "stopped", [])

    def test_one_that_is_given_up_does_not_keep_the_end_waiting(self, posts, clock):
        supervisor = Supervisor(posts, clock=clock, restarts=0)
        one = supervisor.add("file", finite=True)
        supervisor.look()
        supervisor.stop(wait_for_the_end=True)
        posts.started[0].fails(RuntimeError("broken"))
        supervisor.look()
        supervisor.look()
        assert (one.done, one.state) == (True, "given up")
        with pytest.raises(RuntimeError, match="broken"):
            raise one.failure


class Hanging(SourcePartition):
    """Yields one batch, and then hangs; when it is let go it yields all the others."""

    def __init__(self, hangs):
        self.hangs, self.inner = hangs, open_source("synthetic://?rate=0&count=50000&seed=2")
        self.go_on, self.hung = threading.Event(), threading.Event()

    identity = "hanging"

    def read(self, position):
        for batch in self.inner.read(position):
            yield batch
            if self.hangs:
                self.hung.set()
                assert self.go_on.wait(60)


class Sources(Threads):
    """Opens one that hangs first, then one that does not."""

    def _again(self, partition):
        return Hanging(hangs=False)


def test_a_hung_thread_is_replaced_and_cannot_add_anything_when_it_wakes(tmp_path):
    clock, archive = ManualClock(), Archive.open(tmp_path / "archive")
    hanging = Hanging(hangs=True)
    threads = Sources("", {"hanging": hanging}, archive, age="1h", max_rows=5000, clock=clock)
    supervisor = Supervisor(threads, clock=clock, silence=30)
    one = supervisor.add("hanging", finite=True)
    supervisor.look()
    zombie = one.post._receiver
    assert hanging.hung.wait(30)
    assert (zombie.progress.segments, zombie.progress.pending) == (1, 3192)
    while one.restarts == 0:
        supervisor.look()
        clock.advance(15)
    while not one.done:
        supervisor.look()
    assert (one.state, one.progress.rows) == ("finished", 50_000)
    before = archive.segments()
    hanging.go_on.set()
    assert zombie.join(30)
    assert zombie.progress.state in {"fenced", "stopped"}
    assert archive.segments() == before
    offsets = [n for ref in before for n in archive.read(ref)["offset"]]
    assert offsets == list(range(50_000))


def test_a_receiver_whose_supervisor_is_gone_stops_cleanly(tmp_path):
    clock, archive = ManualClock(), Archive.open(tmp_path / "archive")
    (partition,) = open_source("synthetic://?rate=1000", clock=clock).partitions()
    receiver = Receiver(partition, archive, clock=clock)
    _live(receiver, Heard(clock))
    assert receiver.progress.state == "stopped"
    assert clock.monotonic() >= ORPHANED
    assert receiver.progress.rows >= 900 * ORPHANED
    assert archive.lease(partition.identity) is None

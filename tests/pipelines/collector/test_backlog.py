"""The backlog: nothing is forgotten, nothing is answered twice, and it is bounded."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from beaconfold.pipelines.collector import Backlog, Refused
from beaconfold.pipelines.sources import ARRIVING, open_source
from beaconfold.stores.clock import ManualClock


def test_a_batch_has_the_columns_of_what_arrives():
    backlog = Backlog()
    backlog.add([b"a"], 0)
    assert backlog.take().frame.schema == ARRIVING
    assert backlog.take() is None


def test_it_counts_on_from_a_position():
    backlog = Backlog()
    backlog.begin(40)
    backlog.add([b"a", b"b"], 0)
    backlog.add([b"c"], 1)
    frame, position = backlog.take()
    assert frame["offset"].to_list() == [40, 40, 41]
    assert position == 42
    assert backlog.publish(41) == [0]
    assert backlog.publish(42) == [1]
    assert (backlog.rows, backlog.bytes, backlog.published) == (0, 0, 3)


@pytest.mark.parametrize("bounds", [{"max_rows": 2}, {"max_bytes": 8}])
def test_it_is_bounded_until_something_is_published(bounds):
    backlog = Backlog(**bounds)
    backlog.add([b"abcd"], 0)
    backlog.add([b"efgh"], 1)
    for _ in range(2):
        with pytest.raises(Refused, match="2 beacons of 8 bytes are waiting"):
            backlog.add([b"i"], 2)
        backlog.take()  # to have handed it over is not enough
    backlog.publish(1)
    backlog.publish(2)
    backlog.add([b"i"], 2)


def test_what_waits_too_long_is_given_up_and_nothing_is_taken_until_publishing_goes_on():
    clock = ManualClock()
    backlog = Backlog(patience=5.0, clock=clock)
    backlog.add([b"a"], "a")
    backlog.take()
    backlog.add([b"b"], "b")
    clock.advance(4.9)
    assert backlog.overdue() == []
    clock.advance(0.1)
    assert backlog.overdue() == ["a", "b"]
    assert backlog.overdue() == []
    with pytest.raises(Refused, match="nothing could be published for 5 s"):
        backlog.add([b"c"], "c")
    assert backlog.publish(1) == []
    assert backlog.trouble is None
    assert backlog.take() is None  # b was refused before it was handed over
    assert (backlog.rows, backlog.published) == (0, 1)


def test_a_receiver_that_hangs_is_noticed_and_one_that_goes_on_too():
    clock = ManualClock()
    backlog = Backlog(patience=1.0, clock=clock)
    backlog.add([b"a"], "a")
    clock.advance(1)
    assert backlog.overdue() == ["a"]
    assert backlog.trouble is not None
    assert backlog.take() is None
    assert backlog.trouble is None


def test_a_closed_one_gives_back_what_was_not_handed_over():
    backlog = Backlog()
    backlog.add([b"a"], "a")
    backlog.take()
    backlog.add([b"b"], "b")
    assert backlog.close() == ["b"]
    with pytest.raises(Refused, match="stopping"):
        backlog.add([b"c"], "c")
    assert backlog.publish(1) == ["a"]


class Accounts(RuleBasedStateMachine):
    """Whoever waits is given back once; what is handed over is in order, each number once."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.backlog = Backlog(max_rows=20, patience=5.0, clock=self.clock)
        self.asked = self.position = 0
        self.acknowledged = 0
        self.answered = []
        self.rows = []

    @rule(size=st.integers(1, 5))
    def add(self, size):
        try:
            self.backlog.add([b"%d" % self.asked] * size, self.asked)
        except Refused:
            return
        self.asked += 1

    @rule()
    def take(self):
        batch = self.backlog.take()
        if batch is not None:
            self.rows += zip(batch.frame["offset"], batch.frame["raw"], strict=True)
            self.position = batch.position

    @rule(share=st.floats(0, 1))
    def publish(self, share):
        to = self.acknowledged + round(share * (self.position - self.acknowledged))
        done = self.backlog.publish(to)
        published = {int(raw) for offset, raw in self.rows if offset < to}
        assert set(done) <= published
        self.answered += done
        self.acknowledged = to

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds):
        self.clock.advance(seconds)
        self.answered += self.backlog.overdue()

    @invariant()
    def nobody_is_answered_twice(self):
        assert len(self.answered) == len(set(self.answered))

    @invariant()
    def offsets_are_in_order(self):
        offsets = [offset for offset, _ in self.rows]
        assert offsets == sorted(offsets)
        assert all(
            int(a) < int(b)
            for (i, a), (j, b) in zip(self.rows, self.rows[1:], strict=False)
            if i < j
        )

    def teardown(self):
        self.take()
        self.answered += self.backlog.publish(self.position)
        assert sorted(self.answered) == list(range(self.asked))
        assert (self.backlog.rows, self.backlog.bytes) == (0, 0)
        assert self.backlog.published == len(self.rows)


TestAccounts = Accounts.TestCase


@given(st.lists(st.binary(min_size=1), min_size=1))
def test_beacons_are_handed_over_as_they_came(beacons):
    backlog = Backlog()
    for number, beacon in enumerate(beacons):
        backlog.add([beacon], number)
    assert backlog.take().frame["raw"].to_list() == beacons


def test_a_source_travels_without_what_it_runs():
    source = open_source("http://127.0.0.1:0?name=edge")
    assert pickle.loads(pickle.dumps(source)).identity == "http-edge"

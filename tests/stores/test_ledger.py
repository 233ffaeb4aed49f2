"""The ledger is a set of segments, in whatever order they come, and stays small."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.stores import Ledger, Seal, SegmentId, StoreLayoutError
from beaconfold.stores.ranges import Ranges

# The truth: each epoch has a length, and its segments are 0 to length - 1.
LENGTHS = {
    ("a", "p", 1): 3,
    ("a", "p", 2): 0,
    ("a", "p", 3): 4,
    ("a", "q/r", 1): 2,
    ("b", "p", 1): 3,
}
SEGMENTS = [SegmentId(*epoch, n) for epoch, length in LENGTHS.items() for n in range(length)]
SEALS = [Seal(*epoch, length) for epoch, length in LENGTHS.items()]

segments = st.sets(st.sampled_from(SEGMENTS))
seals = st.sets(st.sampled_from(SEALS))
steps = st.lists(st.tuples(segments, seals), max_size=6)


def build(added):
    ledger = Ledger()
    for some_segments, some_seals in added:
        ledger = ledger.add(some_segments, some_seals)
    return ledger


@given(steps)
def test_it_is_the_set_of_what_was_added(added):
    ledger = build(added)
    expected = set().union(*(some for some, _ in added))
    assert {segment for segment in SEGMENTS if segment in ledger} == expected
    assert ledger.missing(SEGMENTS) == set(SEGMENTS) - expected


@given(steps, st.randoms())
def test_equal_knowledge_gives_equal_bytes(added, random):
    whole = build(added)
    pieces = [({segment}, ()) for some, _ in added for segment in some]
    pieces += [((), {seal}) for _, some in added for seal in some]
    random.shuffle(pieces)
    assert build(pieces).encode() == whole.encode()
    assert build([*added, *added]).encode() == whole.encode()


@given(steps)
def test_its_bytes_are_read_back(added):
    ledger = build(added)
    assert Ledger.decode(ledger.encode()) == ledger


@given(steps, steps)
def test_union_and_intersection_are_those_of_sets(left, right):
    one, two = build(left), build(right)
    assert (one | two).encode() == build([*left, *right]).encode() == (two | one).encode()
    for segment in SEGMENTS:
        assert (segment in one & two) == (segment in one and segment in two)
    assert (one & one).encode() == one.encode()


@given(st.sets(st.integers(-5, 40)), st.sets(st.integers(-5, 40)))
def test_ranges_are_sets_of_integers(left, right):
    one, two = Ranges.of(left), Ranges.of(right)
    assert set(one) == left
    assert [number in one for number in range(-6, 42)] == [n in left for n in range(-6, 42)]
    assert one | two == Ranges.of(left | right)
    assert one & two == Ranges.of(left & right)
    assert all(a < b for a, b in zip(one.bounds, one.bounds[1:], strict=False))


def test_complete_epochs_shrink_to_one_number():
    ledger = Ledger().add(SEGMENTS, SEALS)
    assert ledger.encode() == (
        b'{"layout":1,"archives":{"a":{"p":[3,[]],"q/r":[1,[]]},"b":{"p":[1,[]]}}}'
    )
    assert SegmentId("a", "p", 3, 0) in ledger
    assert SegmentId("a", "p", 4, 0) not in ledger


def test_an_epoch_is_complete_only_after_those_before_it():
    second = Ledger().add([SegmentId("a", "p", 2, 0)], [Seal("a", "p", 2, 1)])
    assert b"[0,[[2,1,[0,1]]]]" in second.encode()
    both = second.add([SegmentId("a", "p", 1, 0)], [Seal("a", "p", 1, 1)])
    assert b"[2,[]]" in both.encode()


def test_a_million_segments_are_small():
    ledger = Ledger()
    for start in range(0, 1_000_000, 200_000):
        ledger = ledger.add(SegmentId("a", "p", 1, start + each) for each in range(200_000))
    assert len(ledger.encode()) < 100
    for epoch in range(2, 102):
        segments = [SegmentId("a", "p", epoch, number) for number in range(100)]
        ledger = ledger.add(segments, [Seal("a", "p", epoch, 100)])
    assert len(ledger.encode()) < 10_000
    assert len(ledger.add((), [Seal("a", "p", 1, 1_000_000)]).encode()) < 100


def test_contradictions_are_errors():
    ledger = Ledger().add([SegmentId("a", "p", 1, 5)])
    with pytest.raises(ValueError, match="segment a/p/1/5 lies beyond its epoch's length 3"):
        ledger.add([], [Seal("a", "p", 1, 3)])
    sealed = ledger.add([], [Seal("a", "p", 1, 9)])
    with pytest.raises(ValueError, match="sealed with two lengths: 9 and 8"):
        sealed.add([], [Seal("a", "p", 1, 8)])
    with pytest.raises(ValueError, match="a/p/1/9 lies beyond"):
        sealed.add([SegmentId("a", "p", 1, 9)])
    for impossible in (SegmentId("a", "p", 0, 0), SegmentId("a", "p", 1, -1)):
        with pytest.raises(ValueError, match="counted from"):
            ledger.add([impossible])


@pytest.mark.parametrize("data", [b"\x00", b"[]", b"{}", b'{"layout":2,"archives":{}}'])
def test_another_layout_is_an_error(data):
    with pytest.raises(StoreLayoutError, match="another version/layout"):
        Ledger.decode(data)


@given(
    st.text(min_size=1).filter(lambda t: "/" not in t), st.text(), st.integers(1), st.integers(0)
)
def test_segment_ids_are_read_back_from_their_text(archive, partition, epoch, sequence):
    segment = SegmentId(archive, partition, epoch, sequence)
    assert SegmentId.parse(str(segment)) == segment


@pytest.mark.parametrize("text", ["", "a/b/c", "a/b/1/x"])
def test_other_text_is_no_segment_id(text):
    with pytest.raises(ValueError, match="not a segment id"):
        SegmentId.parse(text)

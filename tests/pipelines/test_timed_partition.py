"""Timed partitions: complete by rows, bytes or age, with every row once and in order."""

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.timed_partition import TimedPartition, raw_bytes
from beaconfold.stores.clock import ManualClock


def frame(*numbers):
    return pl.DataFrame(
        {"raw": [str(n).encode() for n in numbers], "n": numbers},
        schema_overrides={"raw": pl.Binary, "n": pl.Int64},
    )


@given(sizes=st.lists(st.integers(0, 25), max_size=10), max_rows=st.integers(1, 10))
def test_every_row_once_in_order_in_partitions_of_exactly_max_rows(sizes, max_rows):
    buffer = TimedPartition("1s", max_rows=max_rows, clock=ManualClock())
    given_rows, full = 0, []
    for size in sizes:
        full += buffer.add(frame(*range(given_rows, given_rows + size)))
        given_rows += size
        assert buffer.rows == sum(held.height for held in buffer.held) == given_rows % max_rows
    assert all(part.height == max_rows for part in full)
    rest = buffer.flush()
    assert [n for part in full + rest for n in part["n"]] == list(range(given_rows))
    assert buffer.flush() == []
    assert (buffer.rows, buffer.bytes, buffer.held) == (0, 0, ())


@given(
    lengths=st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=8),
    max_bytes=st.integers(1, 40),
)
def test_a_partition_completes_with_the_frame_that_reaches_max_bytes(lengths, max_bytes):
    buffer = TimedPartition("1s", max_bytes=max_bytes, clock=ManualClock())
    for some in lengths:
        added = pl.DataFrame({"raw": [b"x" * length for length in some]}, schema={"raw": pl.Binary})
        before = buffer.bytes
        full = buffer.add(added)
        reached = before + sum(some) >= max_bytes
        assert [raw_bytes(part) for part in full] == [before + sum(some)] * reached
        assert buffer.bytes == (0 if reached else before + sum(some))


@given(
    messages=st.lists(st.lists(st.none() | st.integers(1, 9), max_size=5), max_size=6),
    max_rows=st.integers(1, 6),
)
def test_rows_of_one_message_stay_together(messages, max_rows):
    """A message is so many rows of one offset; None is a row that has none."""
    buffer = TimedPartition("1s", max_rows=max_rows, clock=ManualClock())
    full, all_offsets, number = [], [], 0
    for frame_of in messages:
        offsets = []
        for rows in frame_of:
            offsets += [None] if rows is None else [number] * rows
            number += 1
        full += buffer.add(pl.DataFrame({"offset": offsets}, schema={"offset": pl.Int64}))
        assert buffer.rows < max_rows
        all_offsets += offsets
    parts = [part["offset"].to_list() for part in full + buffer.flush()]
    assert [offset for part in parts for offset in part] == all_offsets
    for part, following in pairwise(parts):
        assert part[-1] is None or part[-1] != following[0]
        assert len(part) <= max_rows or len(set(part)) == 1
        first = [offset for offset in following if offset == following[0] is not None]
        assert len(part) + max(len(first), 1) > max_rows, "there was room for the next message"


def test_a_partition_is_due_when_its_first_row_is_old():
    clock = ManualClock()
    buffer = TimedPartition("2s", clock=clock)
    assert buffer.due() == []
    clock.advance(5)
    buffer.add(frame(1))
    clock.advance(1.5)
    buffer.add(frame(2))
    assert buffer.due() == []
    clock.advance(0.5)
    (part,) = buffer.due()
    assert part["n"].to_list() == [1, 2]
    assert buffer.due() == []
    buffer.add(frame(3))
    assert buffer.due() == []


def test_the_rest_of_a_full_partition_is_as_young_as_its_frame():
    clock = ManualClock()
    buffer = TimedPartition("1s", max_rows=2, clock=clock)
    buffer.add(frame(1))
    clock.advance(0.75)
    assert [part["n"].to_list() for part in buffer.add(frame(2, 3))] == [[1, 2]]
    clock.advance(0.5)
    assert buffer.due() == []
    clock.advance(0.5)
    assert [part["n"].to_list() for part in buffer.due()] == [[3]]


def test_frames_without_raw_bytes_are_counted_by_their_size():
    buffer = TimedPartition("1s", max_bytes=100, clock=ManualClock())
    assert buffer.add(pl.DataFrame({"n": range(5)})) == []
    assert len(buffer.add(pl.DataFrame({"n": range(50)}))) == 1


@pytest.mark.parametrize("limits", [{"max_rows": 0}, {"max_bytes": 0}, {"age": "0s"}, {"age": "x"}])
def test_limits_that_are_none_are_refused(limits):
    with pytest.raises(ValueError, match="at least one|duration"):
        TimedPartition(**limits)

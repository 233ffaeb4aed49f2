"""Lines: as Python splits them, wherever the blocks are cut and reading is taken up again."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from beaconfold.pipelines.sources import ARRIVING
from beaconfold.pipelines.sources.lines import read_lines, split_lines

pieces = st.sampled_from([b"a", b"bc" * 10, b"\n", b"\r\n", b"\r", b"\xff\x00"])
texts = st.lists(pieces, max_size=30).map(b"".join)


def slowly(text):
    """Split with Python alone: the lines and where they begin."""
    lines, at = [], 0
    for line in text.split(b"\n"):
        whole = at + len(line) < len(text)
        beacon = line.removesuffix(b"\r") if whole or line.endswith(b"\r") else line
        if beacon:
            lines.append((beacon, at))
        at += len(line) + 1
    return lines


def reader(text, sizes):
    """Read a text in pieces of those sizes, with a pause (None) for each 0."""
    at, sizes = 0, iter(sizes)

    def read(_most):
        nonlocal at
        size = next(sizes, 1000)
        at += size
        return text[at - size : at] if size else None

    return read


@given(text=texts, sizes=st.lists(st.integers(0, 9), max_size=20))
def test_lines_are_as_python_splits_them(text, sizes):
    batches = list(read_lines(reader(text, sizes), 0))
    assert all(batch.frame.schema == ARRIVING for batch in batches)
    frame = pl.concat([batch.frame for batch in batches] or [pl.DataFrame(schema=ARRIVING)])
    assert list(zip(frame["raw"], frame["offset"], strict=True)) == slowly(text)
    assert frame["message_id"].null_count() == frame.height
    if batches:
        assert batches[-1].position == len(text)


@settings(max_examples=30)
@given(text=texts, sizes=st.lists(st.integers(0, 9), max_size=20), data=st.data())
def test_reading_resumes_at_any_position_and_any_offset(text, sizes, data):
    batches = list(read_lines(reader(text, sizes), 0))
    places = {batch.position for batch in batches} | {at for _, at in slowly(text)} | {0}
    place = data.draw(st.sampled_from(sorted(places)))
    rest = [batch.frame for batch in read_lines(reader(text[place:], []), place)]
    lines = [(raw, at) for frame in rest for raw, at, _ in frame.iter_rows()]
    assert lines == [line for line in slowly(text) if line[1] >= place]


def test_a_block_without_a_whole_line_yields_nothing():
    frame, used = split_lines(b"abc", 7)
    assert (frame.schema, frame.height, used) == (ARRIVING, 0, 0)


def test_a_line_of_many_blocks_is_read_by_ever_larger_ones():
    asked = []
    text = b"x" * (40 << 20) + b"\n"
    at = 0

    def read(most):
        nonlocal at
        asked.append(most)
        at += most
        return text[at - most : at]

    (line,) = [raw for batch in read_lines(read, 0) for raw in batch.frame["raw"]]
    assert len(line) == 40 << 20
    assert len(asked) <= 7

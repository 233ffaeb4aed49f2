"""Segments: what is written is read, and what is not a segment is said not to be one."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beaconfold.pipelines.archive import RAW, SegmentUnreadable
from beaconfold.pipelines.archive.segment import encode, holds, read_frame, read_header

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

instants = st.integers(-(10**15), 10**16).map(lambda us: EPOCH + timedelta(microseconds=us))
rows = st.fixed_dictionaries(
    {
        "raw": st.binary(max_size=40),
        "received": instants,
        "offset": st.none() | st.integers(-(2**63), 2**63 - 1),
        "message_id": st.none() | st.binary(max_size=20),
    }
)
frames = st.lists(rows, min_size=1, max_size=30).map(lambda some: pl.DataFrame(some, schema=RAW))


def one_row(**cells):
    row = {"raw": b"/b.gif", "received": NOON, "offset": None, "message_id": None, **cells}
    return pl.DataFrame([row], schema=RAW)


@settings(max_examples=40)
@given(frame=frames, pieces=st.integers(1, 4), position=st.none() | st.integers(0, 2**60))
def test_what_is_written_is_read(tmp_path_factory, frame, pieces, position):
    chunked = pl.concat(frame.iter_slices(-(-frame.height // pieces)), rechunk=False)
    data, header = encode(chunked, position)
    path = tmp_path_factory.getbasetemp() / "x.arrow"
    path.write_bytes(data)
    assert read_frame(path).equals(frame)
    assert read_frame(path).schema == RAW
    assert read_header(path) == header
    received = frame["received"]
    assert header == (frame.height, received.min(), received.max(), position)
    assert holds(path, frame, header)
    assert not holds(path, frame, header._replace(position=-1))
    assert not holds(path, pl.concat([frame, frame]), header)


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(schema=RAW),
        one_row(received=None),
        one_row().drop("offset"),
        one_row().select(reversed(RAW.names())),
        one_row().with_columns(pl.col("offset").cast(pl.Int32)),
    ],
    ids=["empty", "not received", "a column less", "another order", "another dtype"],
)
def test_what_is_no_raw_frame_is_refused(frame):
    with pytest.raises(ValueError, match="a segment holds"):
        encode(frame, None)


def test_a_file_that_is_no_segment_is_named(tmp_path):
    data = bytes(encode(one_row(raw=b"x" * 1000), 7)[0])
    other = pl.DataFrame({"a": [1]})
    other.write_ipc(tmp_path / "other.arrow")
    (tmp_path / "cut.arrow").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.arrow").write_bytes(b"")
    (tmp_path / "text.arrow").write_bytes(b"hello")
    for name in ("other", "cut", "empty", "text", "missing"):
        path = tmp_path / f"{name}.arrow"
        for read in (read_frame, read_header):
            with pytest.raises(SegmentUnreadable, match=f"cannot read the segment .*{name}.arrow"):
                read(path)


def test_damage_to_the_data_is_found(tmp_path):
    frame = pl.concat([one_row(raw=bytes([i % 251, i % 241]) * 50) for i in range(2000)])
    data = bytearray(encode(frame, 7)[0])
    data[16 : len(data) // 2] = bytes(len(data) // 2 - 16)
    path = tmp_path / "damaged.arrow"
    path.write_bytes(data)
    with pytest.raises(SegmentUnreadable):
        read_frame(path)


def test_times_of_receipt_are_to_the_microsecond(tmp_path):
    late = NOON + timedelta(microseconds=1)
    data, _ = encode(pl.concat([one_row(received=late), one_row()]), None)
    (tmp_path / "x.arrow").write_bytes(data)
    header = read_header(tmp_path / "x.arrow")
    assert (header.first, header.last) == (NOON, late)

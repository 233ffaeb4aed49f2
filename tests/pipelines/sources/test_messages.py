"""What is taken out of messages is what the plainest reading of each one gives."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.sources.messages import to_beacons
from beaconfold.pipelines.sources.source import ARRIVING

texts = st.text(st.sampled_from('a"\\,[]{}: \n\r\té\ud83d😀0'), max_size=8).map(
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def compact(value):
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def beacons(bodies, batch, ids=None):
    offsets = np.arange(len(bodies), dtype=np.int64) * 3 + 5
    series = pl.Series(bodies, dtype=pl.Binary)
    ids = None if ids is None else pl.Series(ids, dtype=pl.Binary)
    frame = to_beacons(series, offsets, ids, batch=batch)
    assert frame.schema == ARRIVING
    return frame


@given(st.lists(st.binary(max_size=5)))
def test_one_beacon_a_message(bodies):
    frame = beacons(bodies, "one", [b"%d" % n for n in range(len(bodies))])
    assert frame["raw"].to_list() == bodies
    assert frame["offset"].to_list() == [3 * n + 5 for n in range(len(bodies))]
    assert frame["message_id"].to_list() == [b"%d" % n for n in range(len(bodies))]


@given(st.lists(st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"\r", b"\xff"])).map(b"".join)))
def test_lines(bodies):
    frame = beacons(bodies, "lines")
    expected = [
        (line.removesuffix(b"\r"), 3 * n + 5)
        for n, body in enumerate(bodies)
        for line in body.split(b"\n")
        if line.removesuffix(b"\r")
    ]
    assert frame.select("raw", "offset").rows() == expected


@given(st.lists(st.tuples(st.lists(values, max_size=4), st.booleans(), st.booleans())))
def test_arrays(arrays):
    bodies = [
        json.dumps(array, ensure_ascii=escaped, indent=1 if wide else None).encode()
        for array, escaped, wide in arrays
    ]
    frame = beacons(bodies, "json")
    found = [
        (raw.decode() if isinstance(value, str) else json.loads(raw), offset)
        for (raw, offset), value in zip(
            frame.select("raw", "offset").rows(),
            [value for array, _, _ in arrays for value in array],
            strict=True,
        )
    ]
    expected = [(v, 3 * n + 5) for n, (a, _, _) in enumerate(arrays) for v in a]
    assert found == expected


@given(st.lists(st.text(st.sampled_from('[]{}",\\ 1a:'), max_size=9)))
def test_what_is_no_array_is_left_as_it_is(bodies):
    expected = []
    for body in bodies:
        try:
            read = json.loads(body)
        except ValueError:
            read = None
        if isinstance(read, list):
            expected += [compact(value) for value in read]
        else:
            expected.append(body)
    frame = beacons([body.encode() for body in bodies], "json")
    found = [raw.decode() for raw in frame["raw"]]
    assert [f.replace(" ", "") for f in found] == [e.replace(" ", "") for e in expected]


@pytest.mark.parametrize("body", [b"[\xff]", b"[NaN]", b"[1,]", b"[" * 100_000, b"", b"{}", b"[1"])
def test_broken_messages_are_beacons(body):
    assert beacons([body, b"[7]"], "json")["raw"].to_list() == [body, b"7"]


def test_numbers_are_kept_as_they_are_written():
    body = b'[ {"price": 1.50, "n": 12345678901234567890123} , 1e400, "a b" ]'
    expected = [b'{"price":1.50,"n":12345678901234567890123}', b"1e400", b"a b"]
    assert beacons([body], "json")["raw"].to_list() == expected


def test_beacons_of_a_message_share_its_offset_and_id():
    frame = beacons([b"a\nb", b"c"], "lines", [b"x", None])
    assert frame["offset"].to_list() == [5, 5, 8]
    assert frame["message_id"].to_list() == [b"x", b"x", None]

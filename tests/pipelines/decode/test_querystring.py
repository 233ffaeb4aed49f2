"""Query strings: both ways of finding parameters, held against the standard library."""

import re
from urllib.parse import parse_qsl

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.decode import Field, QueryString
from beaconfold.pipelines.decode.lines import Lines
from beaconfold.pipelines.decode.parameters import parameters

NAMES = ["a", "b", "é", "a b"]
DECODER = QueryString(
    a=pl.String, b=pl.String, e=Field(pl.String, source="é"), ab=Field(pl.String, source="a b")
)

keys = st.sampled_from(["a", "b", "c", "%61", "a+b", "a%20b", "é", "%C3%A9", "", "x-y.z", "b "])
values = st.sampled_from(
    ["", "1", "x=y", "%20", "+", "%zz", "é", "%c3%A9", "%ff", "a b", "?", "\r", "/", " HTTP/1.1"]
) | st.text(max_size=3)
pairs = st.builds("{}{}{}".format, keys, st.sampled_from(["=", "=", "=", ""]), values)
queries = st.lists(pairs, max_size=5).map("&".join)
starts = st.sampled_from(
    ["/b.gif?", "/b.gif?", "GET /b.gif?", "", "GET ", "POST ", "?", "/x?y?", "#", "/"]
)
ends = st.sampled_from(["", "", "", " HTTP/1.1", "#frag?a=9", "\r", " HTTP/2\r", " HTTP/", "&"])
urls = st.builds("{}{}{}".format, starts, queries, ends).map(str.encode)
lines = urls | urls.map(lambda url: url.replace(b"1", b"\xe9")) | st.binary(max_size=12)


def query_of(line: bytes) -> bytes:
    """Find the query string as the documentation of `parameters` says."""
    line = line.removesuffix(b"\r").partition(b"#")[0]
    line = re.sub(rb" HTTP/[0-9]+(\.[0-9]+)?\Z", b"", line)
    before, mark, after = line.partition(b"?")
    if mark and b"=" not in before:
        return after
    return re.sub(rb"\A(GET|HEAD|POST) ", b"", line)


def first_values(line: bytes) -> dict[bytes, bytes]:
    """Find the first value of each name with the standard library."""
    found: dict[bytes, bytes] = {}
    # Latin-1 makes of each byte one character and back.
    query = query_of(line).decode("latin-1")
    for name, value in parse_qsl(query, keep_blank_values=True, encoding="latin-1"):
        found.setdefault(name.encode("latin-1"), value.encode("latin-1"))
    return found


def expected(line: bytes) -> list[str | None] | str:
    """Give the four fields of `DECODER`, or the reason for a rejection."""
    if line in {b"", b"\r"}:
        return "empty line"
    found, fields = first_values(line), []
    for name, source in zip(DECODER.fields, NAMES, strict=True):
        value = found.get(source.encode())
        try:
            fields.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            return f"{name}: not UTF-8"
    return fields


@given(st.lists(lines, max_size=12))
def test_fields_are_what_the_standard_library_finds(raw):
    rows, rejected = DECODER.decode(pl.Series(raw, dtype=pl.Binary))
    found = {row: list(fields) for row, *fields in rows.rows()} | dict(rejected.rows())
    assert [found[row] for row in range(len(raw))] == [expected(line) for line in raw]


@given(st.lists(lines, max_size=12), st.integers(1, 8))
def test_a_layout_finds_what_splitting_finds(raw, layouts):
    seen = Lines.of(pl.Series(raw, dtype=pl.Binary))
    bet = parameters(seen, NAMES, layouts=layouts)
    assert bet.equals(parameters(seen, NAMES, layouts=0))


@given(queries, st.lists(st.sampled_from(["1", "", "%41", "é"]), min_size=5, max_size=5))
def test_lines_of_one_layout_are_read_by_it(query, others):
    """Every line after the first has the first one's names, with values of its own."""
    first = f"/b.gif?{query}"
    like = iter(others)
    second = re.sub(r"=[^&#]*", lambda _: f"={next(like, '')}", first)
    raw = pl.Series([first.encode(), second.encode()])
    rows, rejected = DECODER.decode(raw)
    found = {row: list(fields) for row, *fields in rows.rows()} | dict(rejected.rows())
    assert [found[0], found[1]] == [expected(line) for line in raw]


GOLDEN = {
    b"/b.gif?a=1&b=2": ("1", "2"),
    b"http://h/p/b.gif?a=1&b=2": ("1", "2"),
    b"GET /b.gif?a=1&b=2 HTTP/1.1": ("1", "2"),
    b"GET /b.gif?a=1&b=2 HTTP/1.1\r": ("1", "2"),
    b"a=1&b=2": ("1", "2"),
    b"a=1&b=2\r": ("1", "2"),
    b"POST a=1&b=2": ("1", "2"),
    b"a=1?&b=2": ("1?", "2"),
    b"a=http://x/?b=3": ("http://x/?b=3", None),
    b"/b.gif?a=1#b=2": ("1", None),
    b"/b.gif#?a=1": (None, None),
    b"/b.gif": (None, None),
    b"/b.gif?": (None, None),
    b"?a": ("", None),
    b"?a=": ("", None),
    b"?=1&a=2": ("2", None),
    b"?a=1&a=2": ("1", None),
    b"?&&a=1&&": ("1", None),
    b"?%61=1": ("1", None),
    b"?a=%E2%82%AC+1": ("€ 1", None),
    b"?a=%2": ("%2", None),
    b"?a=100%&b=%2B": ("100%", "+"),
    b"?a=b=c": ("b=c", None),
    b"?a=\xe2\x82\xac": ("€", None),
    b"?b=1&x=\xff&a=2": ("2", "1"),
    b"?b=1&\xff=3": (None, "1"),
}


def test_golden_lines():
    decoder = QueryString(a=pl.String, b=pl.String)
    rows, rejected = decoder.decode(pl.Series(list(GOLDEN)))
    assert dict(zip(GOLDEN, [fields for _, *fields in rows.rows()], strict=True)) == {
        line: list(fields) for line, fields in GOLDEN.items()
    }
    assert rejected.is_empty()


def test_reasons():
    decoder = QueryString(user=pl.String, n=pl.Int64, price=pl.Decimal(18, 6))
    raw = [b"?user=%ff", b"?n=x&user=%ff", b"?n=1.5", b"?n=+5", b"?price=1e3", b"", b"?n=&user="]
    rows, rejected = decoder.decode(pl.Series(raw))
    assert rejected.rows() == [
        (0, "user: not UTF-8"),
        (1, "user: not UTF-8"),
        (2, "n: not an int64"),
        (3, "n: not an int64"),  # a plus is a space
        (4, "price: not a decimal(18,6)"),
        (5, "empty line"),
    ]
    assert rows.rows() == [(6, "", None, None)]


def test_two_fields_may_read_one_parameter():
    decoder = QueryString(text=Field(pl.String, source="n"), n=pl.Int64)
    assert decoder.decode(pl.Series(["?n=007"])).rows.rows() == [(0, "007", 7)]


@pytest.mark.parametrize("count", [0, 1, 200])
def test_many_parameters(count):
    others = "&".join(f"some-rather-long-name-{number}={number}" for number in range(count))
    rows, _ = QueryString(a=pl.Int64).decode(pl.Series([f"/b.gif?{others}&a=1"] * 3))
    assert rows["a"].to_list() == [1, 1, 1]

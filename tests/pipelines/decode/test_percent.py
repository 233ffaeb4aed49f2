"""Columns of bytes: escapes, UTF-8 and the Latin-1 view, held against Python's own codecs."""

from urllib.parse import unquote_to_bytes

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.decode import percent
from beaconfold.pipelines.decode.lines import Lines, native
from beaconfold.pipelines.decode.octets import Octets
from beaconfold.pipelines.decode.utf8 import invalid_utf8, to_text

any_bytes = st.binary(max_size=8) | st.text(max_size=4).map(str.encode)
escapes = st.lists(
    st.sampled_from([b"%", b"+", b"%2", b"%20", b"%2B", b"%zz", b"%c3%A9", b"a", b"\xff", b"%00"]),
    max_size=6,
).map(b"".join)
# Leading bytes at the edges of what UTF-8 allows, and what may or may not follow them.
edges = st.lists(
    st.sampled_from(
        [bytes([b]) for b in b"\x41\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1"]
        + [bytes([b]) for b in b"\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xff"]
    ),
    max_size=6,
).map(b"".join)


def binary(values):
    return pl.Series(values, dtype=pl.Binary)


def is_utf8(value):
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.lists(any_bytes), st.integers(0, 3))
def test_a_column_laid_flat_is_made_again(values, start):
    column = binary([b"before", *values])[start:]
    assert Octets.of(column).restore().to_list() == column.to_list()


@given(st.lists(any_bytes | edges))
def test_utf8_is_what_python_takes_for_utf8(values):
    expected = [not is_utf8(value) for value in values]
    assert invalid_utf8(Octets.of(binary(values))).tolist() == expected
    text, invalid = to_text(binary(values))
    assert (invalid.to_list() if invalid is not None else [False] * len(values)) == expected
    assert text.to_list() == [value.decode() if is_utf8(value) else None for value in values]


@given(st.lists(any_bytes | edges))
def test_every_line_keeps_its_bytes(values):
    lines = Lines.of(binary(values))
    assert lines.octets().to_list() == values
    assert lines.text.to_list() == [
        value.decode() if is_utf8(value) else value.decode("latin-1") for value in values
    ]
    text, invalid = native(lines.text, lines.foreign)
    assert text.to_list() == [value.decode() if is_utf8(value) else None for value in values]
    assert (invalid is not None) == (not all(map(is_utf8, values)))


@given(st.lists(escapes | any_bytes))
def test_escapes_are_decoded_as_urllib_does(values):
    expected = [unquote_to_bytes(value.replace(b"+", b" ")) for value in values]
    assert percent.decode(binary(values)).to_list() == expected


@given(st.lists(st.none() | escapes | any_bytes))
def test_decoded_text_is_utf8_or_marked(values):
    lines = Lines.of(binary([value or b"" for value in values]))
    column = lines.text.set(pl.Series([value is None for value in values], dtype=pl.Boolean), None)
    text, invalid = percent.text(column, lines.foreign)
    decoded = [v if v is None else unquote_to_bytes(v.replace(b"+", b" ")) for v in values]
    bad = [value is not None and not is_utf8(value) for value in decoded]
    assert (invalid.to_list() if invalid is not None else [False] * len(values)) == bad
    expected = [v.decode() if v is not None and is_utf8(v) else None for v in decoded]
    assert text.to_list() == expected

"""Separated values, held against the standard library's reader."""

import csv
import gzip

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.decode import Delimited, Field

cells = st.text('ab",é\t1', max_size=4)
records = st.lists(cells, min_size=1, max_size=4)
QUOTED = Delimited(
    columns=["x", "y", "z"], separator=",", quote='"', z=pl.String, x=pl.String,
    again=Field(pl.String, source="x"),
)  # fmt: skip


def written(cells):
    """Write a record as RFC 4180 says, quoting where it must."""
    return ",".join(
        '"' + cell.replace('"', '""') + '"' if set(cell) & set('",') else cell for cell in cells
    )


@given(st.lists(records, min_size=1))
def test_quoted_records_are_read_back(records):
    raw = pl.Series([written(cells).encode() for cells in records])
    rows, rejected = QUOTED.decode(raw)
    whole = {row: cells for row, cells in enumerate(records) if len(cells) == 3}
    assert rows.rows() == [(row, z, x, x) for row, (x, _, z) in whole.items()]
    assert rejected.rows() == [
        (row, f"{len(cells)} fields, expected 3")
        for row, cells in enumerate(records)
        if len(cells) != 3
    ]


@given(st.lists(st.text('a",', max_size=9), min_size=1))
def test_what_is_well_quoted_is_what_a_strict_reader_reads(lines):
    rows, rejected = QUOTED.decode(pl.Series(lines, dtype=pl.String))
    found = {row: (x, z) for row, z, x, _ in rows.rows()} | dict(rejected.rows())
    for row, line in enumerate(lines):
        (cells,) = csv.reader([line], strict=False) if line else [[""]]
        if written(cells) == line and len(cells) == 3:
            assert found[row] == (cells[0], cells[2])
        elif isinstance(found[row], tuple):
            assert tuple(cells[::2]) == found[row]  # quoted without need


@given(st.lists(st.lists(st.text("abé\xff 1", max_size=3), min_size=1, max_size=4), min_size=1))
def test_plain_records_are_split(records):
    decoder = Delimited(columns=["x", "y"], x=pl.String)
    raw = pl.Series(["\t".join(cells).encode("latin-1") + b"\r" for cells in records])
    rows, rejected = decoder.decode(raw)
    found = dict(rows.rows()) | dict(rejected.rows())
    for row, cells in enumerate(records):
        if len(cells) != 2:
            assert found[row] == f"{len(cells)} fields, expected 2"
        else:
            assert found[row] == ("x: not UTF-8" if not cells[0].isascii() else cells[0])


def test_reasons_and_missing_values():
    decoder = Delimited(
        columns=["a", "b"], separator="|", quote="'", null_values=["-", "NULL"],
        a=pl.Int64, b=Field(pl.String, default="?"),
    )  # fmt: skip
    raw = ["1|x", "-|-", "|", "x|y", "1", "'1'|'a|''b'''", "'1|2", "1'|2", "1|'NULL'", "1|\r"]
    rows, rejected = decoder.decode(pl.Series(raw))
    assert rows.rows() == [
        (0, 1, "x"), (1, None, "?"), (2, None, ""), (5, 1, "a|'b'"), (8, 1, "?"), (9, 1, ""),
    ]  # fmt: skip
    assert rejected.rows() == [
        (3, "a: not an int64"),
        (4, "1 fields, expected 2"),
        (6, "badly quoted"),
        (7, "badly quoted"),
    ]


def test_headers_are_neither_rows_nor_rejected():
    raw = pl.Series(["a,n", "x,1", "a,n\r", '"a","n"', "a,m"])
    plain = Delimited(columns=["a", "n"], separator=",", quote='"', header=True, n=pl.Int64)
    rows, rejected = plain.decode(raw)
    assert rows.rows() == [(1, 1)]
    assert rejected.rows() == [(4, "n: not an int64")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["a", "a"]}, "twice"),
        ({"columns": ["b"]}, "'a': not among the columns, which are b"),
        ({"columns": ["a"], "separator": ""}, "separator"),
        ({"columns": ["a"], "separator": "::"}, "separator"),
        ({"columns": ["a"], "separator": "\n"}, "separator"),
        ({"columns": ["a"], "quote": "é"}, "quote"),
        ({"columns": ["a"], "separator": "'", "quote": "'"}, "quote"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        Delimited(**options, a=pl.String)


def test_web_hits(real_data):
    with gzip.open(real_data / "nasa_19950801.tsv.gz") as file:
        raw = pl.Series(file.read().removesuffix(b"\n").split(b"\n"))
    url = pl.col("url")
    decoder = Delimited(
        columns=raw[0].decode().split("\t"),
        header=True,
        derive={
            "key": pl.when(url.str.count_matches("/", literal=True) >= 2)
            .then(url.str.split("/").list.get(1, null_on_oob=True))
            .otherwise(pl.lit("/")),
            "window": pl.col("time") - pl.col("time") % 600,
        },
        host=pl.String,
        time=pl.Int64,
        url=pl.String,
        bytes=pl.Int64,
    )
    rows, rejected = decoder.decode(raw)
    assert (rows.height, rejected.height) == (30_969, 0)
    found = rows.group_by("key", "window").agg(
        count=pl.len(), unique_users=pl.col("host").n_unique(), sum=pl.col("bytes").sum()
    )
    expected = pl.read_csv(real_data / "nasa.expected.tsv", separator="\t", quote_char=None)
    expected = expected.with_columns(pl.col("key").fill_null(""))  # an empty first segment
    by = ["key", "window"]
    assert found.cast(expected.schema).sort(by).equals(expected.sort(by))

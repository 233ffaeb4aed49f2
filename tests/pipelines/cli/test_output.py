"""What is written: every digit in CSV and JSON, no line too wide in a table."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing.parametric import dataframes
from rich.cells import cell_len

from beaconfold.pipelines.cli.output import write
from beaconfold.pipelines.cli.table import table

DTYPES = [
    pl.String(),
    pl.Int64(),
    pl.Int128(),
    pl.Float64(),
    pl.Boolean(),
    pl.Date(),
    pl.Binary(),
    pl.Decimal(38, 6),
    pl.Datetime("us", "UTC"),
    pl.Datetime("ms"),
]

FRAME = pl.DataFrame(
    {
        "publisher": ["p1", "a,\n\x1b[2J", None],
        "window": [datetime(2015, 9, 12, 1, tzinfo=UTC)] * 3,
        "last": [datetime(2015, 9, 12, 1, 0, 0, 1000, tzinfo=UTC), None, None],
        "revenue": [Decimal("12345678901234567890123456.123456"), Decimal("0.1"), None],
        "total": [2**100, -1, None],
        "users": [2.000000004967, 1e15, None],
        "day": [date(2015, 9, 12), None, None],
        "raw": [b"p1", b"\xff\x00", None],
    },
    schema_overrides={"total": pl.Int128, "revenue": pl.Decimal(38, 6)},
)


@given(dataframes(allowed_dtypes=DTYPES, max_cols=8, max_size=5), st.integers(0, 3))
def test_a_table_is_never_too_wide_and_has_every_row(frame, repeated):
    lines = list(table(frame, frame.columns[:repeated]))
    assert all(cell_len(line) <= 100 and "\n" not in line for line in lines)
    blocks = "\n".join(lines).split("\n\n")
    if frame.width and all(name.strip() for name in frame.columns):
        assert len(lines) % (frame.height + 1) in (0, len(blocks) - 1) or frame.height == 0


@given(st.lists(st.integers(-(2**100), 2**100), min_size=4, max_size=12))
def test_numbers_are_never_shortened(numbers):
    columns = {f"c{i}": pl.Series([number], dtype=pl.Int128) for i, number in enumerate(numbers)}
    shown = "\n".join(table(pl.DataFrame({"key": ["p1"], **columns}), ["key"]))
    assert set(map(str, numbers)) <= set(shown.split())


def test_long_text_makes_room():
    frame = pl.DataFrame({"a": ["x" * 300], "b": ["y" * 20], "n": [7]})
    header, row = table(frame)
    assert len(row) == 100
    assert row.startswith("xxx")
    assert "…  yyyyyyyyyyyyyyyyyyyy  7" in row
    assert header.split() == ["a", "b", "n"]


def test_a_table_escapes_what_a_terminal_would_obey():
    assert not any("\x1b" in line for line in table(FRAME))


def test_csv_has_every_digit(tmp_path):
    write(FRAME, "csv", tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_text()
    assert text.splitlines()[1] == (
        "p1,2015-09-12T01:00:00Z,2015-09-12T01:00:00.001000Z,"
        "12345678901234567890123456.123456,1267650600228229401496703205376,"
        "2.000000004967,2015-09-12,p1"
    )
    back = pl.read_csv(io.StringIO(text), infer_schema=False)
    assert back["revenue"].cast(pl.Decimal(38, 6)).equals(FRAME["revenue"])
    assert back["total"].cast(pl.Int128).equals(FRAME["total"])
    assert back["raw"].to_list() == ["p1", "ff00", None]


def test_json_has_every_digit(capfdbinary, tmp_path):
    write(FRAME, "json", tmp_path / "out.json")
    first, second, third = json.loads((tmp_path / "out.json").read_text())
    assert first["revenue"] == "12345678901234567890123456.123456"
    assert first["total"] == 2**100
    assert first["window"] == "2015-09-12T01:00:00Z"
    assert second["publisher"] == "a,\n\x1b[2J"
    assert set(third.values()) == {None, "2015-09-12T01:00:00Z"}


def test_parquet_keeps_the_frame(tmp_path):
    frame = FRAME.drop("total")
    write(frame, "parquet", tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").equals(frame)


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_no_rows_are_no_error(form, tmp_path):
    write(FRAME.clear(), form, tmp_path / "out")
    assert (tmp_path / "out").stat().st_size

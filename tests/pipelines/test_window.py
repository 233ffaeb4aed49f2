"""Tumbling windows are aligned to the epoch, on both sides of it."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.window import TumblingWindow, check_event_time
from beaconfold.stores.times import parse_duration, parse_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
    st.sampled_from(["1ms", "1s", "7s", "1m", "10m", "1h", "1d"]),
    st.sampled_from(["ms", "us"]),
)
def test_a_window_holds_its_instant(instant, width, unit):
    microseconds = parse_duration(width)
    column = pl.Series([instant]).cast(pl.Datetime(unit, "UTC"))
    (start,) = pl.select(TumblingWindow(microseconds).start(pl.lit(column))).to_series()
    instant = column[0]
    assert start <= instant < start + timedelta(microseconds=microseconds)
    assert (start - EPOCH) % timedelta(microseconds=microseconds) == timedelta()


def test_a_date_and_a_naive_instant_are_utc():
    days = pl.DataFrame({"t": [datetime(1969, 12, 31).date()]})
    naive = pl.DataFrame({"t": [datetime(1969, 12, 31, 23, 59, 59)]})
    window = TumblingWindow(parse_duration("1d")).start(pl.col("t"))
    expected = datetime(1969, 12, 31, tzinfo=UTC)
    assert days.select(window).item() == naive.select(window).item() == expected


@pytest.mark.parametrize("text", ["", "1", "m", "0s", "-1m", "1.5m", "1 m", "1month"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["yesterday", "", "12:00"])
def test_what_is_no_instant_is_refused(text):
    with pytest.raises(ValueError, match="not an instant"):
        parse_instant(text)


def test_an_instant_keeps_its_offset():
    assert parse_instant("2015-09-12T02:00+02:00") == parse_instant("2015-09-12")


@pytest.mark.parametrize("dtype", [pl.Datetime("ns", "UTC"), pl.Int64(), pl.String()])
def test_what_cannot_be_windowed_is_refused(dtype):
    with pytest.raises(TypeError, match=r"declare it as pl.Datetime\('ms', 'UTC'\)"):
        check_event_time("ts", dtype)

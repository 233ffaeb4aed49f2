"""The grammar of fields: golden cases, and Python's own types as the oracle."""

import math
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.decode.fields import check, parse

NO = "not of the grammar"

GOLDEN = {
    pl.Int8(): {
        "5": 5, "+5": 5, "-5": -5, "-0": 0, "007": 7, "127": 127, "-128": -128,
        "128": NO, "-129": NO, "1.0": NO, "1e2": NO, "1_0": NO, " 5": NO, "5 ": NO, "+": NO,
        "--5": NO, "0x1": NO, "٣": NO, "": NO, "abc": NO,
    },
    pl.UInt64(): {
        "18446744073709551615": 2**64 - 1, "18446744073709551616": NO, "-0": 0, "-00": 0, "-1": NO,
        "+1": 1,
    },
    pl.Int64(): {"9223372036854775807": 2**63 - 1, "9223372036854775808": NO, "0" * 40 + "1": 1},
    pl.Int128(): {str(2**127 - 1): 2**127 - 1, str(2**127): NO},
    pl.Decimal(18, 6): {
        "0.0123": Decimal("0.0123"), "-1": Decimal(-1), "+1.5": Decimal("1.5"), "-0": Decimal(0),
        "000000000000000000000001.5": Decimal("1.5"),
        "999999999999.999999": Decimal("999999999999.999999"), "1000000000000": NO,
        "0.1234567": NO, "0.1000000": NO, "1e2": NO, "1E2": NO, ".5": NO, "5.": NO, "1,5": NO,
        "nan": NO, "inf": NO, "": NO, " 1": NO, "1 ": NO, "+": NO, "1.2.3": NO,
    },
    pl.Decimal(4, 0): {"9999": Decimal(9999), "10000": NO, "1.0": NO, "1.": NO},
    pl.Decimal(3, 3): {"0.125": Decimal("0.125"), "00.125": Decimal("0.125"), "1.125": NO},
    pl.Decimal(38, 6): {"9" * 32 + ".999999": Decimal("9" * 32 + ".999999"), "9" * 33: NO},
    pl.Float64(): {
        "1": 1.0, "-1.5": -1.5, "1e3": 1000.0, "1.5E-3": 0.0015, "0.1": 0.1, "inf": math.inf,
        "-Infinity": -math.inf, "+INF": math.inf, "1e308": 1e308, "1e-400": 0.0,
        "1e309": NO, ".5": NO, "5.": NO, "1e": NO, "1_0": NO, "0x1p3": NO, "-nan": NO, "": NO,
    },
    pl.Float32(): {"0.5": 0.5, "3.5e38": NO, "-inf": -math.inf},
    pl.Boolean(): {
        "true": True, "TRUE": True, "True": True, "1": True, "false": False, "0": False,
        "yes": NO, "2": NO, "": NO, "t": NO, " true": NO, "truK": NO,
    },
    pl.Date(): {
        "2000-02-29": date(2000, 2, 29), "0001-01-01": date.min, "9999-12-31": date.max,
        "1900-02-29": NO, "0000-01-01": NO, "2000-2-9": NO, "2000-13-01": NO, "20000229": NO,
        "2000-02-29T00:00:00Z": NO, "": NO, "10000-01-01": NO,
    },
    pl.Datetime("ms", "UTC"): {
        "0": datetime(1970, 1, 1, tzinfo=UTC),
        "-1": datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        "1700000040123": datetime(2023, 11, 14, 22, 14, 0, 123000, tzinfo=UTC),
        "+1": datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC),
        "253402300799999": datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        "253402300800000": NO,
        "-62135596800000": datetime(1, 1, 1, tzinfo=UTC),
        "-62135596800001": NO,
        "99999999999999999999": NO,
        "1.5": NO,
        "2015-09-12T00:46:58.771Z": datetime(2015, 9, 12, 0, 46, 58, 771000, tzinfo=UTC),
        "2015-09-12t00:46:58z": datetime(2015, 9, 12, 0, 46, 58, tzinfo=UTC),
        "2015-09-12 00:46:58.7+02:00": datetime(2015, 9, 11, 22, 46, 58, 700000, tzinfo=UTC),
        "2015-09-12T00:46:58-23:59": datetime(2015, 9, 13, 0, 45, 58, tzinfo=UTC),
        "2000-02-29T23:59:59Z": datetime(2000, 2, 29, 23, 59, 59, tzinfo=UTC),
        "2015-09-12T00:46:58": NO, "2015-09-12T00:46:58.7711Z": NO, "2015-09-12T00:46:58.Z": NO,
        "2015-09-12T23:59:60Z": NO, "2015-09-12T24:00:00Z": NO, "2015-09-12T00:46:58+24:00": NO,
        "2015-09-12T00:46:58+0200": NO, "2015-09-12T00:46Z": NO, "2015-02-29T00:00:00Z": NO,
        "2015-09-12": NO, "2015-9-12T00:46:58Z": NO, "0000-01-01T00:00:00Z": NO,
        "0001-01-01T00:00:00+00:01": NO, "9999-12-31T23:59:59-00:01": NO, "": NO, "now": NO,
        "2015-09-12_00:46:58Z": NO, "2015-09-12T00:46:58Zé": NO, "2015-00-12T00:46:58Z": NO,
    },
    pl.Datetime("us"): {
        "1": datetime(1970, 1, 1, 0, 0, 0, 1),
        "2015-09-12T00:46:58.123456": datetime(2015, 9, 12, 0, 46, 58, 123456),
        "2015-09-12T00:46:58Z": NO, "2015-09-12T00:46:58+00:00": NO,
    },
    pl.Datetime("ns", "UTC"): {
        "2262-04-11T23:47:16.854775807Z": 2**63 - 1,
        "2262-04-11T23:47:16.854775808Z": NO,
        "1677-09-21T00:12:43.145224192Z": -(2**63),
        "1677-09-21T00:12:43.145224191Z": NO,
        "1970-01-01T00:00:00.000000001Z": 1,
        "1600-01-01T00:00:00Z": NO, "9999-01-01T00:00:00Z": NO,
    },
    pl.String(): {"": "", " ": " ", "\0": "\0", "é": "é"},
}  # fmt: skip


@pytest.mark.parametrize("dtype", GOLDEN, ids=str)
def test_golden_texts(dtype):
    texts = list(GOLDEN[dtype])
    values = parse(pl.Series([None, *texts, None]), dtype)
    assert values.dtype == dtype
    if dtype == pl.Datetime("ns", "UTC"):
        values = values.to_physical()  # Python's datetime has no nanoseconds
    found = dict(zip(texts, values.to_list()[1:-1], strict=True))
    assert found == {text: None if value is NO else value for text, value in GOLDEN[dtype].items()}
    for text, value in GOLDEN[dtype].items():  # a text's neighbours do not matter
        alone = parse(pl.Series([text], dtype=pl.String), dtype)
        assert alone.is_null().item() == (value is NO)


def test_nan_is_one_nan():
    values = parse(pl.Series(["nan", "NaN", "NAN"]), pl.Float64())
    assert values.is_nan().all()
    assert values.to_physical().n_unique() == 1


def test_empty_columns():
    for dtype in GOLDEN:
        assert parse(pl.Series([], dtype=pl.String), dtype).dtype == dtype
        assert parse(pl.Series([None], dtype=pl.String), dtype).to_list() == [None]


@pytest.mark.parametrize("dtype", [pl.Time(), pl.Duration("ms"), pl.List(pl.Int8()), pl.Binary()])
def test_data_types_without_a_text_form_are_refused(dtype):
    with pytest.raises(TypeError, match="a field cannot be"):
        check(dtype)


def digits(least=0):
    return st.text("0123456789", min_size=least, max_size=12)


numbers = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "+", "-", " "]),
    digits(),
    st.sampled_from(["", ".", "e"]),
    digits(),
    st.sampled_from(["", "e5", " ", "_"]),
)


@given(st.lists(numbers, min_size=1))
def test_decimals_are_exact_or_nothing(texts):
    def oracle(text):
        if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]{1,4})?", text):
            return None
        value = Decimal(text)
        return value if abs(value) < Decimal(10) ** 5 else None

    column = pl.Series(texts, dtype=pl.String)
    assert parse(column, pl.Decimal(9, 4)).to_list() == [oracle(text) for text in texts]


@given(st.lists(numbers, min_size=1))
def test_floats_are_the_nearest(texts):
    def oracle(text):
        if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text):
            return None
        return None if math.isinf(float(text)) else float(text)

    values = parse(pl.Series(texts, dtype=pl.String), pl.Float64()).to_list()
    assert values == [oracle(text) for text in texts]


instants = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))


@given(st.lists(st.tuples(instants, offsets), min_size=1), st.sampled_from(["ms", "us"]))
def test_rfc3339_is_what_python_reads(moments, unit):
    scale = {"ms": 10**3, "us": 10**6}[unit]
    moments = [moment.replace(tzinfo=zone) for moment, zone in moments]
    texts = [moment.isoformat() for moment in moments]
    texts = [
        text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text for text in texts
    ]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    def oracle(moment):
        if unit == "ms" and moment.microsecond:
            return None  # isoformat writes six digits
        count = Fraction((moment - epoch) // timedelta(microseconds=1) * scale, 10**6)
        return int(count)

    column = pl.Series([*texts, "0"], dtype=pl.String)  # an epoch beside them changes nothing
    values = parse(column, pl.Datetime(unit, "UTC")).to_physical().to_list()
    assert values == [*map(oracle, moments), 0]


def test_a_time_zone_is_kept():
    paris = pl.Datetime("ms", "Europe/Paris")
    values = parse(pl.Series(["0", "1970-01-01T01:00:00+01:00"]), paris)
    assert values.dtype == paris
    assert values.to_physical().to_list() == [0, 0]

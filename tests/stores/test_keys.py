"""Keys have one text, and a shard that never changes."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.stores import Keys, shard_of

COLUMNS = {
    "text": (pl.String(), st.text(st.sampled_from("a\\tnNü\t\n\r\0\U0001f600"), max_size=6)),
    "small": (pl.Int8(), st.integers(-128, 127)),
    "count": (pl.UInt64(), st.integers(0, 2**64 - 1)),
    "large": (pl.Int128(), st.integers(-(2**127), 2**127 - 1)),
    "flag": (pl.Boolean(), st.booleans()),
    "bytes": (pl.Binary(), st.binary(max_size=4)),
    "price": (pl.Decimal(18, 6), st.decimals(-(10**11), 10**11, places=6)),
    "day": (pl.Date(), st.dates()),
    "clock": (pl.Time(), st.times()),
    "at": (
        pl.Datetime("ms", "UTC"),
        st.datetimes(datetime(1900, 1, 1), timezones=st.just(UTC)).map(
            lambda moment: moment.replace(microsecond=0)
        ),
    ),
    "local": (pl.Datetime("us"), st.datetimes()),
    "took": (pl.Duration("us"), st.timedeltas(timedelta(-1000), timedelta(1000))),
}
SCHEMA = {name: dtype for name, (dtype, _) in COLUMNS.items()}
keys = st.tuples(*(st.none() | values for _, values in COLUMNS.values()))


@given(st.lists(keys, max_size=5))
def test_keys_come_back_from_their_text(rows):
    frame = pl.DataFrame(rows, SCHEMA, orient="row")
    texts = Keys(SCHEMA).encode(frame)
    assert texts.null_count() == 0
    assert not texts.str.contains("[\n\r\0]").any()
    back = Keys(SCHEMA).decode(texts)
    assert back.schema == frame.schema
    assert back.equals(frame)


@given(st.lists(st.none() | COLUMNS["text"][1], min_size=1, max_size=20))
def test_different_keys_have_different_texts(values):
    pairs = pl.DataFrame({"a": values, "b": values[::-1]}, {"a": pl.String, "b": pl.String})
    texts = Keys(pairs.schema).encode(pairs)
    assert texts.n_unique() == pairs.n_unique()


def test_the_text_is_that_of_postgresql_copy():
    frame = pl.DataFrame(
        {
            "text": ["a\tb\\", None, "\\N"],
            "price": [Decimal("1.5"), Decimal(-2), None],
            "day": [date(1970, 1, 2), None, date(1969, 12, 31)],
            "at": [time(0, 0, 1), None, time(0)],
            "flag": [True, False, None],
            "bytes": [b"\xff", b"", None],
        },
        schema_overrides={"price": pl.Decimal(10, 2)},
    )
    assert Keys(frame.schema).encode(frame).to_list() == [
        "a\\tb\\\\\t1.50\t1\t1000000000\tt\t\\\\xff",
        "\\N\t-2.00\t\\N\t\\N\tf\t\\\\x",
        "\\\\N\t\\N\t-1\t0\t\\N\t\\N",
    ]


def test_shards_never_change():
    # The low 64 bits of MurmurHash3 x64 128 with seed 9001, from an implementation in Python.
    golden = {
        "": 2193432386669714361,
        "p1": 1133752790752328230,
        "p2": 7998948097470776724,
        "\\N": 2299209021511359898,
        "publisher-1\t49": 1362506053733517882,
        "ü": 15032617056740658485,
        "a much longer key than sixteen bytes": 602851940289193756,
    }
    for shards in (1, 7, 64, 2**40):
        found = shard_of(pl.Series(list(golden)), shards).to_list()
        assert found == [word % shards for word in golden.values()]
    assert shard_of(pl.Series([], dtype=pl.String), 64).dtype == pl.Int64


def test_keys_spread_over_the_shards():
    sizes = shard_of(pl.Series(map(str, range(64_000))), 64).value_counts()["count"]
    assert len(sizes) == 64
    assert 850 < sizes.min() <= sizes.max() < 1150


@pytest.mark.parametrize("dtype", [pl.Float64(), pl.List(pl.Int64()), pl.Struct({"a": pl.Int64()})])
def test_a_key_without_an_exact_text_is_refused(dtype):
    with pytest.raises(TypeError, match="key column 'x'"):
        Keys({"x": dtype})


def test_other_columns_are_refused():
    with pytest.raises(TypeError, match="at least one"):
        Keys({})
    with pytest.raises(TypeError, match="no key column 'x'; there are: y"):
        Keys({"x": pl.String()}).encode(pl.DataFrame({"y": ["a"]}))
    with pytest.raises(TypeError, match="'x' is Int64, expected String"):
        Keys({"x": pl.String()}).encode(pl.DataFrame({"x": [1]}))

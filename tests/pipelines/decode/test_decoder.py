"""What every decoder promises, held against each of them."""

import json
import pickle
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.decode import AccessLog, Delimited, Field, JsonLines, QueryString

FIELDS = {
    "a": pl.String,
    "n": Field(pl.Int64, default=7),
    "p": pl.Decimal(18, 6),
    "t": pl.Datetime("ms", "UTC"),
}
DERIVE = {"doubled": pl.col("n") * 2, "again": pl.col("doubled").cast(pl.String) + pl.col("a")}
DECODERS = {
    "querystring": QueryString(derive=DERIVE, **FIELDS),
    "jsonlines": JsonLines(derive=DERIVE, **FIELDS),
    "delimited": Delimited(
        columns=["a", "n", "x", "p", "t"], separator=",", quote='"', header=True,
        null_values=["-"], derive=DERIVE, **FIELDS,
    ),
    "accesslog": AccessLog(format="common", derive=DERIVE, **FIELDS),
}  # fmt: skip
every_decoder = pytest.mark.parametrize("kind", DECODERS)

values = st.sampled_from(
    ["", "x", "é", "5", "-5", "1.5", "1e3", "%41", "%ff", "0", "a b", "-", '"']
)


def record(a, n, p, t, kind):
    """Write a beacon in each of the forms, from values that may not fit it."""
    query = f"/b.gif?a={a}&n={n}&p={p}&t={t}"
    return {
        "querystring": query,
        "jsonlines": f'{{"a": "{a}", "n": {n}, "p": "{p}", "t": {t}}}',
        "delimited": f"{a},{n},ignored,{p},{t}",
        "accesslog": f'h - - [10/Oct/2000:13:55:36 -0700] "GET {query} HTTP/1.0" 200 5',
    }[kind].encode()


def beacons(kind):
    return st.lists(
        st.builds(record, values, values, values, values, st.just(kind))
        | st.builds(record, st.just("x"), st.just("1"), values, st.just("0"), st.just(kind))
        | st.binary(max_size=20)
        | st.just(b"a,n,x,p,t"),
        max_size=12,
    )


@every_decoder
@given(st.data(), st.integers(0, 12))
def test_a_beacon_is_decoded_without_its_neighbours(kind, data, cut):
    """decode(a ++ b) is decode(a) ++ decode(b), and no row is lost or made."""
    decoder = DECODERS[kind]
    raw = pl.Series(data.draw(beacons(kind)), dtype=pl.Binary)
    rows, rejected = decoder.decode(raw)
    assert dict(rows.schema) == {"row": pl.UInt32, **decoder.schema}
    assert dict(rejected.schema) == {"row": pl.UInt32, "reason": pl.String}
    assert rows["row"].is_sorted()
    assert rejected["row"].is_sorted()
    assert rejected["reason"].null_count() == 0
    left, right = decoder.decode(raw[:cut]), decoder.decode(raw[cut:])
    shift = pl.col("row") + min(cut, len(raw))
    assert rows.equals(pl.concat([left.rows, right.rows.with_columns(shift)]))
    assert rejected.equals(pl.concat([left.rejected, right.rejected.with_columns(shift)]))
    skipped = {row for row, line in enumerate(raw) if kind == "delimited" and line == b"a,n,x,p,t"}
    assert {*rows["row"], *rejected["row"]} | skipped == set(range(len(raw)))
    assert rows.height + rejected.height + len(skipped) == len(raw)


@every_decoder
def test_one_beacon_in_every_form(kind):
    raw = pl.Series([record("x", "5", "1.5", "1000", kind)])
    (row,) = DECODERS[kind].decode(raw).rows.select(*FIELDS, *DERIVE).rows()
    assert row == ("x", 5, Decimal("1.5"), datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 10, "10x")


@every_decoder
def test_decoders_are_frozen_and_travel(kind):
    decoder = DECODERS[kind]
    with pytest.raises(FrozenInstanceError):
        decoder.fields = {}
    travelled = pickle.loads(pickle.dumps(decoder))
    assert travelled.declare() == decoder.declare()
    assert travelled.schema == decoder.schema
    raw = pl.Series([record("x", "5", "1.5", "1000", kind)])
    assert travelled.decode(raw).rows.equals(decoder.decode(raw).rows)


@every_decoder
def test_text_is_taken_as_bytes_are_and_null_as_an_empty_line(kind):
    lines = [record("é", "5", "1.5", "1000", kind), b"", record("x", "", "", "", kind)]
    raw = pl.Series(lines)
    text = pl.Series([lines[0].decode(), None, lines[2].decode()])
    for mine, theirs in zip(DECODERS[kind].decode(raw), DECODERS[kind].decode(text), strict=True):
        assert mine.equals(theirs)
    with pytest.raises(TypeError, match="Binary or String, not Int64"):
        DECODERS[kind].decode(pl.Series([1]))


@every_decoder
def test_no_rows(kind):
    decoded = DECODERS[kind].decode(pl.Series([], dtype=pl.Binary))
    assert decoded.rows.schema == {"row": pl.UInt32, **DECODERS[kind].schema}
    assert decoded.rejected.is_empty()


@every_decoder
def test_no_fields(kind):
    bare = {"columns": ["a"]} if kind == "delimited" else {}
    decoder = type(DECODERS[kind])(**bare)
    raw = {"jsonlines": "{}", "accesslog": record("", "", "", "", kind).decode() + ' "-" "-"'}
    rows, rejected = decoder.decode(pl.Series([raw.get(kind, "x"), "\x00"]))
    assert rows["row"].to_list()[0] == 0
    assert rows.height + rejected.height == 2


@every_decoder
def test_declarations_are_plain_json(kind):
    declaration = DECODERS[kind].declare()
    assert json.loads(json.dumps(declaration)) == declaration
    assert declaration["kind"] == kind
    assert declaration["fields"]["n"] == {"dtype": "Int64", "default": 7}
    assert declaration["derive"]["doubled"] == ["mul", ["column", "n"], ["literal", 2]]


def test_declarations_differ_where_the_meaning_does():
    plain = {"columns": ["a", "b"], "a": pl.String}
    variants = [
        Delimited(**plain),
        Delimited(**plain, separator=","),
        Delimited(**plain, header=True),
        Delimited(**plain, quote="'"),
        Delimited(**plain, null_values=["-"]),
        Delimited(**plain, derive={"c": pl.col("a")}),
        Delimited(columns=["b", "a"], a=pl.String),
        Delimited(columns=["a", "b"], a=pl.Int64),
        Delimited(columns=["a", "b"], a=Field(pl.String, default="-")),
        Delimited(columns=["a", "b"], a=Field(pl.String, source="b")),
        QueryString(a=pl.String),
        JsonLines(a=pl.String),
        AccessLog(a=pl.String),
        AccessLog(a=pl.String, format="common"),
    ]
    assert len({json.dumps(decoder.declare()) for decoder in variants}) == len(variants)


def test_a_default_is_declared_alike_however_it_is_given():
    by_field = QueryString(a=Field(pl.String, default="unknown"), p=pl.Decimal(9, 2))
    by_option = QueryString(a=pl.String, p=pl.Decimal(9, 2), defaults={"a": "unknown"})
    assert by_field.declare() == by_option.declare()
    priced = QueryString(p=pl.Decimal(9, 2), defaults={"p": Decimal("0.5")})
    assert priced.declare()["fields"] == {"p": {"dtype": "Decimal(9,2)", "default": "0.50"}}
    assert QueryString(p=pl.Decimal(9, 2), defaults={"p": 0}).declare()["fields"]["p"] == {
        "dtype": "Decimal(9,2)",
        "default": "0.00",
    }


def test_defaults_stand_in_for_missing_values_only():
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    decoder = QueryString(
        a=pl.String,
        n=pl.UInt8,
        t=pl.Datetime("ms", "UTC"),
        defaults={"a": "?", "n": 1, "t": moment},
    )
    rows, rejected = decoder.decode(pl.Series(["x", "a=&n=&t=", "n=256"]))
    assert rows.rows() == [(0, "?", 1, moment), (1, "", 1, moment)]
    assert rejected.rows() == [(2, "n: not a uint8")]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"row": pl.String}, ValueError, "'row' is the number"),
        ({"": pl.String}, ValueError, "not empty"),
        ({"a": pl.Time}, TypeError, "field 'a': a field cannot be a Time"),
        ({"a": "String"}, TypeError, "field 'a': 'String' is not a Polars data type"),
        ({"a": Field(pl.Int8, default="x")}, TypeError, "the default 'x' is not an int8"),
        ({"a": Field(pl.Int8, default=300)}, TypeError, "the default 300 is not an int8"),
        ({"defaults": {"b": 1}, "a": pl.Int8}, ValueError, "'b' is not a declared field"),
        ({"derive": {"row": pl.lit(1)}}, ValueError, "'row' is the number"),
        ({"derive": {"a": pl.lit(1)}, "a": pl.Int8}, ValueError, "a field of that name"),
        ({"derive": {"b": pl.col("c") + 1}, "a": pl.Int8}, ValueError, "'b' reads 'c', which"),
        ({"derive": {"b": pl.col("a") + 1}, "a": pl.String}, TypeError, "derive 'b': "),
        ({"derive": {"b": pl.col("a").sum()}, "a": pl.Int8}, ValueError, "derive 'b': .* row"),
        ({"derive": {"b": pl.col("a").shift()}, "a": pl.Int8}, ValueError, "derive 'b': .* row"),
    ],
)
def test_declarations_that_do_not_hold_together(options, error, message):
    with pytest.raises(error, match=message):
        QueryString(**options)


def test_a_python_function_may_derive_but_cannot_be_declared():
    same = pl.col("n").map_batches(lambda values: values, return_dtype=pl.Int64)
    decoder = QueryString(n=pl.Int64, derive={"same": same})
    assert decoder.decode(pl.Series(["n=2"])).rows.rows() == [(0, 2, 2)]
    with pytest.raises(ValueError, match="canonical|written down"):
        decoder.declare()

"""Every aggregator obeys the laws, and the law kit finds those that do not."""

import datetime as dt
import json
from dataclasses import dataclass, replace
from typing import ClassVar

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from beaconfold.monoids import (
    Aggregator,
    Count,
    HyperLogLog,
    Lifted,
    Max,
    Min,
    Monoid,
    Product,
    Sum,
)  # fmt: skip
from beaconfold.monoids.laws import LawBroken, check_aggregator, check_monoid, frames


class Union(Monoid[frozenset]):
    idempotent = True
    zero = frozenset()

    def plus(self, left, right):
        return left | right

    def encode(self, value):
        return json.dumps(sorted(value)).encode()

    def decode(self, data):
        return frozenset(json.loads(data))


def integers(bits: int, *, signed: bool = True):
    low = -(2 ** (bits - 1)) if signed else 0
    return st.integers(low, low + 2**bits - 1)


UTC = st.just(dt.UTC)
WORDS = st.text(max_size=5) | st.sampled_from(["a", "b", "\x00", "ÿ", "𐍈"])
COLUMNS = {
    "boolean": (pl.Boolean(), st.booleans()),
    "int8": (pl.Int8(), integers(8)),
    "int64": (pl.Int64(), integers(64)),
    "uint64": (pl.UInt64(), integers(64, signed=False)),
    "int128": (pl.Int128(), integers(120)),
    "decimal": (pl.Decimal(18, 6), st.decimals(-(10**11), 10**11, places=6)),
    "wide": (pl.Decimal(38, 2), st.decimals(-(10**34), 10**34, places=2)),
    "float64": (pl.Float64(), st.floats()),
    "float32": (pl.Float32(), st.floats(width=32)),
    "date": (pl.Date(), st.dates()),
    "time": (pl.Time(), st.times()),
    "duration": (pl.Duration("us"), st.timedeltas(dt.timedelta(-10**6), dt.timedelta(10**6))),
    "datetime": (pl.Datetime("us", "UTC"), st.datetimes(timezones=UTC)),
    "string": (pl.String(), WORDS),
    "binary": (pl.Binary(), st.binary(max_size=4)),
}  # fmt: skip
WIDE_SUMS = {"int64", "uint64"}
SUMS = ["int8", "int64", "uint64", "int128", "decimal", "wide", "float64", "float32"]
YES = pl.col("boolean")


def lifted(column: str) -> Lifted:
    return Lifted(
        Union(), column, prepare=lambda word: frozenset([word]), result=len,
        dtype=pl.Int64(), version="1",
    )  # fmt: skip


AGGREGATORS: dict[str, Aggregator] = {
    "count": Count(),
    "count where": Count(where=YES),
    "sum where": Sum("int8", where=YES),
    **{f"sum {c}": Sum(c, dtype=pl.Int128() if c in WIDE_SUMS else None) for c in SUMS},
    **{f"min {c}": Min(c) for c in COLUMNS},
    **{f"max {c}": Max(c) for c in COLUMNS},
    "min where": Min("string", where=YES),
    "hyperloglog 4": HyperLogLog("string", lg_k=4),
    "hyperloglog 12 where": HyperLogLog("int64", where=YES),
    "lifted": lifted("string"),
}


@pytest.mark.parametrize("name", AGGREGATORS)
def test_aggregators_obey_the_laws(name):
    aggregator = AGGREGATORS[name]
    used = {column: COLUMNS[column] for column in aggregator.columns}
    check_aggregator(
        aggregator,
        frames(
            {column: dtype for column, (dtype, _) in used.items()},
            {column: values for column, (_, values) in used.items()},
        ),
        restorable=not isinstance(aggregator, Lifted),
        examples=12,
    )


@pytest.mark.parametrize(
    "aggregator",
    [Count(), Sum("x"), Min("x"), Max("x"), HyperLogLog("x"), Sum("f"), Min("f"), lifted("word")],
    ids=str,
)
@given(st.lists(st.tuples(st.integers(1, 2), st.none() | st.booleans(), st.integers(0, 5))))
def test_where_is_filtering_first(aggregator, rows):
    frame = pl.DataFrame(rows, schema=["k", "flag", "x"], orient="row").with_columns(
        pl.col("k").cast(pl.Int64),
        pl.col("flag").cast(pl.Boolean),
        pl.col("x").cast(pl.Int64),
        f=pl.col("x").cast(pl.Float64),
        word=pl.col("x").cast(pl.String),
    )
    plain, where = (
        Product({"result": each}).bind(frame.schema)
        for each in (aggregator, replace(aggregator, where=pl.col("flag")))
    )
    filtered = plain.fold(frame.filter("flag"), ["k"])
    groups = frame.select("k").unique().join(filtered, on="k", how="left")
    assert_frame_equal(
        where.present(where.fold(frame, ["k"])).sort("k"), plain.present(groups).sort("k")
    )


def test_monoids_obey_the_laws():
    check_monoid(Union(), st.frozensets(st.text(max_size=3), max_size=4))


class Difference(Monoid[int]):
    zero = 0

    def plus(self, left, right):
        return left - right


class Concatenation(Monoid[list]):
    """Associative, but it claims to be commutative, which it is not."""

    zero: ClassVar[list] = []

    def plus(self, left, right):
        return left + right


class Appending(Concatenation):
    commutative = False

    def plus(self, left, right):
        left += right
        return left


class Rounded(Monoid[float]):
    """Lawful, but its bytes are not those of the value."""

    idempotent = True
    zero = 0.0

    def plus(self, left, right):
        return max(left, right)

    def encode(self, value):
        return b"%.1f" % value


@pytest.mark.parametrize(
    ("monoid", "values", "law"),
    [
        (Difference(), st.integers(), "associativity|identity"),
        (Concatenation(), st.lists(st.integers()), "commutativity"),
        (Appending(), st.lists(st.integers()), "plus changes no argument"),
        (Rounded(), st.floats(0, 1), "codec"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_kit_finds_what_is_no_monoid(monoid, values, law):
    with pytest.raises(LawBroken, match=law):
        check_monoid(monoid, values)


@dataclass(frozen=True, eq=False)
class Broken(Aggregator):
    """A base for aggregators of Int64 that break one law each."""

    column: str = "x"

    @property
    def state(self):
        return pl.Int64()

    def fold(self):
        return self.plus(self.column)

    def plus(self, name):
        return pl.when(pl.col(name).count() > 0).then(pl.col(name).sum())

    def present(self, states):
        return states


class First(Broken):
    kind = "test-first"

    def fold(self):
        return pl.col(self.column).drop_nulls().first()

    def plus(self, name):
        return pl.col(name).drop_nulls().first()


class Average(Broken):
    kind = "test-average"

    def fold(self):
        return pl.col(self.column).mean().cast(pl.Int64)

    def plus(self, name):
        return pl.col(name).mean().cast(pl.Int64)


class ZeroForNull(Broken):
    """A sum without a null state: a group of nulls would present 0 as if it had been measured."""

    kind = "test-zero"

    def fold(self):
        return pl.col(self.column).sum()


class OtherState(Broken):
    kind = "test-state"

    def fold(self):
        return pl.col(self.column).sum().cast(pl.Int32)


class NotIdempotent(Broken):
    kind = "test-idempotent"
    idempotent = True


class DataDependent(Broken):
    kind = "test-dtype"

    def present(self, states):
        return states.cast(pl.Int8) if len(states) else states


@pytest.mark.parametrize(
    ("aggregator", "law"),
    [
        (First(), "order|batches|commutativity"),
        (Average(), "batches|associativity|identity"),
        (ZeroForNull(), "groups of nulls"),
        (OtherState(), "states are Int32"),
        (NotIdempotent(), "idempotence"),
        (DataDependent(), "depends on the data"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_kit_finds_unlawful_aggregators(aggregator, law):
    rows = frames({"x": pl.Int64()}, {"x": st.integers(-9, 9)}, groups=1, max_rows=5)
    with pytest.raises(LawBroken, match=law):
        check_aggregator(aggregator, rows)

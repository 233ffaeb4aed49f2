"""What a store by key keeps: inputs of any aggregate, elements of any monoid, and their states."""

import math
import pickle
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from beaconfold.monoids import CellError, Count, HyperLogLog, Lifted, Max, Min, Monoid, Sum
from beaconfold.stores import open_store
from beaconfold.stores.keyed import MemoryStore, ValueStore


class Words(Monoid[frozenset]):
    idempotent = True
    zero = frozenset()

    def plus(self, left, right):
        return left | right

    def encode(self, value):
        return ",".join(sorted(value)).encode()

    def decode(self, data):
        return frozenset(data.decode().split(",")) if data else frozenset()


class Lists(Monoid[list]):
    zero = []  # noqa: RUF012 - plus changes no argument

    def plus(self, left, right):
        return sorted([*left, *right])


def keeping(value, **settings):
    return MemoryStore("memory://", namespace="n", value=value, **settings)


@pytest.mark.parametrize(
    ("value", "inputs", "results"),
    [
        (Sum(dtype=pl.Int64), [1, -3], [1, -2]),
        (Sum(dtype=pl.Int128), [2**100, 2**100], [2**100, 2**101]),
        (Sum(dtype=pl.Float64), [1e100, 1.0], [1e100, 1e100]),
        (Sum(dtype=pl.Float64), [0.1, 0.2], [0.1, 0.30000000000000004]),
        (Sum(dtype=pl.Decimal(18, 2)), [Decimal("1.25"), 1], [Decimal("1.25"), Decimal("2.25")]),
        (Sum(dtype=pl.Decimal(18, 1)), [[1, Decimal("0.5")], 2], [Decimal("1.5"), Decimal("3.5")]),
        (Count(), ["anything", 5], [1, 2]),
        (Count(), [[1, 2, 3], ()], [3, 3]),
        (Min(dtype=pl.String), ["b", "a"], ["b", "a"]),
        (Max(dtype=pl.Int64), [3, [1, 7, 2]], [3, 7]),
        (Max(dtype=pl.Date), [date(2026, 1, 2), date(2025, 1, 1)], [date(2026, 1, 2)] * 2),
        (Max(dtype=pl.Boolean), [False, True], [False, True]),
        (Min(dtype=pl.Binary), [b"b", b""], [b"b", b""]),
        (Max(dtype=pl.Float64), [1.5, float("nan")], [1.5, float("nan")]),
        (Words(), [frozenset("ab"), frozenset("bc")], [frozenset("ab"), frozenset("abc")]),
        (Lists(), [[1, 3], [2]], [[1, 3], [1, 2, 3]]),
        (Lifted(Words(), dtype=pl.String(), version="1", prepare=frozenset, result=max),
         ["ab", "c"], ["b", "c"]),
    ],
)  # fmt: skip
def test_values_are_folded_merged_and_presented(value, inputs, results):
    store, before = keeping(value), None
    for given, result in zip(inputs, results, strict=True):
        assert store.merge("k", given) == before
        found = store.get("k")
        assert found == result or (math.isnan(found) and math.isnan(result))
        before = result
    store.put("k", inputs[0])
    assert store.get("k") == results[0]
    assert store.states.get("none") is None


def test_distinct_values_are_estimated_and_sketches_exchanged():
    here, there = keeping(HyperLogLog(lg_k=10)), keeping(HyperLogLog(lg_k=10))
    here.multi_merge({"a": [f"u{n}" for n in range(500)], "b": "u1", "c": pl.Series(["u1", "u2"])})
    there.merge("a", pl.Series([f"u{n}" for n in range(250, 750)]))
    alone = there.states.get("a")
    assert there.states.merge("a", here.states.get("a")) == alone
    assert there.get("a") == pytest.approx(750, rel=0.1)
    assert {key: round(count) for key, count in here.multi_get("bc").items()} == {"b": 1, "c": 2}
    here.merge("d", "")
    assert here.get("d") == 0
    numbers = keeping(HyperLogLog(), inputs=pl.Int64)
    numbers.merge("a", [1, 2, 2])
    assert round(numbers.get("a")) == 2


def test_states_are_integers_or_bytes_under_the_same_keys_and_tokens():
    store = keeping(Sum(dtype=pl.Int64))
    assert store.states.merge("a", 5, once="t") is None
    assert store.merge("a", 5, once="t") is None
    assert (store.get("a"), store.states.get("a")) == (5, 5)
    store.states.put("a", None)
    assert store.get("a") is None
    with pytest.raises(CellError, match="key=a: .*Int64"):
        store.states.put("a", 2**64)
    sketches = keeping(HyperLogLog())
    for damaged in (b"", b"\x09damaged"):
        with pytest.raises(ValueError, match="sketch|state"):
            sketches.states.put("a", damaged)
    with pytest.raises(TypeError, match="'ann'"):
        sketches.states.merge("a", "ann")


def test_nothing_merged_leaves_nothing():
    store = keeping(Sum(dtype=pl.Int64))
    assert store.multi_merge({"a": [], "b": [1]}) == {"a": None, "b": None}
    assert store.multi_get("ab") == {"a": None, "b": 1}
    assert store.merge("b", [], once="t") == 1
    assert store.merge("b", 5, once="t") == 1
    store.put("b", [])
    assert store.multi_get("ab") == {"a": None, "b": None}


@pytest.mark.parametrize(
    ("value", "wrong", "says"),
    [
        (Sum(dtype=pl.Int64), None, "None"),
        (Sum(dtype=pl.Int64), [1, None], "None"),
        (Sum(dtype=pl.Int64), "3", "'3' .str. is not Int64"),
        (Sum(dtype=pl.Int64), 2.0, "2.0 .float. is not Int64"),
        (Sum(dtype=pl.Int64), True, "True .bool. is not Int64"),
        (Sum(dtype=pl.Float64), 2**53 + 1, "9007199254740993 .int. is not Float64"),
        (Sum(dtype=pl.Float64), 10**400, "10.* .int. is not Float64"),
        (Sum(dtype=pl.Decimal(9, 2)), Decimal("0.001"), "0.001.* is not Decimal"),
        (Sum(dtype=pl.Decimal(9, 2)), 1.1, "1.1 .float. is not Decimal"),
        (Max(dtype=pl.Datetime("ms", "UTC")), datetime(2026, 1, 1), "is not Datetime"),
        (Max(dtype=pl.Datetime("ms", "UTC")), datetime(2026, 1, 1, 0, 0, 0, 1, UTC), "Datetime"),
        (Max(dtype=pl.Datetime("ms", "UTC")), 5, "5 .int. is not Datetime"),
        (Max(dtype=pl.Date), datetime(2026, 1, 1), "is not Date"),
        (Max(dtype=pl.Datetime("us")), date(2026, 1, 1), "is not Datetime"),
        (HyperLogLog(), b"ann", "b'ann' .bytes. is not String"),
        (HyperLogLog(), "\ud800", "is not String"),
        (Count(), None, "None"),
        (Words(), None, "None"),
    ],
)
def test_wrong_values_are_named(value, wrong, says):
    store = keeping(value)
    for attempt in (lambda: store.merge("k", wrong), lambda: store.multi_merge({"k": wrong})):
        with pytest.raises((TypeError, ValueError), match=says):
            attempt()
    assert store.get("k") is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"value": Sum()}, r"Sum\(dtype=…\)"),
        ({"value": Max()}, r"Max\(dtype=…\)"),
        ({"value": 5}, "5 is no aggregate"),
        ({"value": Sum}, "is no aggregate"),
        ({"value": Sum(dtype=pl.Int64), "inputs": pl.String}, "String"),
        ({"value": HyperLogLog(), "inputs": pl.Float64}, "Float64"),
        ({"value": Sum("a", dtype=pl.Int64, where=pl.col("b") > 1)}, "a, b"),
        ({"value": Count(), "key": pl.Float64}, "key.* is Float64"),
        ({"value": Count(), "key": pl.List(pl.Int64)}, "List"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_the_start(settings, says):
    with pytest.raises(TypeError, match=says):
        keeping(**settings)


def test_only_what_is_asked_for_is_counted():
    clicks = keeping(Count(where=pl.col("value") == "click"), inputs=pl.String)
    clicks.merge("p1", ["click", "view", "click"])
    assert clicks.get("p1") == 2


@pytest.mark.parametrize(
    ("dtype", "keys"),
    [
        (pl.Int64, [0, -5, 2**63 - 1]),
        (pl.Date, [date(2026, 1, 1), date(1969, 12, 31)]),
        (pl.Binary, [b"", b"\t\x00", b"a"]),
        (pl.Boolean, [True, False]),
        (pl.Datetime("us", "UTC"), [datetime(2026, 1, 1, 0, 0, 0, 7, UTC)]),
    ],
)
def test_keys_are_of_any_exact_dtype(dtype, keys):
    store = keeping(Count(), key=dtype)
    assert store.multi_merge(dict.fromkeys(keys, 1), once="t") == dict.fromkeys(keys)
    assert store.multi_merge(dict.fromkeys(keys, 1), once="t") == dict.fromkeys(keys)
    assert store.multi_get(keys) == dict.fromkeys(keys, 1)
    with pytest.raises(TypeError, match=r"the key 'a' \(str\) is not"):
        store.get("a")


def test_queries_read_a_namespace(store):
    clicks = ValueStore(store.backend, "clicks", Sum(dtype=pl.Int64), key=pl.Int64)
    clicks.multi_merge({1: 5, 2: 7}, once="t")
    assert store.query("clicks").rows() == [(1, 5), (2, 7)]
    assert store.query("clicks", where={"key": 2}).rows() == [(2, 7)]
    assert store.query("clicks", top=1, by="value").rows() == [(2, 7)]
    assert store.states(store.live("clicks")).rows() == [(1, 5), (2, 7)]
    assert sum(map(len, store.scan(store.live("clicks")))) == 2
    other = open_store("memory://")
    ValueStore(other.backend, "clicks", Sum(dtype=pl.Int64), key=pl.Int64).multi_put({1: 5, 2: 7})
    assert store.digest(store.live("clicks")) == other.digest(other.live("clicks"))


def test_a_copy_by_pickle_is_the_same_store(tmp_path):
    store = ValueStore(f"sqlite:///{tmp_path}/a.db", "n", HyperLogLog())
    store.merge("a", ["ann", "bob"])
    other = pickle.loads(pickle.dumps(store))
    assert round(other.merge("a", "cid")) == 2
    assert round(store.get("a")) == 3

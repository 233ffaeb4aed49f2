"""HyperLogLog beside Apache DataSketches: the same coupons and registers, exchanged as bytes."""

import datasketches
import numpy as np
import polars as pl
import pytest

from beaconfold.monoids import HyperLogLog, Product
from beaconfold.monoids.datasketches_export import to_datasketches
from beaconfold.monoids.datasketches_import import from_datasketches
from beaconfold.monoids.hll_state import sparse_limit

TYPES = [datasketches.HLL_4, datasketches.HLL_6, datasketches.HLL_8]
COUNTS = [0, 1, 2, 7, 8, 24, 25, 100, 384, 385, 1000, 6144, 6145, 100_000]


def state_of(users, lg_k):
    frame = pl.DataFrame({"group": 1, "user": users or [""]})
    product = Product({"users": HyperLogLog("user", lg_k=lg_k)}).bind(frame.schema)
    return product.fold(frame, ["group"])["users"].item()


def sketch_of(users, lg_k, kind=datasketches.HLL_8):
    sketch = datasketches.hll_sketch(lg_k, kind)
    for user in users:
        sketch.update(user)
    return sketch


def content(sketch, lg_k):
    """Read a sketch's coupons (a set) or its registers (an array) from its updatable bytes."""
    data = sketch.serialize_updatable()
    if data[7] & 3 == 2:
        return np.frombuffer(data, np.uint8, offset=40, count=1 << lg_k)
    coupons = np.frombuffer(data, "<u4", offset=(8, 12)[data[7] & 3])
    return set(coupons[coupons > 0].tolist())


def content_of_state(state):
    if state[2]:
        return np.frombuffer(state, np.uint8, offset=24)
    return set(np.frombuffer(state, "<u4", offset=4).tolist())


def assert_same(state, sketch, lg_k):
    left, right = content_of_state(state), content(sketch, lg_k)
    assert type(left) is type(right)
    assert np.array_equal(left, right) if isinstance(left, np.ndarray) else left == right


@pytest.mark.parametrize("lg_k", [8, 12, 16])
def test_registers_are_equal_from_none_to_a_million(lg_k):
    users = ["", *(f"user-{each}" for each in range(1_000_000))]
    sketch = datasketches.hll_sketch(lg_k, datasketches.HLL_8)
    fed = 0
    for count in [*COUNTS, 1_000_000]:
        for user in users[fed : count + 1]:
            sketch.update(user)
        fed = count + 1
        assert_same(state_of(users[:fed], lg_k), sketch, lg_k)


@pytest.mark.parametrize("lg_k", range(4, 19))
def test_the_forms_change_where_theirs_do(lg_k):
    limit = sparse_limit(lg_k)
    users = [f"ü{each}" for each in range(limit + 1)]
    for count in (limit, limit + 1):
        assert_same(state_of(users[:count], lg_k), sketch_of(users[:count], lg_k), lg_k)


def test_integers_hash_alike():
    values = [0, 1, -1, 2**63 - 1, -(2**63), *range(1000, 1400)]
    assert_same(state_of(values, 8), sketch_of(values, 8), 8)


@pytest.mark.parametrize("lg_k", [4, 7, 8, 12, 18])
def test_an_export_is_a_sketch_of_theirs_and_comes_back(lg_k):
    users = [f"user-{each}" for each in range(100_000)]
    states = pl.Series([None, *(state_of(users[:count], lg_k) for count in COUNTS)])
    exported = to_datasketches(states, lg_k)
    for count, state, data in list(zip(COUNTS, states[1:], exported[1:], strict=True)):
        sketch = datasketches.hll_sketch.deserialize(data)
        assert sketch.lg_config_k == lg_k
        assert sketch.tgt_type == datasketches.HLL_8
        assert sketch.is_empty() == (count == 0)
        assert abs(sketch.get_estimate() - count) <= 4 * 1.04 / 2 ** (lg_k / 2) * count
        assert_same(state, sketch, lg_k)
    assert from_datasketches(exported, lg_k).equals(states, null_equal=True)


def test_an_exported_sketch_goes_on_counting_there():
    users = [f"user-{each}" for each in range(5000)]
    for count in (0, 5, 300, 4000):
        (data,) = to_datasketches(pl.Series([state_of(users[:count], 12)], dtype=pl.Binary), 12)
        sketch = datasketches.hll_sketch.deserialize(data)
        for user in users[count:]:
            sketch.update(user)
        assert_same(state_of(users, 12), sketch, 12)


@pytest.mark.parametrize("lg_k", [4, 7, 8, 12])
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_their_sketches_of_any_kind_are_read(kind, lg_k):
    users = [f"user-{each}" for each in range(100_000)]
    sketches = [sketch_of(users[:count], lg_k, kind) for count in COUNTS]
    expected = pl.Series([state_of(users[:count], lg_k) for count in COUNTS])
    compact = pl.Series([each.serialize_compact() for each in sketches])
    updatable = pl.Series([each.serialize_updatable() for each in sketches])
    assert from_datasketches(compact, lg_k).equals(expected)
    assert from_datasketches(updatable, lg_k).equals(expected)


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_exceptions_and_merged_sketches_are_read(kind):
    # Many sketches of few registers: some registers are far above their sketch's least one.
    union = datasketches.hll_union(6)
    parts = [[f"{part}-{each}" for each in range(2000)] for part in range(300)]
    sketches = [sketch_of(part, 6, kind) for part in parts]
    data = pl.Series([each.serialize_compact() for each in sketches])
    states = from_datasketches(data, 6)
    assert states.to_list() == [state_of(part, 6) for part in parts]
    for sketch in sketches[:5]:
        union.update(sketch)
    merged = HyperLogLog("user", lg_k=6).plus_states(states[:5].implode())
    result = union.get_result(kind).serialize_compact()
    assert from_datasketches(pl.Series([result]), 6).equals(merged)
    if kind == datasketches.HLL_4:
        assert data.bin.size().max() > data.bin.size().min()


def test_reading_in_chunks_changes_nothing(monkeypatch):
    users = [f"user-{each}" for each in range(3000)]
    sketches = [sketch_of(users[:count], 6, kind) for count in (3, 90, 3000) for kind in TYPES]
    data = pl.Series([each.serialize_compact() for each in sketches * 3])
    states = from_datasketches(data, 6)
    exported = to_datasketches(states, 6)
    monkeypatch.setattr("beaconfold.monoids.hll_sets._ALIKE", 0)
    monkeypatch.setattr("beaconfold.monoids.datasketches_import.BLOCK", 2 << 6)
    monkeypatch.setattr("beaconfold.monoids.datasketches_export.BLOCK", 2 << 6)
    assert from_datasketches(data, 6).equals(states)
    assert to_datasketches(states, 6).equals(exported)


def test_nothing_is_exported_and_read_as_nothing():
    nothing = pl.Series([], dtype=pl.Binary)
    assert to_datasketches(nothing, 12).equals(nothing)
    assert from_datasketches(nothing, 12).equals(nothing)
    nulls = pl.Series([None, None], dtype=pl.Binary)
    assert from_datasketches(to_datasketches(nulls, 12), 12).equals(nulls)


def damaged():
    few = sketch_of(["a", "b", "c"], 8).serialize_compact()
    more = sketch_of([str(each) for each in range(20)], 8).serialize_compact()
    many = [sketch_of([str(each) for each in range(400)], 8, kind) for kind in TYPES]
    fours, sixes, bytes_ = (each.serialize_compact() for each in many)
    yield "no bytes", b"", "shorter than 8 bytes"
    yield "text", b"hello, world", "wrong mark"
    yield "mode", few[:7] + b"\x0b", "wrong mark"
    yield "width", few[:7] + b"\x0c" + few[8:], "unknown width"
    yield "preamble", b"\3" + few[1:], "preamble of the wrong length"
    yield "cut list", few[:-4], "another number of coupons"
    yield "odd list", few[:-1], "cut off or too long"
    yield "long list", few + bytes(4), "too long"
    yield "cut set", more[:-4], "another number of coupons"
    yield "cut set's head", more[:8], "cut off"
    yield "no rank", few[:8] + b"\1\0\0\0" + few[12:], "coupon without a rank"
    yield "cut bytes", bytes_[:-1], "cut off or too long"
    yield "long bytes", bytes_ + b"\0", "cut off or too long"
    yield "register", bytes_[:-1] + b"\x40", "register above 63"
    yield "cut sixes", sixes[:-1], "cut off or too long"
    yield "cut fours", fours[:-4], "cut off"
    yield "exception left out", fours[:-1] + b"\xff", "register above 63"
    yield "stray exception", fours[:-1] + b"\1" + b"\xff\0\0\x70", "exception for a register"
    yield "minimum", fours[:6] + b"\x40" + fours[7:], "register above 63"


@pytest.mark.parametrize(
    ("sketch", "message"), [pytest.param(*each, id=name) for name, *each in damaged()]
)
def test_damaged_sketches_are_refused(sketch, message):
    good = sketch_of(["x"], 8).serialize_compact()
    with pytest.raises(ValueError, match=message):
        from_datasketches(pl.Series([good, sketch, None]), 8)


def test_damaged_states_are_not_exported():
    state = state_of([str(each) for each in range(400)], 8)[:-1] + b"\x40"
    with pytest.raises(ValueError, match="register above 63"):
        to_datasketches(pl.Series([state]), 8)


@pytest.mark.parametrize("count", [3, 20, 400])
def test_another_lg_k_is_refused(count):
    users = [str(each) for each in range(count)]
    data = pl.Series([sketch_of(users, 8).serialize_compact()])
    with pytest.raises(ValueError, match="a sketch has lg_k=8, not 12"):
        from_datasketches(data, 12)
    with pytest.raises(ValueError, match="lg_k=8 does not merge with lg_k=12"):
        to_datasketches(from_datasketches(data, 8), 12)
    with pytest.raises(ValueError, match="lg_k must be from 4 to 18, not 21"):
        from_datasketches(data, 21)

"""HyperLogLog: one form for each set of values, and estimates within their error."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beaconfold.monoids import HyperLogLog, Product
from beaconfold.monoids.hll_coupons import coupon
from beaconfold.monoids.hll_estimate import estimate
from beaconfold.monoids.hll_sets import distinct
from beaconfold.monoids.hll_state import sparse_limit, write_dense
from beaconfold.monoids.laws import check_aggregator, frames


def uniques(lg_k=12, dtype=pl.String, **options):
    return Product({"users": HyperLogLog("user", lg_k=lg_k, **options)}).bind(
        {"group": pl.Int64(), "user": dtype}
    )


def rows(users, group=1, dtype=pl.String):
    return pl.DataFrame({"user": users}, schema={"user": dtype}).with_columns(group=group)


def state_of(users, lg_k=12, dtype=pl.String):
    frame = rows(users, dtype=dtype)
    return uniques(lg_k, dtype).fold(frame, ["group"])["users"].item()


def state_by_row(users, lg_k):
    """Build a state's bytes from the definition, a Python loop a value."""
    values = pl.Series("user", users, dtype=pl.String).to_frame()
    coupons = values.select(coupon(pl.col("user"), pl.String())).to_series().to_list()
    coupons = sorted(set(coupons) - {0})
    head = bytes([1, lg_k])
    if len(coupons) <= sparse_limit(lg_k):
        return head + b"\0\0" + b"".join(each.to_bytes(4, "little") for each in coupons)
    registers = bytearray(1 << lg_k)
    for each in coupons:
        slot = each % (1 << lg_k)
        registers[slot] = max(registers[slot], each >> 26)
    low = sum(2 ** (31 - rank) for rank in registers if rank < 32)
    high = sum(2 ** (63 - rank) for rank in registers if rank >= 32)
    summary = registers.count(0).to_bytes(4, "little")
    return (
        head
        + b"\1\0"
        + summary
        + low.to_bytes(8, "little")
        + high.to_bytes(8, "little")
        + registers
    )


@pytest.mark.parametrize("lg_k", [4, 8, 12])
@pytest.mark.parametrize("dtype", [pl.String(), pl.Binary(), pl.Int16(), pl.UInt64()], ids=str)
def test_the_laws_hold_to_the_byte(lg_k, dtype):
    values = {
        pl.String(): st.text(max_size=2),
        pl.Binary(): st.binary(max_size=2),
        pl.Int16(): st.integers(-20, 20),
        pl.UInt64(): st.integers(2**64 - 40, 2**64 - 1),
    }[dtype]
    drawn = frames({"user": dtype}, {"user": values}, max_rows=120 if lg_k == 8 else 40)
    check_aggregator(HyperLogLog("user", lg_k=lg_k), drawn, examples=10)


@settings(max_examples=30)
@given(
    st.sampled_from([4, 7, 8, 9]),
    st.lists(st.lists(st.integers(0, 80)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_any_split_and_any_order_give_the_bytes_of_the_set(lg_k, parts, random):
    product = uniques(lg_k)
    whole = [f"user-{each}" for part in parts for each in part]
    states = [product.fold(rows([f"user-{each}" for each in part]), ["group"]) for part in parts]
    random.shuffle(states)
    merged = product.plus(states, ["group"])
    expected = [state_by_row(whole, lg_k)] if whole else []
    assert merged["users"].to_list() == expected


def test_many_groups_of_all_forms_merge_at_once():
    rng = np.random.default_rng(3)
    product = uniques(5)
    users = [(int(group), f"u{rng.integers(60)}") for group in range(40) for _ in range(group)]
    frame = pl.DataFrame(users, schema=["group", "user"], orient="row").with_columns(
        batch=pl.Series(rng.integers(5, size=len(users)))
    )
    batches = [product.fold(each, ["group"]) for each in frame.partition_by("batch")]
    merged = dict(product.plus(batches, ["group"]).iter_rows())
    expected = {
        group: state_by_row(members["user"].to_list(), 5)
        for (group,), members in frame.partition_by("group", as_dict=True).items()
    }
    assert merged == expected
    assert {len(state) > 32 for state in merged.values()} == {True, False}


def test_blocks_of_dense_groups_change_nothing(monkeypatch):
    frame = pl.DataFrame({"group": np.arange(4000) % 9, "user": np.arange(4000)})
    product = uniques(8, pl.Int64())
    halves = [frame[:1000], frame[1000:2500], frame[2500:]]

    def states():
        merged = product.plus([product.fold(half, ["group"]) for half in halves], ["group"])
        return merged.sort("group"), product.fold(frame, ["group"]).sort("group")

    merged, folded = states()
    assert merged.equals(folded)
    monkeypatch.setattr("beaconfold.monoids.hll_dense._ROWS", 100)
    monkeypatch.setattr("beaconfold.monoids.hll_sets._SLAB", 100)
    monkeypatch.setattr("beaconfold.monoids.hll_sets._ROW", 2)
    monkeypatch.setattr("beaconfold.monoids.hll_sets._ALIKE", 0)
    monkeypatch.setattr("beaconfold.monoids.hll_dense.BLOCK", 2 << 8)
    assert all(each.equals(merged) for each in states())


@pytest.mark.parametrize("longest", [1, 5, 130])
@pytest.mark.parametrize("row", [2, 256])
@pytest.mark.parametrize("slab", [1, 50, 1 << 15])
def test_words_are_sorted_sets_whatever_the_rows_and_slabs(longest, row, slab, monkeypatch):
    rng = np.random.default_rng(longest)
    counts = rng.integers(1, longest + 1, 300)
    words = rng.integers(0, 3 * longest, counts.sum(), dtype=np.uint32)
    monkeypatch.setattr("beaconfold.monoids.hll_sets._ROW", row)
    monkeypatch.setattr("beaconfold.monoids.hll_sets._SLAB", slab)
    groups = np.split(words, np.cumsum(counts)[:-1])
    expected = [word for group in groups for word in sorted(set(group.tolist()) - {0})]
    assert distinct(counts, words).tolist() == expected


@pytest.mark.parametrize("lg_k", [4, 7, 8, 10])
def test_a_state_is_dense_above_the_limit_only(lg_k):
    limit = sparse_limit(lg_k)
    users = [f"user-{each}" for each in range(limit + 1)]
    assert state_of(users[:limit], lg_k) == state_by_row(users[:limit], lg_k)
    assert len(state_of(users[:limit] * 3, lg_k)) == 4 + 4 * limit
    assert state_of(users, lg_k) == state_by_row(users, lg_k)
    assert len(state_of(users, lg_k)) == 24 + 2**lg_k


GOLDEN = [
    (12, [""], "010c0000"),
    (12, ["a"], "010c0000 2f823b04"),
    (12, ["ann", "bob", "ann", "", None], "010c0000 f8116004 bf20641c"),
    (4, [f"user-{each}" for each in range(8)],
     "01040100 0b000000 00000070 06000000 00000000 00000000 02000000 00000101 01000003 00000000"),
]  # fmt: skip


@pytest.mark.parametrize(("lg_k", "users", "expected"), GOLDEN)
def test_the_bytes_are_pinned(lg_k, users, expected):
    assert state_of(users, lg_k).hex(" ", 4) == expected


def test_null_is_no_data_and_empty_text_an_empty_sketch():
    frame = pl.DataFrame({"group": [1, 1, 2, 3], "user": [None, None, "", "a"]})
    product = uniques()
    folded = product.fold(frame, ["group"]).sort("group")
    assert folded["users"].is_null().to_list() == [True, False, False]
    assert product.present(folded)["users"].to_list() == [None, 0.0, 1.0]
    merged = product.plus([folded, folded], ["group"]).sort("group")
    assert merged.equals(folded)


def test_where_leaves_rows_out():
    frame = pl.DataFrame({"group": 1, "user": ["a", "b", "c"], "ok": [True, None, False]})
    product = Product({"users": HyperLogLog("user", where=pl.col("ok"))}).bind(frame.schema)
    assert product.fold(frame, ["group"])["users"].item() == state_of(["a"])


def test_text_counts_as_its_bytes_and_integers_of_any_width_as_one():
    assert state_of(["é"]) == state_of(["é".encode()], dtype=pl.Binary)
    assert state_of([-7], dtype=pl.Int8) == state_of([-7], dtype=pl.Int64)
    assert state_of([7], dtype=pl.UInt8) == state_of([7], dtype=pl.UInt64)
    assert state_of([7], dtype=pl.Int64) != state_of(["7"])


@pytest.mark.parametrize("dtype", [pl.Float64(), pl.Int128(), pl.Boolean(), pl.Date()], ids=str)
def test_other_data_types_are_refused(dtype):
    with pytest.raises(TypeError, match=r"'user' is \w+: use \.cast\(pl\.String\)"):
        uniques(dtype=dtype)


@pytest.mark.parametrize(("lg_k", "error"), [(3, ValueError), (19, ValueError), ("12", TypeError),
                                             (True, TypeError), (12.0, TypeError)])  # fmt: skip
def test_lg_k_is_from_4_to_18(lg_k, error):
    with pytest.raises(error, match="lg_k must be"):
        HyperLogLog("user", lg_k=lg_k)


@pytest.mark.parametrize("count", [3, 5000])
def test_another_lg_k_is_refused(count):
    users = [f"user-{each}" for each in range(count)]
    states = pl.Series([state_of(users, 12), state_of(users, 11)])
    message = "lg_k=11 does not merge with lg_k=12"
    with pytest.raises(ValueError, match=message):
        HyperLogLog("user").present(states)
    with pytest.raises(ValueError, match=message):
        HyperLogLog("user").plus_states(states.implode())


def damaged():
    sparse, dense = state_of(["a", "b", "c"], 4), state_of([str(each) for each in range(40)], 4)
    yield "empty", b"", "has 0 bytes"
    yield "short", sparse[:3], "has 3 bytes"
    yield "version", b"\2" + sparse[1:], "has version 2"
    yield "form", sparse[:2] + b"\2" + sparse[3:], "begins with 01040200"
    yield "cut coupon", sparse[:-1], "cut off or too long"
    yield "too many coupons", sparse + bytes(40), "cut off or too long"
    yield "cut registers", dense[:-4], "cut off or too long"
    yield "order", sparse[:4] + sparse[8:12] + sparse[4:8], "not in order"
    yield "twice", sparse[:8] + sparse[4:8], "not in order"
    yield "no rank", sparse[:4] + bytes(4), "not in order"
    yield "register", dense[:-1] + b"\x40", "register above 63"


@pytest.mark.parametrize(
    ("state", "message"), [pytest.param(*each, id=name) for name, *each in damaged()]
)
def test_damaged_states_are_refused(state, message):
    states = pl.Series([state_of(["x"], 4), state])
    with pytest.raises(ValueError, match=message):
        HyperLogLog("user", lg_k=4).plus_states(states.implode())
    if "order" not in message and "register" not in message:  # an estimate does not read those
        with pytest.raises(ValueError, match=message):
            HyperLogLog("user", lg_k=4).present(states)


@pytest.mark.parametrize("lg_k", [4, 8, 12, 14])
def test_estimates_are_within_four_standard_errors(lg_k):
    counts = [*range(0, 40, 3), *(int(1.3**power) for power in range(14, 50))]
    limit = sparse_limit(lg_k)
    counts += [limit - 1, limit, limit + 1, limit + 2]
    rng = np.random.default_rng(lg_k)
    users = pl.Series("user", rng.integers(0, 2**62, max(counts)))
    product = uniques(lg_k, pl.Int64())
    for count in counts:
        frame = users.head(count).to_frame().with_columns(group=1)
        estimated = product.present(product.fold(frame, ["group"]))["users"].sum()
        assert abs(estimated - count) <= max(4 * 1.04 / 2 ** (lg_k / 2) * count, 0.5), count
        if count <= limit:
            assert estimated == pytest.approx(count, abs=0.005 + count**2 / 2**27)


def test_dense_estimates_have_no_bias():
    rng = np.random.default_rng(1)
    for lg_k, count, sketches in [(6, 40, 2000), (6, 300, 2000), (10, 1500, 300), (10, 9000, 300)]:
        k = 1 << lg_k
        registers = np.zeros((sketches, k), np.uint8)
        slots = rng.integers(0, k, (sketches, count)) + np.arange(sketches)[:, None] * k
        ranks = rng.geometric(0.5, (sketches, count)).astype(np.uint8)
        np.maximum.at(registers.reshape(-1), slots.reshape(-1), ranks.reshape(-1))
        error = estimate(write_dense([registers], sketches, lg_k), lg_k) / count - 1
        standard = 1.04 / np.sqrt(k)
        assert abs(error.mean()) < standard * (0.05 + 4 / np.sqrt(sketches))
        assert 0.6 * standard < error.std() < 1.15 * standard


def test_registers_beyond_all_counts_are_summed_exactly():
    registers = np.zeros((3, 16), np.uint8)
    registers[0, :3] = 31, 32, 63
    registers[1] = 63
    states = write_dense([registers], 3, 4)
    low, high = 13 * 2**31 + 1, 2**31 + 1
    assert states[0][4:24] == bytes([13, 0, 0, 0]) + low.to_bytes(8, "little") + high.to_bytes(
        8, "little"
    )
    assert estimate(states, 4).is_finite().all()
    assert estimate(states, 4)[2] == 0.0


def test_no_states_present_as_nothing():
    states = pl.Series("users", [None, None], dtype=pl.Binary)
    presented = HyperLogLog("user").present(states)
    assert presented.to_list() == [None, None]
    assert presented.dtype == HyperLogLog("user").present(states.clear()).dtype == pl.Float64

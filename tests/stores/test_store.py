"""The transaction over shards, its three outcomes, and the life of a generation."""

import hashlib
import pickle
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from beaconfold.monoids import CellError, Count, Product, Sum
from beaconfold.stores import (
    Applied,
    GenerationDropped,
    GenerationRetired,
    MergeableStore,
    Seal,
    SegmentId,
    StoreError,
    StoreLayoutError,
    SystemClock,
    UnknownJob,
    open_store,
    shard_of,
)
from beaconfold.stores.testing import declaration, fold, generation

FIRST, SECOND, THIRD = (SegmentId("a", "p", 1, number) for number in range(3))
BEACONS = {
    FIRST: [("p1", 0, 5, "ann"), ("p2", 0, 7, "bob"), ("p1", 1, 1, "ann")],
    SECOND: [("p1", 0, 2, "cid"), ("p3", -1, 2**62, "ann")],
    THIRD: [("p3", -1, 2**62, "dan"), ("p2", 0, -7, "bob")],
}
ALL = frozenset(range(64))


class FixedClock:
    """A clock that moves by being slept on."""

    def __init__(self):
        self.time, self.slept = datetime(2026, 1, 1, tzinfo=UTC), []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


class Rival:
    """A backend on which somebody else writes to some shards between a read and its commit."""

    def __init__(self, backend, interfere):
        self.backend, self.interfere, self.reads = backend, interfere, []

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def read(self, where, shards, keys):
        found = self.backend.read(where, shards, keys)
        self.reads.append(list(shards))
        self.interfere(len(self.reads), shards)
        return found


def of(*segments):
    return fold(beacon for segment in segments for beacon in BEACONS[segment])


def clean(*segments):
    store = open_store("memory://")
    where = store.register(declaration())
    if segments:
        store.apply(where, segments, of(*segments))
    return store.dump(where)


def test_segments_are_merged_once(store):
    where = store.register(declaration())
    assert store.apply(where, [FIRST], of(FIRST)) == Applied(ALL, frozenset(), {})
    assert store.apply(where, [FIRST], of(FIRST)) == Applied(frozenset(), ALL, {})
    assert store.apply(where, [SECOND, THIRD], of(SECOND, THIRD)).merged == ALL
    assert store.dump(where) == clean(FIRST, SECOND, THIRD)
    results = store.query("clicks").select("publisher", "n", "total", "users")
    assert results["n"].to_list() == [2, 1, 2, 2]
    assert results["total"].to_list() == [7, 1, 0, 2**63]
    assert results["users"].round().to_list() == [2, 1, 1, 2]


def test_overlapping_segments_are_named_and_not_merged(store):
    where = store.register(declaration())
    store.apply(where, [FIRST], of(FIRST))
    before = store.dump(where)
    applied = store.apply(where, [FIRST, SECOND], of(FIRST, SECOND))
    lacking = dict.fromkeys(ALL, frozenset({SECOND}))
    assert applied == Applied(frozenset(), frozenset(), lacking)
    assert store.dump(where) == before
    assert SECOND not in store.segments(where)
    assert store.apply(where, [SECOND], of(SECOND), shards=applied.missing).merged == ALL
    assert store.dump(where) == clean(FIRST, SECOND)


def test_each_shard_decides_for_itself(store):
    where = store.register(declaration())
    (shard,) = shard_of(pl.Series(["p1"]), 64)
    assert store.apply(where, [FIRST], of(FIRST), shards=[shard]).merged == {shard}
    assert FIRST not in store.segments(where)
    assert FIRST in store.ledgers(where)[shard]
    assert store.states(where)["publisher"].unique().to_list() == ["p1"]
    applied = store.apply(where, [FIRST, SECOND], of(FIRST, SECOND))
    assert applied.merged == ALL - {shard}
    assert applied.missing == {shard: {SECOND}}
    store.apply(where, [SECOND], of(SECOND), shards=[shard])
    assert store.dump(where) == clean(FIRST, SECOND)
    assert store.segments(where).missing([FIRST, SECOND]) == set()


def test_a_segment_without_cells_is_recorded_by_every_shard(store):
    where = store.register(declaration())
    assert store.apply(where, [FIRST], fold([])).merged == ALL
    assert FIRST in store.segments(where)
    assert store.states(where).height == 0


def test_seals_are_recorded_with_segments_and_alone(store):
    where = store.register(declaration())
    store.apply(where, [FIRST], of(FIRST), seals=[Seal("a", "p", 1, 3)])
    assert b"[1,3,[0,1]]" in store.segments(where).encode()
    store.apply(where, [SECOND, THIRD], of(SECOND, THIRD))
    assert store.segments(where).encode() == b'{"layout":1,"archives":{"a":{"p":[1,[]]}}}'
    for _ in range(2):
        store.record_seals(where, [Seal("a", "p", 2, 0)])
    assert b'"p":[2,[]]' in store.segments(where).encode()
    assert store.apply(where, [THIRD], of(THIRD), seals=[Seal("a", "p", 3, 0)]).known == ALL
    assert b'"p":[3,[]]' in store.segments(where).encode()
    assert store.apply(where, [], fold([]), seals=[Seal("a", "p", 4, 0)]).known == ALL
    assert b'"p":[4,[]]' in store.segments(where).encode()
    assert {ledger.encode() for ledger in store.ledgers(where).values()} == {
        store.segments(where).encode()
    }


def test_partials_without_segments_are_refused(store):
    where = store.register(declaration())
    with pytest.raises(ValueError, match=r"use merge\(\)"):
        store.apply(where, [], of(FIRST))


def test_repeated_cells_in_partials_are_merged(store):
    where = store.register(declaration())
    store.apply(where, [FIRST, SECOND], pl.concat([of(FIRST), of(SECOND)]))
    assert store.dump(where) == clean(FIRST, SECOND)


def test_conflicts_are_tried_again_in_smaller_parts():
    backend, clock = open_store("memory://").backend, FixedClock()
    other = MergeableStore(backend)
    where = other.register(declaration())
    rivals = iter([SECOND, THIRD])

    def interfere(reads, shards):
        if reads <= 2:
            rival = next(rivals)
            other.apply(where, [rival], of(rival), shards=range(32))

    rival = Rival(backend, interfere)
    store = MergeableStore(rival, clock)
    assert store.apply(where, [FIRST], of(FIRST)).merged == ALL
    assert [len(shards) for shards in rival.reads] == [64, 16, 8, 8, 16]
    assert {shard for shards in rival.reads[1:] for shard in shards} == set(range(32))
    assert len(clock.slept) == 2
    assert all(0 <= seconds <= 0.01 for seconds in clock.slept)
    for segment in (SECOND, THIRD):
        other.apply(where, [segment], of(segment), shards=range(32, 64))
    assert other.dump(where) == clean(FIRST, SECOND, THIRD)


def test_a_rival_with_the_same_segment_makes_it_known():
    backend = open_store("memory://").backend
    other = MergeableStore(backend)
    where = other.register(declaration())

    def interfere(reads, shards):
        if reads == 1:
            other.apply(where, [FIRST], of(FIRST), shards=range(10))

    store = MergeableStore(Rival(backend, interfere), FixedClock())
    applied = store.apply(where, [FIRST], of(FIRST))
    assert applied == Applied(ALL - frozenset(range(10)), frozenset(range(10)), {})
    assert other.dump(where) == clean(FIRST)


def test_rows_are_dated_by_the_clock():
    clock = FixedClock()
    store = MergeableStore(open_store("memory://").backend, clock)
    where = store.register(declaration())
    store.apply(where, [FIRST], of(FIRST))
    clock.sleep(60)
    store.apply(where, [THIRD], of(THIRD))
    dated = pl.concat(store.backend.scan(where)).sort("window", "key")
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000
    assert (dated["updated_at"] - start).to_list() == [60_000, 0, 60_000, 0]


def test_an_overflow_names_its_cell_and_merges_nothing(store):
    product = Product({"total": Sum("price", dtype=pl.Int128)}).bind({"price": pl.Int64()})
    where = store.register({**declaration("sums"), "aggregates": product.declare()})
    states = pl.DataFrame(
        {"publisher": ["p1"], "total": [2**126]},
        schema_overrides={"total": pl.Int128},
    ).with_columns(window=pl.lit(0).cast(pl.Datetime("us", "UTC")))
    store.apply(where, [FIRST], states)
    before = store.dump(where)
    with pytest.raises(CellError, match=r"total of window=1970-01-01 00:00:00.*, key=p1"):
        store.apply(where, [SECOND, THIRD], pl.concat([states, states]))
    with pytest.raises(CellError, match="p1"):
        store.merge(where, states)
    assert store.dump(where) == before
    assert SECOND not in store.segments(where)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop("n"), "need 'n' as states of Int64, not nothing"),
        (lambda frame: frame.with_columns(pl.col("total").cast(pl.Int64)), "'total' as states of"),
        (lambda frame: frame.drop("publisher"), "no key column 'publisher'"),
        (lambda frame: frame.drop("window"), "'window' must be .* not missing"),
        (lambda frame: frame.with_columns(pl.col("window").cast(pl.Int64)), "not Int64"),
    ],
)
def test_other_frames_are_refused(store, change, message):
    where = store.register(declaration())
    with pytest.raises(TypeError, match=message):
        store.apply(where, [FIRST], change(of(FIRST)))


def test_a_cell_without_a_window_is_refused(store):
    where = store.register(declaration())
    with pytest.raises(ValueError, match="'window' is null"):
        store.apply(
            where, [FIRST], of(FIRST).with_columns(window=pl.lit(None, pl.Datetime("us", "UTC")))
        )


def test_a_job_without_windows(store):
    where = store.register({**declaration("all-time"), "window_us": None})
    states = of(FIRST, SECOND).drop("window")
    store.apply(where, [FIRST, SECOND], states)
    assert store.states(where).columns == ["publisher", "n", "total", "users"]
    assert store.query("all-time").select("publisher", "n").rows() == [
        ("p1", 3),
        ("p2", 1),
        ("p3", 1),
    ]
    assert store.get(where, pl.DataFrame({"publisher": ["p1"]}))["n"].to_list() == [3]


def test_keys_of_several_columns(store):
    product = Product({"n": Count()})
    keys = {"publisher": "String", "country": "Int16"}
    where = store.register({**declaration(), "keys": keys, "aggregates": product.declare()})
    cells = pl.DataFrame(
        {"publisher": ["a\tb", None, "a", "a"], "country": [1, 1, None, 2]},
        schema_overrides={"country": pl.Int16},
    ).with_columns(window=pl.lit(0).cast(pl.Datetime("us", "UTC")), n=pl.lit(4, pl.Int64))
    store.apply(where, [FIRST], cells)
    order = ["publisher", "country", "window"]
    assert store.states(where).equals(cells.select(*order, "n").sort(order))
    assert (
        store.get(where, cells.drop("n")[:2])
        .sort("publisher")
        .equals(cells.select(*order, "n")[:2].sort("publisher"))
    )


def test_get_put_merge_delete(store):
    where = store.register(declaration())
    names = of(FIRST).select("publisher", "window")
    assert store.get(where, names).height == 0
    store.put(where, of(FIRST))
    store.merge(where, of(FIRST))
    assert sorted(store.get(where, names)["n"].to_list()) == [2, 2, 2]
    store.put(where, of(SECOND))
    one = of(SECOND).filter(publisher="p1")
    assert store.get(where, one.select("publisher", "window")).equals(
        one.select("publisher", "window", "n", "total", "users")
    )
    store.delete(where, pl.concat([names, names]))
    assert store.states(where)["publisher"].to_list() == ["p3"]
    assert FIRST not in store.segments(where)


def test_states_are_what_was_folded(store):
    where = store.register(declaration())
    store.apply(where, list(BEACONS), of(*BEACONS))
    expected = where.product.plus([of(*BEACONS)], where.group)
    columns = [*where.group, *where.states]
    assert store.states(where).equals(expected.select(columns).sort(where.group))
    some = pl.concat(store.scan(where, since="1970-01-01", until="1970-01-01T00:01"))
    assert some.height == 2


def test_the_dump_is_text_in_canonical_order(store):
    where = store.register(declaration())
    assert store.dump(where) == b'["window", "publisher", "n", "total", "users"]\n'
    store.apply(where, [FIRST], of(FIRST))
    lines = store.dump(where).decode().splitlines()
    assert [line.split("\t")[:4] for line in lines[1:]] == [
        ["0", "p1", "1", "5"],
        ["0", "p2", "1", "7"],
        ["60000000", "p1", "1", "1"],
    ]
    assert all(line.split("\t")[4].startswith("\\\\x01") for line in lines[1:])
    assert store.digest(where) == hashlib.sha256(store.dump(where)).hexdigest()


def test_a_backfill_is_built_beside_and_then_switched_to(store):
    old, new = store.register(declaration()), store.register(declaration(), 1)
    assert [each.state for each in store.generations("clicks")] == ["live", "building"]
    store.apply(old, [FIRST], of(FIRST))
    store.apply(new, [FIRST, SECOND], of(FIRST, SECOND))
    assert store.query("clicks")["n"].sum() == 3
    store.switch(new)
    assert store.live("clicks") == new
    assert store.query("clicks")["n"].sum() == 5
    store.apply(old, [THIRD], of(THIRD))
    store.switch(old)
    assert store.query("clicks")["n"].sum() == 5
    store.switch(new)
    store.retire(old)
    for refused in (
        lambda: store.apply(old, [SECOND], of(SECOND)),
        lambda: store.record_seals(old, [Seal("a", "p", 1, 3)]),
        lambda: store.merge(old, of(SECOND)),
        lambda: store.switch(old),
    ):
        with pytest.raises(GenerationRetired, match="clicks@c0ffee-0 was retired"):
            refused()
    assert store.states(old)["n"].sum() == 5
    assert store.get(old, of(FIRST).select(old.group)).height == 3
    store.drop(old)
    for refused in (
        lambda: store.apply(old, [SECOND], of(SECOND)),
        lambda: store.states(old),
        lambda: store.get(old, of(FIRST)),
        lambda: store.dump(old),
        lambda: store.retire(old),
    ):
        with pytest.raises(GenerationDropped, match="clicks@c0ffee-0 was dropped"):
            refused()
    assert [each.state for each in store.generations()] == ["dropped", "live"]
    with pytest.raises(StoreError, match="readers see"):
        store.drop(new)


def test_retiring_between_read_and_commit_is_noticed():
    backend = open_store("memory://").backend
    other = MergeableStore(backend)
    old, new = other.register(declaration()), other.register(declaration(), 1)

    def interfere(reads, shards):
        if reads == 1:
            other.switch(new)
            other.retire(old)

    store = MergeableStore(Rival(backend, interfere), FixedClock())
    with pytest.raises(GenerationRetired):
        store.apply(old, [FIRST], of(FIRST))
    assert other.states(old).height == 0


def test_an_unknown_job_is_an_error_that_lists_the_known_ones(store):
    with pytest.raises(UnknownJob, match="no job 'clicks' in this store; it holds: none yet"):
        store.query("clicks")
    for job in ("views", "clicks"):
        store.register(declaration(job))
    with pytest.raises(UnknownJob, match="no job 'click' in this store; it holds: clicks, views"):
        store.live("click")


@pytest.mark.parametrize("name", ["key", "Window", "updated_at", "PUBLISHER"])
def test_columns_that_cannot_be_stored_are_refused(store, name):
    aggregates = {name: Count().declare()}
    with pytest.raises(ValueError, match=f"{name}"):
        store.register({**declaration(), "aggregates": aggregates})


def test_a_declaration_of_another_layout_is_refused(store):
    with pytest.raises(StoreLayoutError, match="clicks@c0ffee-0: declared by another .*: 2, this"):
        store.register({**declaration(), "layout": 2})


def test_a_product_that_cannot_be_restored_is_brought_along(store):
    aggregates = {"n": {"kind": "not importable here", "version": 1}}
    where = store.register(
        {**declaration(), "aggregates": aggregates}, product=Product({"n": Count()})
    )
    states = of(FIRST).select("publisher", "window", "n")
    store.apply(pickle.loads(pickle.dumps(where)), [FIRST], states)
    assert store.states(where).equals(states.sort(where.group))


def test_a_store_travels_by_its_address(store):
    where = store.register(declaration())
    with pickle.loads(pickle.dumps(store)) as other:
        other.check()
        other.apply(where, [FIRST], of(FIRST))
        assert other.random.random() != pickle.loads(pickle.dumps(store)).random.random()
    assert (other.id, other.shards) == (store.id, store.shards)
    assert open_store(store.url).dump(where) == store.dump(where) == clean(FIRST)
    assert isinstance(store.clock, SystemClock)
    assert generation() == where

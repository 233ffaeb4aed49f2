"""Namespaces, tokens that come of age, and merges whose outcome is unknown."""

import random
import subprocess
import sys

import polars as pl
import pytest
from redis_servers import fresh

from beaconfold.monoids import Count, HyperLogLog, Max, Min, Monoid, Sum
from beaconfold.stores import (
    CommitUncertain,
    ManualClock,
    MemoryBackend,
    MergeUncertain,
    StoreError,
    StoreLayoutError,
    StoreUnavailable,
    open_store,
)
from beaconfold.stores.keyed import MemoryStore, PostgresStore, RedisStore, SQLiteStore, ValueStore
from beaconfold.stores.testing import Fault, FaultyBackend, declaration

TOTAL = Sum(dtype=pl.Int64)


class Longest(Monoid[str]):
    idempotent = True
    zero = ""

    def plus(self, left, right):
        return max(left, right, key=lambda text: (len(text), text))


def faulty(value, *, shards=4, clock=None):
    backend = FaultyBackend(MemoryBackend(shards=shards))
    return backend, ValueStore(backend, "n", value, clock=clock or ManualClock())


def test_a_namespace_is_of_one_kind_for_good():
    backend = MemoryBackend()
    ValueStore(backend, "n", TOTAL).merge("a", 1)
    ValueStore(backend, "other", Count()).merge("a", 1)
    assert ValueStore(backend, "n", Sum(dtype=pl.Int64)).get("a") == 1
    for value, key, says in (
        (Sum(dtype=pl.Float64), pl.String, "'n' holds .*Int64.* not .*Float64"),
        (Min(dtype=pl.Int64), pl.String, "'n' holds .*sum.* not .*min"),
        (Longest(), pl.String, "'n' holds .*sum.* not .*Longest"),
        (TOTAL, pl.Int64, "'n' holds .*key.: .String.* not .*key.: .Int64"),
    ):
        with pytest.raises(StoreLayoutError, match=says):
            ValueStore(backend, "n", value, key=key)
    assert [each.job for each in backend.generations()] == ["n", "other"]


def test_a_job_of_that_name_is_not_taken_for_a_namespace():
    store = open_store("memory://")
    store.register(declaration("clicks"))
    with pytest.raises(StoreLayoutError, match="'clicks' holds .*publisher"):
        ValueStore(store.backend, "clicks", TOTAL)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "a\n", "ä", "a@1"])
def test_a_namespace_is_a_name(name):
    with pytest.raises(ValueError, match="namespace"):
        MemoryStore("memory://", namespace=name, value=TOTAL)


def test_stores_take_addresses_of_their_kind(tmp_path):
    for kind in (MemoryStore, SQLiteStore, PostgresStore, RedisStore):
        with pytest.raises(
            ValueError, match=rf"{kind.__name__} opens \w+.*not 'http://u:\*\*\*@h'"
        ):
            kind("http://u:secret@h", namespace="n", value=TOTAL)
    with pytest.raises(ValueError, match="unknown kind"):
        ValueStore("nowhere", "n", TOTAL)
    with pytest.raises(FileNotFoundError):
        SQLiteStore(f"sqlite:///{tmp_path}/none/a.db", namespace="n", value=TOTAL)
    assert "'n'" in repr(MemoryStore("memory://", namespace="n", value=TOTAL))


def test_old_tokens_are_forgotten_in_steps(monkeypatch):
    monkeypatch.setattr("beaconfold.stores.keyed.rows.STEP", 7)
    clock = ManualClock()
    backend, store = faulty(TOTAL, clock=clock)
    values = {f"k{number}": 1 for number in range(50)}
    store.multi_merge(values, once="old")
    clock.advance(3600)
    store.multi_merge(values, once="young")
    assert store.forget("2h") == 0
    backend.between = lambda: ValueStore(backend.backend, "n", TOTAL).merge("k1", 1)
    assert store.forget("30m") == 50
    assert store.forget("30m") == 0
    assert store.multi_merge(values, once="young") == dict.fromkeys(values, 1)
    assert store.get("k0") == 2
    assert store.get("k1") == 3
    assert store.merge("k0", 1, once="old") == 2
    assert sum(map(len, backend.scan(store.rows.generation, since=1, until=2))) == 51


@pytest.mark.parametrize("kind", ["sqlite", "redis", "postgres"])
def test_old_tokens_are_forgotten_in_every_store(kind, request, tmp_path, monkeypatch):
    monkeypatch.setattr("beaconfold.stores.keyed.rows.STEP", 100)
    url = f"sqlite:///{tmp_path}/a.db"
    if kind == "redis":
        url = fresh(request.getfixturevalue("redis_server"))
    elif kind == "postgres":
        url = request.getfixturevalue("postgres_url")
    clock = ManualClock()
    with ValueStore(url, "n", TOTAL, shards=2, clock=clock) as store:
        values = dict.fromkeys(map(str, range(1000)), 1)
        store.multi_merge(values, once="old")
        clock.advance(3600)
        store.multi_merge(values, once="young")
        assert store.forget("30m") == 1000
        assert store.forget("30m") == 0
        assert store.multi_merge(values, once="young") == values
        assert store.multi_get(values) == dict.fromkeys(values, 2)
        assert store.merge("5", 1, once="old") == 2


def test_an_unknown_outcome_is_said_unless_it_can_be_told():
    backend, store = faulty(TOTAL)
    for commits in (0, 1):
        backend.fault = Fault(CommitUncertain, commits)
        with pytest.raises(MergeUncertain, match="once=token"):
            store.merge("a", 1)
    assert store.get("a") == 1
    for commits in (0, 1):
        backend.fault = Fault(CommitUncertain, commits)
        assert store.merge("a", 1, once=f"t{commits}") == 1 + commits
    backend.fault = Fault(CommitUncertain, 1)
    store.put("a", 7)
    assert store.get("a") == 7


@pytest.mark.parametrize("error", [StoreUnavailable, StoreError])
def test_a_store_that_goes_away_between_two_shards_leaves_the_outcome_open(error):
    backend, store = faulty(TOTAL)
    rival = ValueStore(backend.backend, "n", TOTAL)
    values = {f"k{number}": 1 for number in range(8)}

    def meet_a_rival():
        rival.merge("k1", 10)
        backend.between = go_away

    def go_away():
        backend.fault = Fault(error)

    backend.between = meet_a_rival
    with pytest.raises(MergeUncertain, match="some of the merge may have been made"):
        store.multi_merge(values)
    assert 0 < sum(rival.multi_get(values)[key] == 1 for key in values) < 8
    backend.between = meet_a_rival
    with pytest.raises(error):
        store.multi_merge(values, once="t")
    before = rival.multi_get(values)
    store.multi_merge(values, once="t")
    assert rival.get("k1") == before["k1"] + 1


@pytest.mark.parametrize(
    ("value", "given"), [(Max(dtype=pl.Int64), 5), (HyperLogLog(), "ann"), (Longest(), "long")]
)
def test_merging_twice_is_no_harm_where_it_is_merging_once(value, given):
    backend, store = faulty(value)
    for commits in (0, 1):
        backend.fault = Fault(CommitUncertain, commits)
        store.merge("a", given)
        clean = MemoryStore("memory://", namespace="n", value=value)
        clean.merge("a", given)
        assert store.get("a") == clean.get("a")


def test_a_store_that_is_away_took_nothing():
    backend, store = faulty(TOTAL)
    backend.fault = Fault(StoreUnavailable)
    with pytest.raises(StoreUnavailable):
        store.merge("a", 1)
    assert store.get("a") is None


def test_merges_start_anew_after_a_rival():
    backend, store = faulty(TOTAL)
    rival = ValueStore(backend.backend, "n", TOTAL)
    for number in range(3):
        backend.between = lambda: rival.merge("a", 10)
        assert store.multi_merge({"a": 1, "b": 1}, once=str(number))["a"] == 11 * number + 10
    backend.between = lambda: rival.merge("a", 1, once="same")
    assert store.merge("a", 1, once="same") == 33
    backend.between = lambda: rival.put("a", None)
    assert store.merge("a", 1) is None
    assert store.multi_get("ab") == {"a": 1, "b": 3}


def test_a_dropped_namespace_says_so():
    backend, store = faulty(TOTAL)
    old = store.rows.generation
    backend.switch(backend.register(type(old)(old.job, "0" * 16, 0, "building", old.declaration)))
    backend.close_generation(old, "dropped")
    for attempt in (lambda: store.get("a"), lambda: store.merge("a", 1)):
        with pytest.raises(StoreError, match="dropped"):
            attempt()


WORKER = """
import random, sys
import polars as pl
from beaconfold.monoids import Sum
from beaconfold.stores.keyed import SQLiteStore

store = SQLiteStore(sys.argv[1], namespace="n", value=Sum(dtype=pl.Int64))
todo = list(range(40))
random.Random(int(sys.argv[2])).shuffle(todo)
for number in todo:
    store.multi_merge({f"k{key}": key for key in range(number, number + 20)}, once=str(number))
    print(number, flush=True)
"""


def test_processes_killed_in_the_middle_merge_each_token_once(tmp_path):
    url, dice = f"sqlite:///{tmp_path}/a.db", random.Random(1)
    store = SQLiteStore(url, namespace="n", value=TOTAL)

    def start(seed):
        command = [sys.executable, "-c", WORKER, url, str(seed)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    workers = [start(seed) for seed in range(3)]
    for _ in range(dice.randint(3, 8)):
        assert workers[0].stdout.readline()
    workers[0].kill()  # SIGKILL, most likely within the next merge
    workers[0].communicate()
    for worker in workers[1:]:
        worker.communicate(timeout=120)
        assert worker.returncode == 0
    expected = {f"k{key}": key * sum(n <= key < n + 20 for n in range(40)) for key in range(59)}
    assert store.multi_get(expected) == expected

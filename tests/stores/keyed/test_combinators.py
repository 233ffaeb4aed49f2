"""What each combinator does besides keeping the contract."""

import threading

import polars as pl
import pytest

from beaconfold.monoids import Sum
from beaconfold.stores import ManualClock, StoreUnavailable
from beaconfold.stores.keyed import (
    CachedStore,
    KeyedStore,
    MappedKeys,
    MappedValues,
    MemoryStore,
    ShardedStore,
)


def memory():
    return MemoryStore("memory://", namespace="n", value=Sum(dtype=pl.Int64), shards=4)


class Watched(KeyedStore):
    """A store that says what it is asked, and can be told to fail or to call somebody first."""

    def __init__(self, store):
        self.store, self.asked, self.failure, self.after = store, [], None, lambda: None

    def multi_get(self, keys):
        keys = list(keys)
        self.asked.append(("get", *keys))
        found = self.store.multi_get(keys)
        return self._done(found)

    def multi_put(self, values):
        self.asked.append(("put", *values))
        self._done(self.store.multi_put(values))

    def multi_merge(self, values, once=None):
        self.asked.append(("merge", once, *values))
        return self._done(self.store.multi_merge(values, once))

    def forget(self, older_than):
        self.asked.append(("forget", older_than))
        return self.store.forget(older_than)

    def close(self):
        self.asked.append(("close",))
        self.store.close()

    def _done(self, found):
        after, self.after = self.after, lambda: None
        after()
        if self.failure:
            raise self.failure
        return found


@pytest.fixture
def slow():
    return Watched(memory())


def test_a_cache_asks_once_also_for_absent_keys(slow):
    cache = CachedStore(slow, ttl=None)
    slow.store.put("a", 1)
    for _ in range(2):
        assert cache.multi_get(["a", "b"]) == {"a": 1, "b": None}
        assert cache.get("a") == 1
    assert cache.multi_get(["b", "c", "a"]) == {"b": None, "c": None, "a": 1}
    assert slow.asked == [("get", "a", "b"), ("get", "c")]


def test_a_cache_forgets_the_least_recently_used(slow):
    cache = CachedStore(slow, capacity=2, ttl=None)
    for key in ["a", "b", "a", "c", "a", "b"]:
        cache.get(key)
    assert [key for _, key in slow.asked] == ["a", "b", "c", "b"]
    slow.asked.clear()
    assert len(cache.multi_get("vwxyz")) == 5
    cache.multi_get("yz")
    assert slow.asked == [("get", *"vwxyz")]


def test_a_cache_forgets_with_time(slow):
    clock = ManualClock()
    cache = CachedStore(slow, ttl="30s", clock=clock)
    cache.get("a")
    slow.store.put("a", 1)
    clock.advance(29.9)
    assert cache.get("a") is None
    clock.advance(0.1)
    assert cache.get("a") == 1


def test_a_cache_forgets_what_is_written_through_it(slow):
    cache = CachedStore(slow, ttl=None)
    cache.multi_get("abc")
    cache.put("a", 1)
    cache.merge("b", 2, once="t")
    slow.asked.clear()
    assert cache.multi_get("abc") == {"a": 1, "b": 2, "c": None}
    assert slow.asked == [("get", "a", "b")]


def test_a_cache_forgets_what_may_have_been_written(slow):
    cache = CachedStore(slow, ttl=None)
    for write in (lambda: cache.put("a", 5), lambda: cache.merge("a", 2)):
        cache.get("a")
        slow.failure = StoreUnavailable("but it was written")
        with pytest.raises(StoreUnavailable):
            write()
        slow.failure = None
        assert cache.get("a") == slow.store.get("a")


def test_a_cache_keeps_nothing_of_a_failed_read(slow):
    cache = CachedStore(slow, ttl=None)
    slow.failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        cache.get("a")
    slow.failure = None
    slow.store.put("a", 1)
    assert cache.get("a") == 1


def test_a_cache_does_not_keep_a_read_that_a_write_overtook(slow):
    cache = CachedStore(slow, ttl=None)
    slow.after = lambda: cache.put("a", 1)  # after the read found nothing, before it is kept
    assert cache.multi_get("ab") == {"a": None, "b": None}
    slow.asked.clear()
    assert cache.multi_get("ab") == {"a": 1, "b": None}
    assert slow.asked == [("get", "a")]


def test_a_cache_keeps_the_latest_of_two_reads(slow):
    cache = CachedStore(slow, ttl=None)

    def elsewhere():
        slow.store.put("a", 1)
        assert cache.get("a") == 1  # a second read, of what came after the first one

    slow.after = elsewhere
    assert cache.get("a") is None
    assert cache.get("a") == 1


def test_a_cache_in_many_threads_never_shows_what_was_overwritten():
    store = memory()
    cache, over, failures = CachedStore(store, capacity=2, ttl=None), threading.Event(), []
    written = {"a": 0, "b": 0, "c": 0}

    def read():
        while not over.is_set():
            for key in "abc":
                least = written[key]
                if (cache.get(key) or 0) < least:
                    failures.append(key)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 20):
        for key in "abc":
            cache.merge(key, 1)
            written[key] = number
    over.set()
    for reader in readers:
        reader.join()
    assert failures == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"capacity": 0}, "capacity=0"), ({"ttl": "soon"}, "duration"), ({"ttl": "0s"}, "zero")],
)
def test_a_cache_with_wrong_settings_is_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        CachedStore(memory(), **settings)


def test_keys_go_to_the_same_stores_for_ever():
    store = ShardedStore([memory() for _ in range(3)])
    assert store.split(["p1", "p2", "p3", "", "ü"]) == [["p2", "", "ü"], ["p1", "p3"], []]
    keys = [f"k{number}" for number in range(3000)]
    parts = store.split(keys)
    assert sorted(key for part in parts for key in part) == sorted(keys)
    assert all(900 < len(part) < 1100 for part in parts)


def test_a_store_of_several_uses_all_shards_of_each():
    stores = [MemoryStore("memory://", namespace="n", value=Sum(dtype=pl.Int64)) for _ in range(2)]
    ShardedStore(stores).multi_put({f"k{number}": 1 for number in range(2000)})
    for store in stores:
        rows = store.rows
        for shard in range(64):
            assert sum(map(len, rows.store.backend.scan(rows.generation, shards=[shard])))


def test_a_merge_that_fails_in_one_store_says_so_and_can_be_repeated():
    parts = [Watched(memory()) for _ in range(3)]
    store = ShardedStore(parts)
    values = {f"k{number}": number for number in range(30)}
    parts[1].failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable, match="away") as caught:
        store.multi_merge(values, once="t")
    first = len(store.split(values)[0])
    assert f"in store 1 of 3: those before it have merged {first} keys" in caught.value.__notes__[0]
    assert parts[2].asked == []
    parts[1].failure = None
    assert store.multi_merge(values, once="t") == dict.fromkeys(values)
    assert store.multi_get(values) == values


def test_stores_of_other_keys_are_sharded_too():
    store = ShardedStore(
        [
            MemoryStore("memory://", namespace="n", value=Sum(dtype=pl.Int64), key=pl.Int64)
            for _ in range(2)
        ],
        key=pl.Int64,
    )
    store.multi_put({number: number for number in range(50)})
    assert store.multi_get(range(50)) == {number: number for number in range(50)}
    for refuse, says in (
        (lambda: ShardedStore([]), "at least one"),
        (lambda: ShardedStore([memory()], key=pl.Float64), "Float64"),
    ):
        with pytest.raises((ValueError, TypeError), match=says):
            refuse()


def test_keys_that_would_become_one_are_refused(slow):
    store = MappedKeys(slow, str.lower, str)
    store.put("a", 1)
    with pytest.raises(ValueError, match="'A' comes back as 'a'"):
        store.multi_merge({"a": 1, "A": 1})
    assert slow.asked == [("put", "a")]


def test_tokens_age_and_closing_pass_through():
    slow = Watched(memory())
    store = MappedValues(
        MappedKeys(ShardedStore([CachedStore(slow, ttl=None)]), str.upper, str.lower), int, int
    )
    store.merge("a", 1, once="t")
    assert store.merge("a", 1, once="t") is None
    assert store.forget("1d") == 0
    store.close()
    assert slow.asked == [("merge", "t", "A"), ("merge", "t", "A"), ("forget", "1d"), ("close",)]


def test_all_stores_are_closed_whatever_happens():
    parts = [Watched(memory()) for _ in range(2)]
    parts[1].store = None
    with pytest.raises(AttributeError):
        ShardedStore(parts).close()
    assert [part.asked for part in parts] == [[("close",)], [("close",)]]

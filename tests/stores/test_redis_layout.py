"""What a person finds with redis-cli, and how large things are read and let go."""

import json

import pytest
from redis_servers import fresh

from beaconfold.stores import GenerationDropped, ShardWrite, open_store
from beaconfold.stores.backend import STEP
from beaconfold.stores.redis import RedisBackend
from beaconfold.stores.testing import declaration, generation
from beaconfold.stores.testing.cells import CELLS, held, rows, version, wanted, write


@pytest.fixture
def store(redis_server):
    return open_store(fresh(redis_server), shards=4)


@pytest.fixture
def client(redis_server):
    with redis_server.client() as client:
        yield client


def keys(store, client):
    prefix = store.url.partition("=")[2]
    return {key.decode().removeprefix(prefix): key for key in client.scan_iter(f"{prefix}:*")}


def test_the_layout_is_readable(store, client):
    where = store.register(declaration())
    minute = 1_763_854_800_000_000
    cells = [(minute, "p1", 12, -(2**70), b"\x01\x02"), (minute, "p\\t2", 3, None, None)]
    write(store.backend, where, 2, cells, b'{"layout":1}')
    store.backend.put_document(where, "poison", "a/p/1/0", b"{}")
    found = keys(store, client)
    assert sorted(found) == [
        ":{0.0}:head",
        ":{0.1}:head",
        ":{0.2}:1763854800000000",
        ":{0.2}:1763854800000000:users",
        ":{0.2}:head",
        ":{0.2}:windows",
        ":{0.3}:head",
        ":{0.documents}:head",
        ":{0.documents}:kind:poison",
        ":{0.documents}:kinds",
        ":{store}",
        ":{store}:generations",
        ":{store}:live",
    ]
    assert client.hgetall(found[":{0.2}:1763854800000000"]) == {
        b"p1": b"12 -1180591620717411303424 1",
        b"p\\t2": b"3 - 1",
    }
    assert client.object("encoding", found[":{0.2}:1763854800000000"]) == b"listpack"
    assert client.hgetall(found[":{0.2}:1763854800000000:users"]) == {b"p1": b"\x01\x02"}
    assert client.zrange(found[":{0.2}:windows"], 0, -1) == [b"0001763854800000000"]
    head = client.hgetall(found[":{0.2}:head"])
    assert 0 < int(head.pop(b"version")) <= STEP
    assert head == {
        b"store": store.id.encode(),
        b"state": b"live",
        b"ledger": b'{"layout":1}',
    }
    assert client.hgetall(found[":{store}:live"]) == {b"clicks": b"0"}
    about = json.loads(client.hget(found[":{store}:generations"], "0"))
    assert about == {
        "job": "clicks",
        "fingerprint": "c0ffee",
        "revision": 0,
        "state": "live",
        "settled": True,
        "declaration": declaration(),
    }
    fields = client.hgetall(found[":{store}"])
    assert (fields[b"layout"], fields[b"shards"]) == (b"1", b"4")


def test_a_window_without_rows_leaves_no_trace(store, client):
    where = store.register(declaration())
    write(store.backend, where, 0, CELLS)
    gone = wanted(0, CELLS[:-1]).drop("shard")
    fresh = ShardWrite(0, version(store.backend, where, 0), b"", rows([]), gone)
    assert store.backend.commit(where, [fresh]) == [True]
    found = {key for key in keys(store, client) if key.startswith(":{0.0}")}
    assert found == {":{0.0}:120000000", ":{0.0}:head", ":{0.0}:windows"}
    assert client.zcard(keys(store, client)[":{0.0}:windows"]) == 1
    assert held(store.backend, where) == CELLS[-1:]


def test_many_windows_and_many_keys_are_scanned_in_pieces(store, monkeypatch):
    monkeypatch.setattr("beaconfold.stores.redis.windows.PAGE", 7)
    monkeypatch.setattr("beaconfold.stores.redis.scan.BATCH", 50)
    where = store.register(declaration())
    many = [(0, f"p{n}", n, n, b"u" * (n % 3)) for n in range(2000)]
    few = [(minute * 60_000_000, f"p{n}", 1, 2, None) for minute in range(1, 40) for n in range(3)]
    for shard in (0, 1):
        write(store.backend, where, shard, [*many, *few])
    assert held(store.backend, where) == sorted([*many, *few] * 2)
    assert held(store.backend, where, shards=[1], since=1) == sorted(few)
    assert held(store.backend, where, key="p1", shards=[0]) == sorted(
        cell for cell in [*many, *few] if cell[1] == "p1"
    )
    sizes = [batch.height for batch in store.backend.scan(where, shards=[0], since=1)]
    assert max(sizes) <= 50


def test_a_hash_that_grows_while_it_is_scanned_shows_no_row_twice(store, monkeypatch):
    monkeypatch.setattr("beaconfold.stores.redis.scan.BATCH", 100)
    where = store.register(declaration())
    write(store.backend, where, 0, [(0, f"p{n}", 1, 1, None) for n in range(600)])
    scan, seen = store.backend.scan(where), []
    for number in range(4):
        seen += next(scan)["key"].to_list()
        more = [(0, f"q{number}/{n}", 1, 1, None) for n in range(1000)]
        write(store.backend, where, 0, more)
    seen += [key for batch in scan for key in batch["key"]]
    assert len(seen) == len(set(seen))
    assert {f"p{n}" for n in range(600)} <= set(seen)


def test_a_scan_says_that_its_generation_was_dropped(store, monkeypatch):
    monkeypatch.setattr("beaconfold.stores.redis.scan.BATCH", 1)
    old = store.register(declaration())
    write(store.backend, old, 0, CELLS)
    scan = store.backend.scan(old)
    next(scan)
    store.switch(store.register(declaration(), revision=1))
    store.drop(old)
    with pytest.raises(GenerationDropped):
        list(scan)


def test_dropping_goes_in_steps_and_can_be_done_again(store, client, monkeypatch):
    monkeypatch.setattr("beaconfold.stores.redis.drop.STEP", 5)
    monkeypatch.setattr("beaconfold.stores.redis.windows.PAGE", 8)
    old = store.register(declaration())
    write(store.backend, old, 1, [(minute, "p", 1, 1, b"u") for minute in range(50)])
    store.backend.put_document(old, "poison", "a", b"1")
    store.switch(store.register(declaration(), revision=1))
    with monkeypatch.context() as stopped:
        stopped.setattr("beaconfold.stores.redis.drop.packed", interrupted(5))
        with pytest.raises(KeyboardInterrupt):
            store.drop(old)
    assert 0 < sum(":{0.1}:" in key for key in keys(store, client)) < 100
    again = RedisBackend(store.url)
    with pytest.raises(GenerationDropped):
        list(again.scan(old))
    again.close_generation(old, "dropped")
    assert {key for key in keys(store, client) if key.startswith(":{0.")} == {
        *(f":{{0.{shard}}}:head" for shard in range(4)),
        ":{0.documents}:head",
    }
    again.close_generation(old, "dropped")


@pytest.mark.parametrize("steps", range(1, 5))
def test_a_registration_that_was_stopped_is_completed_by_the_next(store, steps, monkeypatch):
    with monkeypatch.context() as stopped:
        stopped.setattr("beaconfold.stores.redis.heads.packed", interrupted(steps))
        with pytest.raises(KeyboardInterrupt):
            store.register(declaration())
    other = RedisBackend(store.url)
    assert [each.state for each in other.generations()] == ["live"]
    heads, _ = other.read(generation(), range(4), wanted(0, []))
    assert {tuple(head) for head in heads.values()} == {(0, "live", b"")}
    assert store.register(declaration()).state == "live"


def interrupted(calls):
    """Stop the process, as it were, when a command is written for the nth time."""
    from beaconfold.stores.redis.protocol import packed

    left = [calls]

    def stopped(*command):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return packed(*command)

    return stopped

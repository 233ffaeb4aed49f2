"""Lost connections, killed servers, slots that move: nothing is lost, nothing counted twice."""

import multiprocessing
import pickle
import socket
import threading

import polars as pl
import pytest
from lossy_proxy import LossyProxy
from redis_servers import RedisServer, free_port, fresh, redis_program

from beaconfold.stores import (
    CommitUncertain,
    MergeUncertain,
    SegmentId,
    ShardWrite,
    StoreLayoutError,
    StoreUnavailable,
    open_store,
)
from beaconfold.stores.redis import RedisBackend
from beaconfold.stores.testing import declaration, fold, generation
from beaconfold.stores.testing.cells import CELLS, held, rows, version, write

SEGMENTS = [SegmentId("a", "p", 1, number) for number in range(4)]
STATES = fold((f"p{number}", 0, 1, "ann") for number in range(100))


@pytest.fixture
def proxy(redis_server):
    proxy = LossyProxy(redis_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def lossy(redis_server, proxy):
    """Give the same store twice: by way of a proxy, and without."""
    url = fresh(redis_server)
    direct = open_store(url)
    direct.register(declaration())
    return open_store(url.replace(str(redis_server.port), str(proxy.port))), direct


@pytest.mark.parametrize("lose", ["request", "reply"])
def test_a_lost_answer_is_uncertain(lossy, proxy, lose):
    store, direct = lossy
    where = store.live("clicks")
    store.backend.read(where, [0], STATES.select(shard=0, window=0, key="publisher").clear())
    proxy.lose, proxy.spare = lose, 1  # the first is the read within `write`
    with pytest.raises(CommitUncertain, match="lost in the middle of a commit"):
        write(store.backend, where, 0, CELLS)
    assert held(direct.backend, where) == (sorted(CELLS) if lose == "reply" else [])


def test_a_refusal_after_something_was_written_is_uncertain(redis_server):
    url = fresh(redis_server)
    backend = RedisBackend(url)
    where = backend.register(generation())
    with redis_server.client() as client:
        strange = f"{url.partition('=')[2]}:{{0.1}}:head"
        client.delete(strange)
        client.set(strange, "somebody else's")
    writes = [ShardWrite(shard, 0, b"", rows(CELLS)) for shard in range(2)]
    with pytest.raises(CommitUncertain, match="something else.*: refused in the middle"):
        backend.commit(where, writes)
    assert held(backend, where, shards=[0]) == sorted(CELLS)
    with pytest.raises(StoreLayoutError):
        backend.commit(where, writes[1:])


@pytest.mark.parametrize("lose", ["request", "reply"])
@pytest.mark.parametrize("spare", [1, 30])
def test_segments_are_merged_once_whatever_is_lost(lossy, proxy, lose, spare):
    store, direct = lossy
    where = store.live("clicks")
    store.apply(where, SEGMENTS[:1], STATES)
    proxy.lose, proxy.spare = lose, spare
    store.apply(where, SEGMENTS[1:2], STATES)
    assert proxy.lose is None
    assert direct.states(where)["n"].to_list() == [2] * 100
    assert not direct.segments(where).missing(SEGMENTS[:2])


def test_a_merge_without_a_token_says_that_it_is_uncertain(lossy, proxy):
    store, direct = lossy
    where = store.live("clicks")
    store.segments(where)
    proxy.lose, proxy.spare = "reply", 1
    with pytest.raises(MergeUncertain, match="once=token"):
        store.merge(where, STATES)
    assert held(direct.backend, where)


def test_a_server_that_is_killed_comes_back_with_all_it_confirmed(tmp_path):
    server = RedisServer(redis_program(), tmp_path)
    try:
        store = open_store(server.url)
        where, confirmed, going = store.register(declaration()), [], threading.Event()

        def merge():
            for number in range(10_000):
                try:
                    store.apply(where, [SegmentId("a", "p", 1, number)], STATES)
                except StoreUnavailable:
                    return
                confirmed.append(SegmentId("a", "p", 1, number))
                going.set()

        merging = threading.Thread(target=merge)
        merging.start()
        assert going.wait(30)
        server.kill()
        merging.join(30)
        with pytest.raises(StoreUnavailable, match="refused"):
            store.segments(where)
        server.start()
        assert not store.segments(where).missing(confirmed)
        last = SegmentId("a", "p", 1, len(confirmed))  # some of its shards may have it
        store.apply(where, [last], STATES)
        assert store.states(where)["n"].to_list() == [len(confirmed) + 1] * 100
        assert not store.segments(where).missing([*confirmed, last])
    finally:
        server.stop()


def test_what_was_read_before_a_server_lost_its_last_writes_fits_nothing_later(redis_server):
    url = fresh(redis_server)
    backend = RedisBackend(url)
    where = backend.register(generation())
    for shard in range(3):
        write(backend, where, shard, CELLS[:1])
    late = [ShardWrite(n, version(backend, where, n), b"late", rows(CELLS)) for n in range(3)]
    with redis_server.client() as client:  # as a server that lost power would have it
        for shard in range(3):
            client.hset(f"{url.partition('=')[2]}:{{0.{shard}}}:head", "version", 0)
    for shard in range(3):
        write(backend, where, shard, CELLS[1:2])
    assert backend.commit(where, late) == [False] * 3


def test_connections_that_the_server_closed_are_opened_anew(redis_server):
    store = open_store(fresh(redis_server))
    where = store.register(declaration())
    for _ in range(2):
        store.apply(where, SEGMENTS[:1], STATES)
        with redis_server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert store.states(where)["n"].to_list() == [1] * 100


def test_a_full_server_is_worth_waiting_for(tmp_path):
    server = RedisServer(redis_program(), tmp_path)
    try:
        store = open_store(server.url)
        where = store.register(declaration())
        with server.client() as client:
            client.config_set("maxmemory", 1)
            with pytest.raises(StoreUnavailable, match="full, raise its maxmemory"):
                store.apply(where, SEGMENTS[:1], STATES)
            client.config_set("maxmemory", 0)
        store.apply(where, SEGMENTS[:1], STATES)
        assert store.states(where)["n"].to_list() == [1] * 100
    finally:
        server.stop()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_has_connections_of_its_own(redis_server, method):
    backend = RedisBackend(fresh(redis_server))
    where = backend.register(generation())
    backend.put_document(where, "note", "parent", b"1")
    # Polars cannot be used after a fork, so the child only writes a document.
    child = multiprocessing.get_context(method).Process(
        target=backend.put_document, args=[where, "note", "child", b"2"]
    )
    child.start()
    for number in range(100):
        backend.put_document(where, "note", "parent", f"{number}".encode())
    child.join(30)
    assert child.exitcode == 0
    assert dict(backend.documents(where, "note")) == {"child": b"2", "parent": b"99"}


def test_many_handles_make_and_register_once(redis_server):
    url, found = fresh(redis_server), []

    def make(number):
        store = open_store(url)
        states = [
            store.register(declaration(), revision=each % 3).state for each in range(number, 6)
        ]
        found.append((store.id, states))

    threads = [threading.Thread(target=make, args=[number]) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 6
    assert len({name for name, _ in found}) == 1
    known = open_store(url).generations()
    assert sorted(each.revision for each in known) == [0, 1, 2]
    assert sorted(each.state for each in known) == ["building", "building", "live"]


def test_slots_may_move_to_another_node(redis_cluster):
    store = open_store(fresh(redis_cluster))
    where = store.register(declaration())
    store.apply(where, SEGMENTS[:1], STATES)
    elsewhere = pickle.loads(pickle.dumps(store))
    elsewhere.check()
    for shard in range(4):
        list(move(redis_cluster, f"0.{shard}"))
    store.apply(where, SEGMENTS[1:2], STATES)
    assert elsewhere.states(where)["n"].to_list() == [2] * 100
    list(move(redis_cluster, "store"))
    assert store.live("clicks") == where
    assert pl.concat(elsewhere.scan(where)).height == 100


def test_a_slot_on_its_way_is_waited_for(redis_cluster):
    store = open_store(fresh(redis_cluster))
    where = store.register(declaration())
    store.apply(where, SEGMENTS[:1], STATES)
    moving = move(redis_cluster, "0.7", step=1)
    next(moving)  # one key is there, the others are here
    with pytest.raises(StoreUnavailable, match="being rearranged"):
        store.apply(where, SEGMENTS[1:2], STATES)
    list(moving)
    store.apply(where, SEGMENTS[1:2], STATES)
    assert store.states(where)["n"].to_list() == [2] * 100


def test_a_node_that_is_killed_comes_back(redis_cluster):
    store = open_store(fresh(redis_cluster))
    where = store.register(declaration())
    store.apply(where, SEGMENTS[:1], STATES)
    redis_cluster.servers[1].kill()
    with pytest.raises(StoreUnavailable):
        store.apply(where, SEGMENTS[1:2], STATES)
    redis_cluster.servers[1].start()
    redis_cluster.wait()
    store.apply(where, SEGMENTS[1:2], STATES)
    assert store.states(where)["n"].to_list() == [2] * 100


@pytest.mark.parametrize("fate", ["gone", "removed"])
def test_a_cluster_is_found_without_the_node_in_the_url(redis_cluster, tmp_path, fate):
    first = redis_cluster.servers[0].port
    proxy = LossyProxy(first)
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    removed = RedisServer(redis_program(), tmp_path, *options)
    try:
        store = open_store(fresh(redis_cluster).replace(str(first), str(proxy.port)))
        where = store.register(declaration())
        store.apply(where, SEGMENTS[:1], STATES)
        store.close()
        if fate == "gone":
            proxy.listener.shutdown(socket.SHUT_RDWR)
        else:
            proxy.target = ("127.0.0.1", removed.port)
        elsewhere = pickle.loads(pickle.dumps(store))
        list(move(redis_cluster, "0.3"))  # so that who knew where it is must ask
        store.apply(where, SEGMENTS[1:2], STATES)
        elsewhere.check()
        assert elsewhere.states(where)["n"].to_list() == [2] * 100
    finally:
        proxy.close()
        removed.stop()


def move(cluster, tag, step=100):
    """Move the slot of a hash tag to another node, with its keys, some at a time."""
    slots = [server.client() for server in cluster.servers]
    names = [client.execute_command("CLUSTER", "MYID") for client in slots]
    slot = slots[0].execute_command("CLUSTER", "KEYSLOT", f"{{{tag}}}")
    owner = next(
        number
        for number, client in enumerate(slots)
        if client.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
    )
    new = (owner + 1) % 3
    slots[new].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[owner])
    slots[owner].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[new])
    port = cluster.servers[new].port
    while moved := slots[owner].execute_command("CLUSTER", "GETKEYSINSLOT", slot, step):
        slots[owner].execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *moved)
        yield moved
    for client in (slots[new], slots[owner], slots[(owner + 2) % 3]):
        client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[new])
        client.close()

"""What can be wrong with an address or a server: each is one clear line without the password."""

import pickle
import subprocess
import traceback

import pytest
from redis_servers import RedisServer, free_port, fresh, redis_program

from beaconfold.stores import StoreError, StoreLayoutError, StoreUnavailable, open_store
from beaconfold.stores.redis import RedisBackend
from beaconfold.stores.testing import declaration, generation
from beaconfold.stores.testing.cells import CELLS, held, write

SECRET = "pa55word"


def refused(error, url, match):
    with pytest.raises(error, match=match) as caught:
        open_store(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)


def address(server, **options):
    return f"redis://me:{SECRET}@127.0.0.1:{server.port}/0?namespace=t1"


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("redis://me:pa55word@host:port/0", r"redis://me:\*\*\*@host.*is no valid URL"),
        ("redis://me:pa55word#@host/0", "is no valid URL"),
        ("redis://me:pa?55word@host/0", "is no valid URL"),
        ("redis://me:pa55word@host/0?db=many", "the setting db cannot have this value"),
        ("redis://me:pa55word@host?max_connections=abc", "the setting max_connections cannot"),
        ("redis://me:pa55word@host?max_connections=-1", "the setting max_connections cannot"),
        ("rediss://me:pa55word@host?ssl_cert_reqs=bogus", "the setting ssl_cert_reqs cannot"),
        ("redis://me:pa55word@host?ssl_cert_reqs=none", "no setting ssl_cert_reqs here"),
        ("redis://me:pa55word@host/0?namespace=a{b}", "letters, digits"),
        ("redis+cluster://me:pa55word@host/3", "a cluster has one database only"),
    ],
)
def test_a_bad_url_is_named(url, match):
    refused(ValueError, url, match)


def test_an_unknown_setting_is_named(redis_server):
    refused(ValueError, f"{redis_server.url}?sockt_timeout=3", "sockt_timeout")


def test_a_server_that_is_not_there_is_worth_waiting_for(tmp_path):
    port = free_port()
    refused(StoreUnavailable, f"redis://me:{SECRET}@127.0.0.1:{port}/0", "onnection refused")
    refused(StoreUnavailable, f"redis+cluster://:{SECRET}@127.0.0.1:{port}", "onnection refused")
    refused(StoreUnavailable, f"redis://:{SECRET}@no-such-host.invalid/0", "no-such-host.invalid")
    refused(StoreUnavailable, f"redis+unix://{tmp_path}/no.sock?password={SECRET}", "no.sock")


def test_a_wrong_password_and_a_lacking_permission_are_named(redis_server):
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "me", "on", ">right", "~*", "+@all", "-exec")
        client.execute_command("ACL", "SETUSER", "other", "on", ">right", "~*", "+@all", "-info")
    refused(StoreError, address(redis_server), "wrong user or password")
    right = address(redis_server).replace(SECRET, "right")
    with pytest.raises(StoreError, match="not permitted to this user.*exec") as caught:
        open_store(right)
    assert not isinstance(caught.value, StoreUnavailable)
    with pytest.raises(StoreError, match="not permitted to this user.*info"):
        open_store(right.replace("me:", "other:"))


def test_a_password_is_needed_and_used(tmp_path):
    server = RedisServer(redis_program(), tmp_path)
    try:
        with server.client() as client:
            client.config_set("requirepass", SECRET)
        refused(StoreError, server.url, "wrong user or password")
        store = open_store(f"redis://:{SECRET}@127.0.0.1:{server.port}/0")
        store.register(declaration())
        assert SECRET not in repr(store.backend)
        assert pickle.loads(pickle.dumps(store)).live("clicks") == generation()
        server.kill()
        with pytest.raises(StoreUnavailable) as caught:
            store.check()
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    finally:
        server.stop()


def test_a_unix_socket_serves_too(redis_server):
    url = f"redis+unix://{redis_server.socket}?db=3&namespace=sock"
    backend = RedisBackend(url)
    assert backend.url == url
    backend.register(generation())
    write(backend, generation(), 0, CELLS)
    assert held(RedisBackend(url), generation()) == sorted(CELLS)
    with redis_server.client() as client:
        assert client.exists("sock:{store}") == 0
        client.select(3)
        assert client.exists("sock:{store}") == 1


def test_tls_is_spoken_and_certificates_are_checked(tmp_path):
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    port = free_port()
    options = ["--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key]
    options += ["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]
    server = RedisServer(redis_program(), tmp_path / "data", *map(str, options))
    try:
        url = f"rediss://127.0.0.1:{port}/0"
        refused(StoreError, url, "the server's certificate is not trusted")
        backend = RedisBackend(f"{url}?ssl_ca_certs={certificate}")
        backend.register(generation())
        assert write(backend, generation(), 0, CELLS)
        assert held(backend, generation()) == sorted(CELLS)
    finally:
        server.stop()


def test_an_evicting_server_is_refused(redis_server):
    url = fresh(redis_server)
    store = open_store(url)
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            refused(StoreError, url, "evicts keys .*set maxmemory-policy noeviction")
            with pytest.raises(StoreError, match="evicts keys"):
                store.check()
            client.config_set("maxmemory-policy", "volatile-lru")
            open_store(url)
        finally:
            client.config_set("maxmemory-policy", "noeviction")


def test_a_replica_is_refused(redis_server, tmp_path):
    replica = RedisServer(
        redis_program(), tmp_path, "--replicaof", "127.0.0.1", str(redis_server.port)
    )
    try:
        refused(StoreUnavailable, replica.url, "read-only replica: name its master")
    finally:
        replica.stop()


def test_a_cluster_and_a_server_are_told_apart(redis_server, redis_cluster):
    refused(
        StoreError, redis_server.url.replace("redis:", "redis+cluster:")[:-2], "no Redis Cluster"
    )
    refused(StoreError, redis_cluster.servers[0].url, r"use redis\+cluster://")


def test_another_layout_another_number_of_shards_and_strangers_are_refused(redis_server):
    url = fresh(redis_server)
    namespace = url.partition("=")[2]
    assert RedisBackend(url, 16).shards == 16
    assert RedisBackend(url).shards == 16
    with pytest.raises(StoreLayoutError, match="has 16 shards, not 64"):
        RedisBackend(url, 64)
    with redis_server.client() as client:
        client.hset(f"{namespace}:{{store}}", "layout", 2)
        refused(StoreLayoutError, url, "written by another version/layout: 2, this one reads 1")
        client.delete(f"{namespace}:{{store}}")
        client.hset(f"{namespace}:{{store}}", "colour", "red")
        refused(StoreLayoutError, url, "is no store")
        client.delete(f"{namespace}:{{store}}")
        client.set(f"{namespace}:{{store}}", "red")
        refused(StoreLayoutError, url, "something else")
        client.delete(f"{namespace}:{{store}}")
        client.set(f"{namespace}:{{0.1}}:head", "red")
        refused(StoreLayoutError, url, "something else: .*choose another namespace")


def test_a_store_that_was_emptied_or_replaced_is_not_made_anew_in_silence(redis_server):
    url = fresh(redis_server)
    store = open_store(url)
    where = store.register(declaration())
    elsewhere = pickle.dumps(store)
    with redis_server.client() as client:
        client.delete(*client.scan_iter(f"{url.partition('=')[2]}:*"))
    uses = [
        store.check,
        pickle.loads(elsewhere).check,
        lambda: store.states(where),
        lambda: write(store.backend, where, 0, CELLS),
        lambda: store.register(declaration()),
        lambda: store.backend.put_document(where, "poison", "a", b"1"),
        lambda: list(store.backend.documents(where, "poison")),
    ]
    for use in uses:
        with pytest.raises(StoreError, match="the store is gone"):
            use()
    other = open_store(url)
    other.register(declaration())
    for use in uses:
        with pytest.raises(StoreError, match="is another store than the one opened first"):
            use()
    assert held(other.backend, where) == []


def test_a_shard_that_was_lost_is_not_taken_for_empty(redis_server):
    url = fresh(redis_server)
    store = open_store(url)
    where = store.register(declaration())
    with redis_server.client() as client:
        client.delete(f"{url.partition('=')[2]}:{{0.5}}:head")
    with pytest.raises(StoreError, match="shard 5 of generation 0 is gone"):
        store.states(where)

"""What only a server can suffer: refusals, crashes, many writers, names, tables of others."""

import multiprocessing
import pickle
import random
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_server import PASSWORD

from beaconfold.monoids import Product, Sum
from beaconfold.stores import (
    CommitUncertain,
    GenerationDropped,
    SegmentId,
    StoreError,
    StoreLayoutError,
    StoreUnavailable,
    open_store,
)
from beaconfold.stores.backend import ShardWrite
from beaconfold.stores.postgres import PostgresBackend, layout
from beaconfold.stores.postgres.address import PostgresAddress
from beaconfold.stores.postgres.copy import array
from beaconfold.stores.quoting import quoted
from beaconfold.stores.testing import (
    CELLS,
    BackendContract,
    declaration,
    fold,
    generation,
    held,
    rows,
    version,
    wanted,
    write,
)

RELOAD = "SELECT pg_reload_conf()"


def segment(number):
    return SegmentId("a", "p", 1, number)


SEGMENTS = [segment(number) for number in range(4)]
STATES = fold([("p1", 1, 5, "ann"), ("p\t2", 0, 2**62, "bob")])


@pytest.fixture
def backend(postgres_url):
    backend = PostgresBackend(postgres_url)
    yield backend
    backend.close()


@pytest.fixture
def store(postgres_url):
    with open_store(postgres_url) as store:
        yield store


def sql(url, *statements):
    """Run statements as anybody else would, and return what the last one found."""
    address = PostgresAddress(url)
    with psycopg.connect(address.conninfo, autocommit=True) as connection:
        connection.execute(f"SET search_path = {quoted(address.namespace)}")
        for statement in statements:
            found = connection.execute(statement)
        return found.fetchall() if found.description else []


class TestPostgres(BackendContract):
    @pytest.fixture
    def backend(self, postgres_url):
        backend = PostgresBackend(postgres_url, 8)
        yield backend
        backend.close()


def test_rows_can_be_read_with_sql(store):
    store.apply(store.register(declaration()), SEGMENTS[:1], STATES)
    store.merge(store.live("clicks"), pl.concat([STATES] * 3))
    found = sql(store.url, 'SELECT "window", key, n, total FROM "clicks#1" ORDER BY 1')
    assert found == [(0, "p\\t2", 4, 2**64), (60_000_000, "p1", 4, 20)]
    assert sql(store.url, "SELECT declaration::json ->> 'job' FROM generations") == [("clicks",)]


# Names


def test_names_of_all_kinds_can_be_stored(store):
    long = "an aggregate whose name goes on for longer than PostgreSQL keeps of it: "
    names = [
        "select",
        "100%s",
        '"; DROP TABLE heads; --',
        "$1",
        "{}",
        "ü" * 60,
        long + "a",
        long + "b",
    ]
    columns = {"price": pl.Int64()}
    product = Product({name: Sum("price", dtype=pl.Int128()) for name in names}).bind(columns)
    for job in ("job " * 30 + "a", "job " * 30 + "b", 'a "b" %s $1 {}', "heads", "sent"):
        where = store.register(
            {**declaration(job), "aggregates": product.declare(), "window_us": None}
        )
        frame = pl.DataFrame({"publisher": ["p", "q"]}).with_columns(
            pl.Series(name, [number, -(2**100)], dtype=pl.Int128)
            for number, name in enumerate(names)
        )
        for _ in range(2):
            store.merge(where, frame)
        expected = frame.select("publisher", pl.exclude("publisher") * 2)
        assert store.states(where).equals(expected.sort("publisher"))
    assert len(store.generations()) == 5


@pytest.mark.parametrize("namespace", ["Traffic", "a b", "100%25", "%22", "$1", "ü" * 31, "{}"])
def test_namespaces_of_all_kinds_are_stores_of_their_own(postgres_server, namespace):
    here = PostgresBackend(f"{postgres_server.url}?namespace={namespace}", 2)
    there = PostgresBackend(f"{postgres_server.url}?application_name=x&namespace={namespace}+", 2)
    try:
        assert here.id != there.id
        here.register(generation())
        write(here, generation(), 0, CELLS)
        assert there.generations() == []
        assert pickle.loads(pickle.dumps(here)).generations() == here.generations()
    finally:
        here.close()
        there.close()


@pytest.mark.parametrize("namespace", ["", "x" * 64, "ü" * 32, "pg_mine", "a%00b"])
def test_namespaces_that_postgresql_would_bend_are_refused(postgres_server, namespace):
    with pytest.raises(ValueError, match="a namespace has 1 to 63 bytes"):
        PostgresBackend(f"{postgres_server.url}?namespace={namespace}")


def test_a_text_that_postgresql_cannot_hold_is_refused_in_one_line(backend):
    backend.register(generation())
    with pytest.raises(StoreError) as refusal:
        write(backend, generation(), 0, [(0, "nul \0 here", 1, 1, None)])
    assert_fit_to_be_shown(refusal.value)
    assert write(backend, generation(), 0, CELLS)


COLUMNS = (
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.none() | st.binary(max_size=9)),
    st.lists(st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
)
DTYPES = {"bigint": pl.Int64, "bytea": pl.Binary, "text": pl.String}


def test_columns_arrive_as_they_were_sent(backend):
    with backend.server.reading() as connection:

        @settings(max_examples=30)
        @given(st.tuples(*COLUMNS))
        def arrive(columns):
            for (type_, dtype), cells in zip(DTYPES.items(), columns, strict=True):
                column = pl.Series(cells, dtype=dtype)
                query = (
                    f"SELECT c FROM unnest($1::{type_}[]) WITH ORDINALITY AS t (c, n) ORDER BY n"
                )
                for part in (column, column[1:]):
                    found = connection.execute(query, [array(part)], binary=True).fetchall()
                    assert [cell for (cell,) in found] == part.to_list()

        arrive()


def test_many_rows_at_once_are_the_same_as_few(backend):
    where = backend.register(generation())
    cells = [
        (window, f"{key}%s\\N", number or None, [None, -(2**100), 2**127 - 1, 5][number % 4], state)
        for number, state in enumerate([None, b"", b"\xff" * 9000] * 700)
        for window, key in [divmod(number, 100)]
    ]
    assert write(backend, where, 0, cells)
    assert held(backend, where) == sorted(cells)
    assert write(backend, where, 0, [(*cell[:2], 1, 2, b"3") for cell in cells[:1500]])
    expected = [(*cell[:2], 1, 2, b"3") for cell in cells[:1500]] + cells[1500:]
    assert held(backend, where) == sorted(expected)


def test_a_server_among_several_is_found(postgres_url):
    several = postgres_url.replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:")
    assert PostgresBackend(several).id == PostgresBackend(postgres_url).id


# What is at the address


def test_a_schema_of_somebody_else_is_refused_and_left_alone(postgres_url):
    schema = quoted(PostgresAddress(postgres_url).namespace)
    sql(postgres_url, f"CREATE SCHEMA {schema}", "CREATE TABLE bookmarks (url text)")
    with pytest.raises(StoreLayoutError, match="holds tables, but no store of beaconfold"):
        PostgresBackend(postgres_url)
    tables = f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema[1:-1]}'"
    assert sql(postgres_url, tables) == [("bookmarks",)]
    sql(postgres_url, "DROP TABLE bookmarks")
    PostgresBackend(postgres_url).close()  # an empty schema is ours to fill


def test_another_number_of_shards_is_refused(postgres_url):
    assert PostgresBackend(postgres_url, 16).shards == 16
    assert PostgresBackend(postgres_url).shards == 16
    with pytest.raises(StoreLayoutError, match="has 16 shards, not 64"):
        PostgresBackend(postgres_url, 64)


def test_a_newer_layout_is_refused_at_once(backend):
    backend.register(generation())
    sql(backend.url, "UPDATE beaconfold SET value = '99' WHERE name = 'layout'")
    for use in (lambda: PostgresBackend(backend.url), backend.check, backend.generations):
        with pytest.raises(StoreLayoutError, match="written by another version/layout: 99"):
            use()


def test_migrations_are_applied_once_and_in_order(postgres_url, monkeypatch):
    old = PostgresBackend(postgres_url)
    old.register(generation())
    write(old, generation(), 0, CELLS)
    monkeypatch.setattr(
        layout,
        "MIGRATIONS",
        (
            *layout.MIGRATIONS,
            "CREATE TABLE notes (text text); ALTER TABLE live ADD since bigint",
            "INSERT INTO notes VALUES ('once')",
        ),
    )
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: PostgresBackend(postgres_url).id, range(8)))
    assert ids == {old.id}
    assert sql(postgres_url, "SELECT text FROM notes") == [("once",)]
    assert held(PostgresBackend(postgres_url), generation()) == sorted(CELLS)
    monkeypatch.undo()
    with pytest.raises(StoreLayoutError, match="layout: 3, this one reads 1"):
        old.check()


def test_a_migration_that_fails_leaves_the_store_as_it_was(postgres_url, monkeypatch):
    old = PostgresBackend(postgres_url)
    wrong = "CREATE TABLE notes (text text); SELECT 1 / 0"
    with monkeypatch.context() as patched:
        patched.setattr(layout, "MIGRATIONS", (*layout.MIGRATIONS, wrong))
        with pytest.raises(StoreError, match="division by zero"):
            PostgresBackend(postgres_url)
    old.check()
    assert sql(postgres_url, "SELECT to_regclass('notes')") == [(None,)]


def test_threads_make_it_and_register_once(postgres_url):
    def make(_):
        backend = PostgresBackend(postgres_url)
        found = [backend.register(generation(revision=each)).state for each in (0, 1)]
        backend.close()
        return (backend.id, *found)

    with ThreadPoolExecutor(8) as threads:
        (made,) = set(threads.map(make, range(8)))
    assert made[1:] == ("live", "building")
    assert len(PostgresBackend(postgres_url).generations()) == 2


def test_a_store_that_was_replaced_is_noticed(store):
    where = store.register(declaration())
    elsewhere = pickle.dumps(store)
    schema = quoted(PostgresAddress(store.url).namespace)
    sql(store.url, f"DROP SCHEMA {schema} CASCADE")
    for gone in (store, pickle.loads(elsewhere)):
        with pytest.raises(StoreError, match="no store at"):
            gone.apply(where, SEGMENTS[:1], STATES)
    open_store(store.url).register(declaration())
    for gone in (store, pickle.loads(elsewhere)):
        with pytest.raises(StoreError, match="is another store than the one opened first"):
            gone.apply(where, SEGMENTS[:1], STATES)


# Errors


def assert_fit_to_be_shown(error):
    assert "\n" not in str(error)
    assert len(str(error)) < 300
    assert PASSWORD not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ((f":{PASSWORD}@", ":other-password@"), StoreError, "password authentication failed"),
        (("/postgres?", "/nowhere?"), StoreError, 'database "nowhere" does not exist'),
        (("//beacons:", "//nobody:"), StoreError, "authentication failed"),
        (("?", "?host=/nowhere&"), StoreUnavailable, "No such file or directory"),
        (("?", "?port=1&"), StoreUnavailable, "refused"),
        (("?", "?port=x1&"), ValueError, "cannot tell user, password and host apart"),
        (("?", "?nonsense=1&"), ValueError, 'invalid URI query parameter: "nonsense"'),
        (("@", "@@"), ValueError, "cannot tell user, password and host apart"),
        (("word", "%zword"), ValueError, "invalid percent-encoded token"),
        (("word", "wo/rd"), ValueError, "cannot tell user, password and host apart"),
    ],
)
def test_refusals_are_one_line_without_the_password(postgres_url, change, kind, says):
    url = postgres_url.replace(*change, 1)
    with pytest.raises(kind, match=says) as refusal:
        PostgresBackend(url)
    assert type(refusal.value) is kind
    assert_fit_to_be_shown(refusal.value)
    for secret in ("other-password", "pass-", "zword", "rd-of-the"):
        assert secret not in str(refusal.value)


def test_a_lacking_permission_is_named(postgres_server, postgres_url):
    with PostgresBackend(postgres_url).server.writing() as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'pw-of-the-reader'")
    for url, says in (
        (postgres_url, "permission denied for schema"),
        (postgres_server.namespace(), "permission denied for database"),
    ):
        mine = url.replace(f"beacons:{PASSWORD}", "reader:pw-of-the-reader")
        with pytest.raises(StoreError, match=says) as refusal:
            PostgresBackend(mine)
        assert "pw-of-the-reader" not in "".join(traceback.format_exception(refusal.value))
        assert_fit_to_be_shown(refusal.value)


def test_a_user_without_temporary_tables_writes_many_rows_too(postgres_url):
    may = "TEMP ON DATABASE postgres"
    role = "CREATE ROLE app LOGIN PASSWORD 'pw-of-app'; GRANT CREATE ON DATABASE postgres TO app"
    sql(postgres_url, role, f"REVOKE {may} FROM PUBLIC")
    try:
        backend = PostgresBackend(postgres_url.replace(f"beacons:{PASSWORD}", "app:pw-of-app"))
        where = backend.register(generation())
        cells = [(0, f"p{number}", number, None, b"") for number in range(2500)]
        for _ in range(2):
            assert write(backend, where, 0, cells)
        assert held(backend, where) == sorted(cells)
        backend.close()
    finally:
        sql(postgres_url, f"GRANT {may} TO PUBLIC")


def test_a_server_that_is_full_is_waited_for(postgres_url):
    with PostgresBackend(postgres_url).server.writing() as connection:
        connection.execute("CREATE ROLE many LOGIN CONNECTION LIMIT 0 PASSWORD 'pw-of-many'")
    with pytest.raises(StoreUnavailable, match="too many connections") as refusal:
        PostgresBackend(postgres_url.replace(f"beacons:{PASSWORD}", "many:pw-of-many"))
    assert_fit_to_be_shown(refusal.value)
    assert "pw-of-many" not in str(refusal.value)


def test_a_restart_between_two_uses_is_not_noticed(postgres_server, store):
    where = store.register(declaration())
    store.apply(where, SEGMENTS[:1], STATES)
    with ThreadPoolExecutor(4) as threads:  # several idle connections
        list(threads.map(lambda _: store.states(where), range(8)))
    postgres_server.kill()
    try:
        for use in (store.check, lambda: store.apply(where, SEGMENTS[1:2], STATES)):
            with pytest.raises(StoreUnavailable, match="refused") as refusal:
                use()
            assert_fit_to_be_shown(refusal.value)
    finally:
        postgres_server.start()
    assert store.states(where)["n"].to_list() == [1, 1]
    store.apply(where, SEGMENTS[1:2], STATES)
    assert store.states(where)["n"].to_list() == [2, 2]


def test_sessions_that_were_ended_while_idle_are_replaced(store):
    where = store.register(declaration())
    for number in range(3):
        with store.backend.server.reading() as one, store.backend.server.reading() as other:
            assert one is not other
        others = "FROM pg_stat_activity WHERE application_name = 'beaconfold'"
        sql(
            store.url,
            f"SELECT pg_terminate_backend(pid, 9000) {others} AND pid <> pg_backend_pid()",
        )
        store.apply(where, SEGMENTS[number : number + 1], STATES)
    assert store.states(where)["n"].to_list() == [3, 3]


def test_a_crash_in_the_middle_writes_nothing(postgres_server, backend):
    backend.register(generation())
    write(backend, generation(), 0, CELLS[:1])
    first = version(backend, generation(), 0)

    def write_into_the_crash():
        with backend.server.writing() as connection:
            connection.execute("UPDATE heads SET version = 7")
            postgres_server.kill()
            postgres_server.start()
            connection.execute("UPDATE heads SET version = 8")

    with pytest.raises(StoreUnavailable):
        write_into_the_crash()
    assert write(backend, generation(), 0, CELLS[1:2])
    heads, _ = backend.read(generation(), [0, 1], wanted(0, []))
    assert heads[0].version > first
    assert heads[1].version == 0


# Ends the session that commits, the first time: within COMMIT, as deferred triggers run then.
LOSE_COMMIT = """
CREATE SEQUENCE commits;
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('commits') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER lose AFTER UPDATE ON heads
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lose();
"""


def test_a_connection_lost_in_a_commit_leaves_it_uncertain(backend):
    backend.register(generation())
    sql(backend.url, LOSE_COMMIT)
    with pytest.raises(CommitUncertain, match="lost during a commit") as uncertain:
        write(backend, generation(), 0, CELLS)
    assert_fit_to_be_shown(uncertain.value)
    assert write(backend, generation(), 0, CELLS)


def test_a_connection_lost_at_the_end_of_a_read_leaves_nothing_uncertain(backend):
    def read_and_be_ended():
        with backend.server.reading() as connection:
            pid = connection.info.backend_pid
            sql(backend.url, f"SELECT pg_terminate_backend({pid}, 9000)")

    with pytest.raises(StoreUnavailable):
        read_and_be_ended()
    backend.check()


def test_what_was_read_before_a_server_lost_its_last_writes_fits_nothing_later(backend):
    where = backend.register(generation())
    for shard in range(3):
        write(backend, where, shard, CELLS[:1])
    late = [ShardWrite(n, version(backend, where, n), b"late", rows(CELLS)) for n in range(3)]
    sql(backend.url, "UPDATE heads SET version = 0")  # as a standby that takes over may have it
    for shard in range(3):
        write(backend, where, shard, CELLS[1:2])
    assert backend.commit(where, late) == [False] * 3


def test_an_uncertain_merge_of_segments_is_made_once(store):
    where = store.register(declaration())
    sql(store.url, LOSE_COMMIT)
    store.apply(where, SEGMENTS[:2], STATES)
    assert store.states(where)["n"].to_list() == [1, 1]


def test_a_merge_that_was_made_though_nobody_heard_of_it_is_not_made_again(store):
    where = store.register(declaration())
    mine = "FROM pg_stat_activity WHERE (wait_event, backend_type) = ('SyncRep', 'client backend')"
    # A commit that is written waits for a standby that does not exist; then its session is ended.
    sql(store.url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", RELOAD)
    try:
        with ThreadPoolExecutor(1) as thread:
            for number in range(1000):  # until the server has read its settings
                merging = thread.submit(store.apply, where, [segment(number)], STATES)
                while not (merging.done() or sql(store.url, f"SELECT pid {mine}")):
                    pass
                if not merging.done():
                    sql(store.url, f"SELECT pg_terminate_backend(pid, 9000) {mine}")
                    break
            applied = merging.result(30)
    finally:
        sql(store.url, "ALTER SYSTEM RESET synchronous_standby_names", RELOAD)
    assert applied.known == frozenset(range(64))
    assert store.states(where)["n"].to_list() == [number + 1] * 2


# Many at once


def test_writers_in_any_order_lose_races_but_never_wait_for_each_other(postgres_url):
    first = PostgresBackend(postgres_url, 8)
    where = first.register(generation())

    def change(seed):
        dice, backend, landed = random.Random(seed), pickle.loads(pickle.dumps(first)), []
        for _ in range(12):
            shards = dice.sample(range(8), 5)
            heads, _ = backend.read(where, shards, wanted(0, []))
            writes = [
                ShardWrite(shard, heads[shard].version, b"", rows(dice.sample(CELLS, 4)))
                for shard in shards
            ]
            done = backend.commit(where, writes)
            landed += [each[:2] for each, made in zip(writes, done, strict=True) if made]
        backend.close()
        return landed

    with ThreadPoolExecutor(6) as threads:
        landed = [each for some in threads.map(change, range(6)) for each in some]
    assert len(set(landed)) == len(landed) > 12, "two wrote at one version of a shard"


def test_generations_change_while_others_write(postgres_url):
    first = PostgresBackend(postgres_url, 8)
    generations = [first.register(generation(revision=each)) for each in range(2)]
    done = threading.Event()

    def merge(seed):
        store, dice = open_store(postgres_url), random.Random(seed)
        while not done.is_set():
            store.merge(dice.choice(generations), STATES)

    with ThreadPoolExecutor(3) as threads:
        merging = [threads.submit(merge, seed) for seed in range(3)]
        try:
            for number in range(20):
                first.switch(generations[number % 2])
        finally:
            done.set()
        assert [each.result() for each in merging] == [None] * 3


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_has_connections_of_its_own(store, method):
    where = store.register(declaration())
    store.apply(where, SEGMENTS[:1], STATES)
    # Polars cannot be used after a fork, so the child only writes a document.
    child = multiprocessing.get_context(method).Process(
        target=store.backend.put_document, args=[where, "note", method, b"from the child"]
    )
    child.start()
    child.join(30)
    child.kill()
    assert child.exitcode == 0
    assert dict(store.backend.documents(where, "note")) == {method: b"from the child"}
    store.apply(where, SEGMENTS[1:2], STATES)
    assert store.states(where)["n"].to_list() == [2, 2]


def test_a_scan_is_one_snapshot_in_batches(store):
    where = store.register(declaration())
    store.apply(where, SEGMENTS[:1], fold((f"p{each}", 0, 1, "u") for each in range(30_000)))
    scan = store.backend.scan(where)
    first = next(scan)
    assert first.height < 30_000
    store.merge(where, fold((f"p{each}", 0, 1, "u") for each in range(30_000)))
    assert pl.concat([first, *scan])["n"].to_list() == [1] * 30_000
    assert store.states(where)["n"].sum() == 60_000


def test_rows_that_are_being_read_are_dropped_afterwards(backend):
    old, new = (backend.register(generation(revision=each)) for each in range(2))
    write(backend, old, 0, CELLS)
    scan = backend.scan(old)
    first = next(scan)
    backend.switch(new)
    dropping = threading.Thread(target=backend.close_generation, args=[old, "dropped"])
    dropping.start()
    while backend.register(old).state != "dropped":
        pass
    with pytest.raises(GenerationDropped):
        next(backend.scan(old))
    assert first.height + sum(batch.height for batch in scan) == len(CELLS)
    dropping.join(30)
    assert not dropping.is_alive()
    assert sql(backend.url, """SELECT to_regclass('"clicks#1"')""") == [(None,)]

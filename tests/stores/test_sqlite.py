"""What only a file can suffer: other files, other versions, races, forks, replacement."""

import multiprocessing
import pickle
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from beaconfold.stores import SegmentId, SQLiteBackend, StoreError, StoreLayoutError, open_store
from beaconfold.stores.testing import declaration, fold

SEGMENTS = [SegmentId("a", "p", 1, number) for number in range(4)]
STATES = fold([("p1", 1, 5, "ann"), ("p\t2", 0, 2**62, "bob")])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "beacons.db"


def test_the_file_can_be_read_with_any_sqlite_tool(path):
    store = open_store(f"sqlite:///{path}")
    store.apply(store.register(declaration()), SEGMENTS[:1], STATES)
    store.merge(store.live("clicks"), pl.concat([STATES] * 3))
    store.close()
    found = sqlite3.connect(path).execute(
        'SELECT window, key, n, total, typeof(total) FROM "clicks#1" ORDER BY window'
    )
    assert found.fetchall() == [
        (0, "p\\t2", 4, str(2**64), "text"),
        (60_000_000, "p1", 4, 20, "integer"),
    ]


def test_a_foreign_file_is_refused_and_left_alone(path):
    path.write_text("publisher,beacons\n" * 100)
    with pytest.raises(StoreLayoutError, match="beacons.db is not a SQLite file"):
        SQLiteBackend(path)
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bookmarks (url)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreLayoutError, match="but no store of beaconfold"):
        SQLiteBackend(path)
    assert path.read_bytes() == before


def test_another_layout_is_refused(path):
    SQLiteBackend(path).close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE beaconfold SET value = 2 WHERE name = 'layout'")
    with pytest.raises(StoreLayoutError, match="written by another version/layout: 2"):
        SQLiteBackend(path)


def test_another_number_of_shards_is_refused(path):
    assert SQLiteBackend(path, 16).shards == 16
    assert SQLiteBackend(path).shards == 16
    with pytest.raises(StoreLayoutError, match="has 16 shards, not 64"):
        SQLiteBackend(path, 64)


def test_a_missing_folder_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*/nowhere for the store beacons.db"):
        SQLiteBackend(tmp_path / "nowhere" / "beacons.db")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        SQLiteBackend(tmp_path)


def test_an_empty_file_becomes_a_store(path):
    path.touch()
    assert SQLiteBackend(path).generations() == []


def test_a_file_that_was_replaced_is_noticed(path):
    store = open_store(f"sqlite:///{path}")
    where = store.register(declaration())
    elsewhere = pickle.dumps(store)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with pytest.raises(StoreError, match="no store at"):
        store.apply(where, SEGMENTS[:1], STATES)
    with pytest.raises(StoreError, match="no store at"):
        pickle.loads(elsewhere).check()
    assert not path.exists()
    new = open_store(f"sqlite:///{path}")
    with pytest.raises(StoreError, match="was deleted or replaced"):
        store.apply(where, SEGMENTS[:1], STATES)
    with pytest.raises(StoreError, match="is another store than the one opened"):
        pickle.loads(elsewhere).check()
    assert new.generations() == []


def test_threads_make_it_once(path):
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: SQLiteBackend(path).id, range(16)))
    assert len(ids) == 1


MAKE = """
import sys
from beaconfold.stores import open_store
from beaconfold.stores.testing import declaration
print("ready", flush=True)
input()
store = open_store(sys.argv[1])
print(store.id, store.register(declaration()).state, flush=True)
"""


def test_processes_make_it_once(path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, f"sqlite:///{path}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    assert {process.stdout.readline() for process in processes} == {"ready\n"}
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = {process.communicate(timeout=60)[0] for process in processes}
    assert outputs == {f"{SQLiteBackend(path).id} live\n"}
    assert len(open_store(f"sqlite:///{path}").generations()) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_has_connections_of_its_own(path, method):
    store = open_store(f"sqlite:///{path}")
    where = store.register(declaration())
    store.apply(where, SEGMENTS[:1], STATES)
    with store.backend.file.reading() as connection:  # in use while the child begins
        connection.execute("SELECT * FROM heads").fetchone()
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


def test_a_scan_is_one_snapshot(path):
    store = open_store(f"sqlite:///{path}", shards=2)
    where = store.register(declaration())
    store.apply(where, SEGMENTS[:1], fold((f"p{each}", 0, 1, "u") for each in range(30_000)))
    scan = store.backend.scan(where)
    first = next(scan)
    store.merge(where, fold((f"p{each}", 0, 1, "u") for each in range(30_000)))
    assert pl.concat([first, *scan])["n"].to_list() == [1] * 30_000
    assert store.states(where)["n"].sum() == 60_000


def test_a_locked_file_is_an_error_in_one_line(path, monkeypatch):
    monkeypatch.setattr("beaconfold.stores.sqlite.file.PATIENCE", 0.01)
    store = open_store(f"sqlite:///{path}")
    where = store.register(declaration())
    with store.backend.file.writing(), pytest.raises(StoreError, match="database is locked"):
        store.apply(where, SEGMENTS[:1], STATES)
    store.apply(where, SEGMENTS[:1], STATES)

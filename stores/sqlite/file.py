"""A SQLite file that threads and processes share: made once, opened by each on its own."""

import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..backend import SHARDS
from ..errors import StoreError, StoreLayoutError

LAYOUT = 1
PATIENCE = 60.0
"""Seconds to wait for a writer; each holds the file for well under one."""

PAGE = 8192  # measured: states of 0.3 to 3 kB, best at 8 and 16 kB; smaller batches write less at 8
CHECKPOINT = 16384  # pages of write-ahead log (128 MB) before they are copied into the file

SCHEMA = """
CREATE TABLE beaconfold (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE generations (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL,
    fingerprint TEXT NOT NULL, revision INTEGER NOT NULL, state TEXT NOT NULL,
    declaration TEXT NOT NULL
);
CREATE TABLE live (job TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE heads (
    generation INTEGER NOT NULL, shard INTEGER NOT NULL, version INTEGER NOT NULL,
    state TEXT NOT NULL, ledger BLOB NOT NULL, PRIMARY KEY (generation, shard)
) WITHOUT ROWID;
CREATE TABLE documents (
    generation INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (generation, kind, name)
);
"""


class SQLiteFile:
    """A store's file, and the connections of this process to it.

    Connections are opened when they are needed and used by one thread at a time. A forked child
    opens its own; pickled, only the path travels.

    Parameters
    ----------
    path
        The file; its folder exists.
    shards
        Number of shards; None for the store's own, or the usual one if the file is made.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    StoreLayoutError
        If the file is something else, or the number of shards differs.
    """

    def __init__(self, path: str | Path, shards: int | None = None) -> None:
        self.path = Path(path).absolute()
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"no folder {self.path.parent} for the store {self.path.name}")
        if self.path.is_dir():
            raise IsADirectoryError(f"{self.path} is a folder: name a file in it")
        self._idle: list[sqlite3.Connection] = []
        self._inherited: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._file: tuple[int, int] | None = None
        self.id = ""
        with self._errors():
            self._make(shards or SHARDS)
        with self.reading() as connection:
            found = dict(connection.execute("SELECT name, value FROM beaconfold"))
        self.id, self.shards = str(found["id"]), int(found["shards"])
        if shards not in (None, self.shards):
            raise StoreLayoutError(f"{self.path} has {self.shards} shards, not {shards}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_idle": [], "_inherited": [], "_file": None, "_process": -1}

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection within one snapshot of the file."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the only connection that may write; all of it is committed, or nothing."""
        # IMMEDIATE waits its turn; a transaction that turns into a writer later fails instead.
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close the connections that nobody uses."""
        if self._process == os.getpid():
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._errors():
            connection = self._take()
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._idle.append(connection)

    def _take(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            # A connection must not cross a fork, not even to be closed: the parent's are kept.
            self._inherited += self._idle
            self._idle = []
            self._process = os.getpid()
        try:
            found = self.path.stat()
        except FileNotFoundError:
            raise StoreError(f"no store at {self.path} on {socket.gethostname()}") from None
        if self._file not in (None, (found.st_dev, found.st_ino)):
            raise StoreError(f"{self.path} was deleted or replaced while it was in use")
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = self._open("rw")
        self._check(connection)
        found = self.path.stat()
        self._file = found.st_dev, found.st_ino
        return connection

    def _open(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        # After a power cut the last merges may be missing, rows and ledger alike: never one alone.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -65536")
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that is no store, of another layout, or another store than before."""
        if not self._tables(connection):
            raise StoreError(f"{self.path} is empty: no store")
        found = dict(connection.execute("SELECT name, value FROM beaconfold"))
        if found.get("layout") != LAYOUT:
            raise StoreLayoutError(
                f"{self.path}: written by another version/layout: {found.get('layout')}, "
                f"this one reads {LAYOUT}"
            )
        if self.id not in ("", found["id"]):
            raise StoreError(
                f"{self.path} on {socket.gethostname()} is another store than the one opened "
                "first: use a path that every machine shares"
            )

    def _tables(self, connection: sqlite3.Connection) -> set[str]:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if tables and "beaconfold" not in tables:
            raise StoreLayoutError(f"{self.path} is a SQLite database, but no store of beaconfold")
        return tables

    def _make(self, shards: int) -> None:
        """Make the tables, unless they are there; of several that try at once, one does."""
        connection = self._open("rwc")
        try:
            if self._tables(connection):
                return
            connection.execute(f"PRAGMA page_size = {PAGE}")
            self._use_write_ahead_log(connection)
            connection.execute("BEGIN IMMEDIATE")
            if not self._tables(connection):
                for statement in SCHEMA.split(";")[:-1]:
                    connection.execute(statement)
                meta = {"layout": LAYOUT, "id": uuid.uuid4().hex, "shards": shards}
                connection.executemany("INSERT INTO beaconfold VALUES (?, ?)", meta.items())
            connection.execute("COMMIT")
        finally:
            connection.close()

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        """Switch the file to WAL; SQLite does not wait here while another process does the same."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
            if mode != "wal":
                raise StoreError(f"{self.path}: no write-ahead log here: use a local disk")
            return

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "not a database" in str(error):
                raise StoreLayoutError(f"{self.path} is not a SQLite file") from None
            raise StoreError(f"{self.path}: {error}") from error

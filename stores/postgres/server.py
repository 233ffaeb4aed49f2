"""A PostgreSQL server that holds a store: connections to it, and transactions on them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from psycopg import Connection, Error, IsolationLevel, RawCursor, RawServerCursor
from psycopg.pq import PGconn, Ping, TransactionStatus

from ..errors import StoreError, StoreUnavailable
from .address import PostgresAddress
from .copy import register
from .errors import TableMissing, translated
from .layout import PostgresLayout

PATIENCE = 60
"""Seconds to wait for somebody's lock, and that the server waits for a writer that says nothing."""

# Rows are looked up by index, one for each key that is given: plans must not hang on statistics.
SETTINGS = {
    "jit": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "lock_timeout": f"'{PATIENCE}s'",
}
READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITE = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{PATIENCE}s'"
)


class PostgresServer:
    """The connections of this process to a store's database.

    Connections are opened when they are needed and used by one thread at a time. A forked child
    opens its own; pickled, only the address travels. Every transaction begins by looking whether
    this is still the store that was opened, and one that cannot begin on an idle connection, as
    the server was restarted, begins on a new one.

    Parameters
    ----------
    address
        Where.
    shards
        Number of shards; None for the store's own, or the usual one if the store is made.

    Raises
    ------
    StoreUnavailable
        If the server cannot be reached, or is not ready.
    StoreLayoutError
        If the schema holds something else, or the number of shards differs.
    StoreError
        If the server refuses: the password, the database, a permission.
    """

    def __init__(self, address: PostgresAddress, shards: int | None = None) -> None:
        self.address, self.layout = address, PostgresLayout(address)
        self._idle: list[Connection] = []
        self._inherited: list[Connection] = []
        self._process = os.getpid()
        connection = self._connect()
        try:
            with self._errors(connection):
                self.layout.make(connection, shards)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_idle": [], "_inherited": [], "_process": -1}

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection within one snapshot of the store."""
        with self._transaction(READ) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection in a transaction: all of it is committed, or nothing."""
        with self._transaction(WRITE) as connection:
            yield connection

    @contextmanager
    def registering(self) -> Iterator[Connection]:
        """Give the only connection that may change generations."""
        with self.writing() as connection:
            self.layout.lock(connection)
            yield connection

    def close(self) -> None:
        """Close the connections that nobody uses."""
        if self._process == os.getpid():
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        connection, process = self._begin(begin), os.getpid()
        try:
            with self._errors(connection):
                yield connection
            with self._errors(connection, committing=begin == WRITE):
                connection.execute("COMMIT")
        finally:
            if process == os.getpid():
                self._give_back(connection)
            else:  # a child ends what its parent began: for itself alone
                self._inherited.append(connection)

    def _begin(self, begin: str) -> Connection:
        """Begin a transaction: nothing is lost if that has to be tried on another connection."""
        settings = "; ".join(f"SET LOCAL {name} = {value}" for name, value in SETTINGS.items())
        path = f"SET LOCAL search_path = {self.layout.schema}, pg_temp"
        meta = "SELECT name, value FROM beaconfold"
        while True:
            connection, fresh = self._take()
            try:
                with self._errors(connection):
                    cursor = connection.execute(f"{begin}; {path}; {settings}; {meta}")
                    while cursor.nextset():
                        pass
                    self.layout.check(cursor.fetchall())
            except BaseException as error:
                broken = connection.closed
                connection.close()  # the next one may lead to another server
                if isinstance(error, TableMissing):
                    raise StoreError(f"no store at {self.address}") from None
                if fresh or not broken:
                    raise
            else:
                return connection

    def _take(self) -> tuple[Connection, bool]:
        if self._process != os.getpid():
            # A connection must not cross a fork, not even to be closed: the parent's are kept.
            self._inherited += self._idle
            self._idle = []
            self._process = os.getpid()
        try:
            return self._idle.pop(), False
        except IndexError:
            return self._connect(), True

    def _give_back(self, connection: Connection) -> None:
        """Keep a connection for the next transaction, unless it broke or is still in this one."""
        if connection.info.transaction_status != TransactionStatus.IDLE:
            with suppress(Error):
                connection.execute("ROLLBACK")
        if connection.info.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _connect(self) -> Connection:
        for attempt in range(2):
            try:
                connection = Connection.connect(
                    self.address.conninfo,
                    autocommit=True,
                    prepare_threshold=None,
                    cursor_factory=RawCursor,
                    client_encoding="UTF8",
                )
            except Error as error:
                said = f"{self.address}: {self.address.hide(str(error))}"
                # libpq does not tell a refusal that will last from one that heals; a server that
                # takes connections but refuses ours, twice, means it, unless it is full.
                full = any(each in said for each in ("too many connections", "too many clients"))
                if full or PGconn.ping(self.address.conninfo.encode()) != Ping.OK:
                    raise StoreUnavailable(said) from None
                if attempt:
                    raise StoreError(said) from None
            else:
                connection.server_cursor_factory = RawServerCursor
                connection.isolation_level = IsolationLevel.READ_COMMITTED
                register(connection)
                return connection
        raise AssertionError

    @contextmanager
    def _errors(self, connection: Connection, *, committing: bool = False) -> Iterator[None]:
        try:
            yield
        except Error as error:
            raise translated(error, self.address, connection, committing=committing) from error

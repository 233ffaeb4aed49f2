"""Stores by key, named for where they are: each takes the addresses of its kind."""

from typing import ClassVar

from .backed import ValueStore


class MemoryStore(ValueStore):
    """Values by key in this process's memory; see `ValueStore`.

    Examples
    --------
    >>> import polars as pl
    >>> from beaconfold.monoids import Max
    >>> best = MemoryStore("memory://", namespace="best", value=Max(dtype=pl.Int64))
    >>> best.multi_merge({"ann": 3, "bob": 5}), best.multi_merge({"ann": 4})
    ({'ann': None, 'bob': None}, {'ann': 3})
    """

    schemes: ClassVar[tuple[str, ...]] = ("memory",)


class SQLiteStore(ValueStore):
    """Values by key in a SQLite file, for any number of processes on a machine; see `ValueStore`.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> from beaconfold import Sum, open_store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     url = f"sqlite:///{folder}/beacons.db"
    ...     clicks = SQLiteStore(url, namespace="clicks", value=Sum(dtype=pl.Int64))
    ...     before = clicks.merge("p1", 2, once="token-17")
    ...     before = clicks.merge("p1", 2, once="token-17")
    ...     open_store(url).query("clicks").rows()
    [('p1', 2)]
    """

    schemes: ClassVar[tuple[str, ...]] = ("sqlite",)


class PostgresStore(ValueStore):
    """Values by key in PostgreSQL, ``postgresql://user@host/database``; see `ValueStore`.

    Examples
    --------
    >>> from beaconfold.monoids import Count
    >>> PostgresStore("postgres.db", namespace="views", value=Count())
    Traceback (most recent call last):
    ValueError: PostgresStore opens postgresql://, not 'postgres.db'
    """

    schemes: ClassVar[tuple[str, ...]] = ("postgresql",)


class RedisStore(ValueStore):
    """Values by key in Redis, Valkey or a cluster of them; see `ValueStore`.

    Addresses are those of `beaconfold.stores.open_store`: ``redis://host``, ``rediss://host``,
    ``redis+cluster://host``, ….

    Examples
    --------
    >>> from beaconfold.monoids import Count
    >>> RedisStore("localhost", namespace="views", value=Count())
    Traceback (most recent call last):
    ValueError: RedisStore opens redis://, rediss://, ... not 'localhost'
    """

    schemes: ClassVar[tuple[str, ...]] = (
        "redis",
        "rediss",
        "redis+unix",
        "redis+cluster",
        "rediss+cluster",
    )

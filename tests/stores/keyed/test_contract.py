"""Every store by key, and every combinator of them, keeps the contract."""

import operator

import polars as pl
import pytest
from redis_servers import fresh

from beaconfold.monoids import Sum
from beaconfold.stores.keyed import (
    CachedStore,
    MappedKeys,
    MappedValues,
    MemoryStore,
    PostgresStore,
    RedisStore,
    ShardedStore,
    SQLiteStore,
)
from beaconfold.stores.testing import KeyedStoreContract

TOTAL = Sum(dtype=pl.Int64)


def memory():
    return MemoryStore("memory://", namespace="n", value=TOTAL, shards=4)


class TestMemory(KeyedStoreContract):
    @pytest.fixture
    def keyed(self):
        return memory()


class TestSQLite(KeyedStoreContract):
    examples = 10

    @pytest.fixture
    def keyed(self, tmp_path):
        with SQLiteStore(f"sqlite:///{tmp_path}/a.db", namespace="n", value=TOTAL) as store:
            yield store


class TestRedis(KeyedStoreContract):
    examples = 5

    @pytest.fixture
    def keyed(self, redis_server):
        with RedisStore(fresh(redis_server), namespace="n", value=TOTAL) as store:
            yield store


class TestRedisCluster(KeyedStoreContract):
    examples = 3

    @pytest.fixture
    def keyed(self, redis_cluster):
        with RedisStore(fresh(redis_cluster), namespace="n", value=TOTAL) as store:
            yield store


class TestPostgres(KeyedStoreContract):
    examples = 5

    @pytest.fixture
    def keyed(self, postgres_url):
        with PostgresStore(postgres_url, namespace="n", value=TOTAL, shards=8) as store:
            yield store


class TestCached(KeyedStoreContract):
    @pytest.fixture(params=[1, 1000])
    def keyed(self, request):
        return CachedStore(memory(), capacity=request.param, ttl=None)


class TestMappedKeys(KeyedStoreContract):
    @pytest.fixture
    def keyed(self):
        return MappedKeys(memory(), lambda key: f"{key}/", lambda key: key[:-1])


class TestMappedValues(KeyedStoreContract):
    @pytest.fixture
    def keyed(self):
        def negative(value):
            return value if isinstance(value, bool) else -value

        return MappedValues(memory(), negative, operator.neg)


class TestSharded(KeyedStoreContract):
    @pytest.fixture
    def keyed(self):
        return ShardedStore([memory() for _ in range(3)])


class TestAllAtOnce(KeyedStoreContract):
    @pytest.fixture
    def keyed(self):
        parts = [CachedStore(memory(), capacity=3) for _ in range(2)]
        return CachedStore(ShardedStore(parts))

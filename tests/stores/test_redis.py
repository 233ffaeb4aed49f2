"""Redis, Valkey and a Redis Cluster keep the contract; what only they can suffer is in others."""

import pytest
from redis_servers import fresh

from beaconfold.stores.redis import RedisBackend
from beaconfold.stores.testing import BackendContract


class TestRedis(BackendContract):
    examples = 5

    @pytest.fixture
    def backend(self, redis_server):
        return RedisBackend(fresh(redis_server))


class TestValkey(BackendContract):
    examples = 3

    @pytest.fixture
    def backend(self, valkey_server):
        return RedisBackend(fresh(valkey_server))


class TestRedisCluster(BackendContract):
    examples = 3

    @pytest.fixture
    def backend(self, redis_cluster):
        return RedisBackend(fresh(redis_cluster))

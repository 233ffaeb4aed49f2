"""Stores by key: Storehaus's trait on its own, without a job, and what combines them."""

from .backed import BackedStore, ValueStore
from .cached import CachedStore
from .mapped_keys import MappedKeys
from .mapped_values import MappedValues
from .named import MemoryStore, PostgresStore, RedisStore, SQLiteStore
from .sharded import ShardedStore
from .store import KeyedStore

__all__ = [
    "BackedStore",
    "CachedStore",
    "KeyedStore",
    "MappedKeys",
    "MappedValues",
    "MemoryStore",
    "PostgresStore",
    "RedisStore",
    "SQLiteStore",
    "ShardedStore",
    "ValueStore",
]

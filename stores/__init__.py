"""Stores of mergeable states: backends, the ledger of merged segments, queries."""

from .backend import Backend, ShardHead, ShardWrite
from .clock import Clock, ManualClock, SystemClock
from .documents import Poison, Quarantine
from .errors import (
    CommitUncertain,
    GenerationDropped,
    GenerationRetired,
    MergeUncertain,
    StoreError,
    StoreLayoutError,
    StoreUnavailable,
    UnknownJob,
)
from .expiry import Expired, rolled_up
from .generation import Generation
from .horizons import Horizons
from .keyed import (
    CachedStore,
    KeyedStore,
    MappedKeys,
    MappedValues,
    MemoryStore,
    PostgresStore,
    RedisStore,
    ShardedStore,
    SQLiteStore,
    ValueStore,
)
from .keys import Keys, shard_of
from .ledger import Ledger
from .memory import MemoryBackend
from .retention import Retention
from .segment_merge import Applied
from .segments import Seal, SegmentId
from .sqlite import SQLiteBackend
from .store import MergeableStore
from .urls import open_store, redacted

__all__ = [
    "Applied",
    "Backend",
    "CachedStore",
    "Clock",
    "CommitUncertain",
    "Expired",
    "Generation",
    "GenerationDropped",
    "GenerationRetired",
    "Horizons",
    "KeyedStore",
    "Keys",
    "Ledger",
    "ManualClock",
    "MappedKeys",
    "MappedValues",
    "MemoryBackend",
    "MemoryStore",
    "MergeUncertain",
    "MergeableStore",
    "Poison",
    "PostgresStore",
    "Quarantine",
    "RedisStore",
    "Retention",
    "SQLiteBackend",
    "SQLiteStore",
    "Seal",
    "SegmentId",
    "ShardHead",
    "ShardWrite",
    "ShardedStore",
    "StoreError",
    "StoreLayoutError",
    "StoreUnavailable",
    "SystemClock",
    "UnknownJob",
    "ValueStore",
    "open_store",
    "redacted",
    "rolled_up",
    "shard_of",
]

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
from .generation import Generation
from .keys import Keys, shard_of
from .ledger import Ledger
from .memory import MemoryBackend
from .segment_merge import Applied
from .segments import Seal, SegmentId
from .sqlite import SQLiteBackend
from .store import MergeableStore
from .urls import open_store, redacted

__all__ = [
    "Applied",
    "Backend",
    "Clock",
    "CommitUncertain",
    "Generation",
    "GenerationDropped",
    "GenerationRetired",
    "Keys",
    "Ledger",
    "ManualClock",
    "MemoryBackend",
    "MergeUncertain",
    "MergeableStore",
    "Poison",
    "Quarantine",
    "SQLiteBackend",
    "Seal",
    "SegmentId",
    "ShardHead",
    "ShardWrite",
    "StoreError",
    "StoreLayoutError",
    "StoreUnavailable",
    "SystemClock",
    "UnknownJob",
    "open_store",
    "redacted",
    "shard_of",
]

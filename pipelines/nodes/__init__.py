"""Streamz nodes: the talk's ``aggregateByKey(monoid)`` and ``store(store)``, on streams.

Importing this package registers them on `streamz.Stream`.
"""

from .aggregate_by_key import aggregate_by_key
from .from_beacons import from_beacons
from .references import SegmentPartials, Segments
from .store import store
from .timed_partition import timed_partition

__all__ = [
    "SegmentPartials",
    "Segments",
    "aggregate_by_key",
    "from_beacons",
    "store",
    "timed_partition",
]

"""The archive: a log of immutable segments that receivers write and everything else reads."""

from .archive import Archive, Fenced
from .expiry import Expired, Expiry, SegmentExpired
from .identity import LAYOUT, ArchiveChanged, ArchiveLayoutError
from .lease import Lease
from .segment import RAW, SegmentHeader, SegmentRef, SegmentUnreadable

__all__ = [
    "LAYOUT",
    "RAW",
    "Archive",
    "ArchiveChanged",
    "ArchiveLayoutError",
    "Expired",
    "Expiry",
    "Fenced",
    "Lease",
    "SegmentExpired",
    "SegmentHeader",
    "SegmentRef",
    "SegmentUnreadable",
]

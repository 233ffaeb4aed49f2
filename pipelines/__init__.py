"""Pipelines: from where beacons come from, by a job, into a store."""

from .archive import Archive, ArchiveChanged, Fenced, SegmentRef
from .cluster import WorkersDiffer, connect, local_cluster
from .generation import JobChanged
from .job import Folded, Job
from .platforms import (
    Replay,
    StreamRun,
    Verification,
    replay,
    run_archive,
    stream,
    verify,
)
from .progress import BatchProgress
from .receiver import Receiver
from .sources import open_source

__all__ = [
    "Archive",
    "ArchiveChanged",
    "BatchProgress",
    "Fenced",
    "Folded",
    "Job",
    "JobChanged",
    "Receiver",
    "Replay",
    "SegmentRef",
    "StreamRun",
    "Verification",
    "WorkersDiffer",
    "connect",
    "local_cluster",
    "open_source",
    "replay",
    "run_archive",
    "stream",
    "verify",
]

"""Where beacons come from: one kind of source a file, opened by its URL."""

from .beacons import Beacons
from .file import FilePartition, FileSource
from .source import ARRIVING, NOTHING, Batch, Source, SourcePartition, SourceUnreadable
from .stdin import StdinSource
from .synthetic import SyntheticSource
from .url import open_source

__all__ = [
    "ARRIVING",
    "NOTHING",
    "Batch",
    "Beacons",
    "FilePartition",
    "FileSource",
    "Source",
    "SourcePartition",
    "SourceUnreadable",
    "StdinSource",
    "SyntheticSource",
    "open_source",
]

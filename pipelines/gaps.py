"""Gaps: segments that expired from the archive before a store had merged them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..stores import Ledger
from .archive import Archive


class Gap(NamedTuple):
    """Some consecutive segments of one epoch that can no longer be merged.

    Parameters
    ----------
    partition, epoch
        Where they were.
    start, stop
        Sequences from ``start`` up to ``stop``, not included.
    """

    partition: str
    epoch: int
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.epoch}/{self.start}-{self.stop - 1}"


def gaps(archive: Archive, ledger: Ledger) -> list[Gap]:
    """Name the segments that have expired from an archive and are not in a ledger.

    Parameters
    ----------
    archive
        Remembers what it has deleted.
    ledger
        What a generation has merged: the states of that generation cover no beacon of a gap.

    Examples
    --------
    >>> import tempfile
    >>> gaps(Archive.open(tempfile.mkdtemp()), Ledger())
    []
    """
    found = []
    for partition, epoch, stop, _ in archive.expired():
        bounds = ledger.lacking(archive.id, partition, epoch, stop).bounds
        pairs = zip(bounds[::2], bounds[1::2], strict=True)
        found += [Gap(partition, epoch, start, stop) for start, stop in pairs]
    return found


def warning(found: Sequence[Gap]) -> str:
    """Say in one line what is lost; the longest gaps by name.

    Examples
    --------
    >>> warning([Gap("web", 1, 0, 42)])
    '42 segments have expired from the archive and were never merged: web/1/0-41'
    """
    longest = sorted(found, key=lambda gap: gap.start - gap.stop)
    text = ", ".join(map(str, longest[:5])) + (" …" if len(found) > 5 else "")  # noqa: PLR2004
    count = sum(gap.stop - gap.start for gap in found)
    return f"{count} segments have expired from the archive and were never merged: {text}"

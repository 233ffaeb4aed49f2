"""What an archive no longer has: segments that were deleted on purpose, and are remembered."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from ...stores.segments import SegmentId
from . import names
from .listing import Listing
from .local import LocalFolder
from .segment import SegmentRef, SegmentUnreadable

if TYPE_CHECKING:
    from .archive import Archive


class SegmentExpired(SegmentUnreadable):
    """The segment was deleted by the archive's expiry: it will not come back."""


class Expired(NamedTuple):
    """The segments of one epoch that were deleted: those below a sequence.

    Parameters
    ----------
    partition, epoch
        Where they were.
    stop
        Sequences from 0 up to this one, not included, are gone.
    last
        The latest time of receipt among them.
    """

    partition: str
    epoch: int
    stop: int
    last: datetime


class Expiry(NamedTuple):
    """What an expiry deleted, or would."""

    segments: int = 0
    beacons: int = 0
    bytes: int = 0
    kept: int = 0
    """Segments that are old enough and were kept: one that must be, and what follows it."""


class Expiries:
    """The marks that say which segments of an archive's folder have expired.

    A mark is written, durably, before the first file is deleted: a segment is there, or is known
    to have expired. Marks only ever grow; of several for one epoch the highest counts.

    Parameters
    ----------
    folder, listing
        The archive's.
    """

    def __init__(self, folder: LocalFolder, listing: Listing) -> None:
        self._folder, self._listing = folder, listing

    def stop(self, partition: str, epoch: int) -> int:
        """Tell below which sequence the segments of an epoch have expired."""
        return max(self._listing.expiries(partition, epoch), default=0)

    def all(self) -> list[Expired]:
        """List what has expired, in order."""
        found = []
        for partition, epoch in self._listing.expired_epochs():
            while stop := self.stop(partition, epoch):
                # Another expiry may delete this mark once it has written a higher one.
                with suppress(FileNotFoundError):
                    path = self._folder.path(names.expiry(partition, epoch, stop))
                    last = datetime.fromisoformat(json.loads(path.read_bytes())["last"])
                    found.append(Expired(partition, epoch, stop, last))
                    break
        return found

    def add(self, expired: Expired, check: Callable[[], object]) -> None:
        """Mark segments as expired, then delete them."""
        partition, epoch, stop, last = expired
        mark = json.dumps({"last": last.astimezone(UTC).isoformat()}).encode()
        with suppress(FileExistsError):
            self._folder.create(names.expiry(partition, epoch, stop), mark, check)
        for sequence, size in self._listing.sizes(partition, epoch).items():
            if size and sequence < stop:
                self._folder.delete(names.segment(partition, epoch, sequence))
        for lower in self._listing.expiries(partition, epoch):
            if lower < stop:
                self._folder.delete(names.expiry(partition, epoch, lower))


def expire(
    archive: Archive, before: datetime, keep: Callable[[SegmentId], bool], *, dry_run: bool
) -> Expiry:
    """Delete what was received before an instant, epoch by epoch, from the beginning of each."""
    archive.check()
    done = Expiry()
    last = {name: ref.id for name in archive.sources() if (ref := archive.last(name))}
    sealed = {(seal.partition, seal.epoch) for seal in archive.seals()}
    epochs: defaultdict[tuple[str, int], list[SegmentRef]] = defaultdict(list)
    for ref in archive.segments():
        epochs[ref.id.partition, ref.id.epoch].append(ref)
    for (partition, epoch), refs in epochs.items():
        # A receiver publishes after its epoch's last, a successor goes on from the partition's.
        if (partition, epoch) not in sealed or refs[-1].id == last.get(partition):
            refs.pop()
        old = list(takewhile(lambda ref: archive.header(ref).last < before, refs))
        chosen = list(takewhile(lambda ref: not keep(ref.id), old))
        headers = [archive.header(ref) for ref in chosen]
        if chosen and not dry_run:
            latest = max(header.last for header in headers)
            stop = chosen[-1].id.sequence + 1
            archive.expiries.add(Expired(partition, epoch, stop, latest), archive.check)
        done = Expiry(
            done.segments + len(chosen),
            done.beacons + sum(header.rows for header in headers),
            done.bytes + sum(ref.size for ref in chosen),
            done.kept + len(old) - len(chosen),
        )
    return done

"""The archive: the log of segments that everything downstream reads."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import polars as pl

from ...stores.clock import Clock, SystemClock
from ...stores.segments import Seal, SegmentId
from . import names
from .expiry import Expired, Expiries, Expiry, SegmentExpired, expire
from .identity import ArchiveChanged, make_identity, read_identity
from .lease import Lease
from .listing import Listing
from .local import LocalFolder
from .segment import (
    SegmentHeader,
    SegmentRef,
    SegmentUnreadable,
    encode,
    holds,
    read_frame,
    read_header,
)

_MACHINE: Final = SystemClock()


class Fenced(RuntimeError):
    """A successor has sealed this epoch: its receiver has to stop."""


class Archive:
    """Immutable segments of raw beacons, by source partition, epoch and sequence.

    Made by `open`. It can be pickled: it travels as its URL and its id, and is opened again.

    Publishing creates a file under exactly the segment's name, in sequence order. A successor first
    claims the next epoch, then seals those before it by a tombstone (an empty file) at their next
    free sequence, and only then reads where to resume: whoever publishes or seals first has the
    name, and the other one learns of it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from datetime import UTC
    >>> from beaconfold.pipelines.archive import RAW
    >>> row = {"raw": b"/b.gif", "received": datetime(2026, 1, 1, tzinfo=UTC), "offset": 0}
    >>> frame = pl.DataFrame([row], schema=RAW)
    >>> with TemporaryDirectory() as folder:
    ...     archive = Archive.open(folder)
    ...     epoch = archive.claim("clicks")
    ...     ref = archive.publish("clicks", epoch, 0, frame, position=7)
    ...     archive.seal("clicks", epoch), archive.position("clicks")
    ...     archive.read(ref).equals(frame), [ref.id.sequence for ref in archive.segments()]
    (1, 7)
    (True, [0])
    """

    def __init__(self, folder: LocalFolder, identity: str) -> None:
        self.folder = folder
        self.id = identity
        self._listing = Listing(folder)
        self.expiries = Expiries(folder, self._listing)
        self._headers: dict[SegmentId, SegmentHeader] = {}
        self._sealed: dict[tuple[str, int], int] = {}

    @classmethod
    def open(cls, url: str | Path, *, create: bool = True) -> Self:
        """Open the archive in a folder.

        Parameters
        ----------
        url
            A path, or ``file:///absolute/path``.
        create
            Make it if it is not there; two processes that do so at once open the same one.

        Raises
        ------
        FileNotFoundError
            There is none, and ``create`` is false.
        ArchiveLayoutError
            The folder holds an archive of another layout.
        ValueError
            The URL is of an unknown kind.
        """
        folder = LocalFolder(names.folder_of(url))
        if create:
            make_identity(folder)
            folder.clean()
        return cls(folder, read_identity(folder))

    @property
    def url(self) -> str:
        """The archive's absolute URL."""
        return self.folder.root.as_uri()

    def __repr__(self) -> str:
        return f"Archive({self.url!r}, id={self.id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.url, self.id)

    def check(self) -> None:
        """Make sure that the folder still holds this archive.

        Raises
        ------
        ArchiveChanged
            It was made anew.
        FileNotFoundError
            It is gone.
        """
        found = read_identity(self.folder)
        if found != self.id:
            raise ArchiveChanged(
                f"the archive {self.url} was made anew: its id is {found}, it was {self.id}"
            )

    # Epochs

    def claim(
        self,
        partition: str,
        *,
        source: Mapping[str, Any] | None = None,
        clock: Clock = _MACHINE,
    ) -> int:
        """Take the next epoch of a partition: from 1, each number once.

        Parameters
        ----------
        partition
            The name of the source partition.
        source
            What to record of the source, as JSON; no credentials.
        clock
            Tells the time of the claim.
        """
        about = {"at": clock.now().isoformat(), "host": socket.gethostname(), "pid": os.getpid()}
        data = json.dumps(about | {"source": dict(source or {})}).encode()
        epoch = max(self._listing.claims(partition), default=0) + 1
        while True:
            try:
                self.folder.create(names.claim(partition, epoch), data, self.check)
            except FileExistsError:
                epoch += 1
            else:
                return epoch

    def seal(self, partition: str, epoch: int) -> int:
        """End an epoch, so that nothing can be published in it any more; return its length.

        Sealing twice is the same as once.
        """
        while True:
            sizes = self._listing.sizes(partition, epoch)
            if (length := _sealed_length(sizes)) is not None:
                return length
            length = max(sizes, default=-1) + 1
            # Losing the name to its owner's publish, or to another who seals: look again.
            with suppress(FileExistsError):
                self.folder.create(names.segment(partition, epoch, length), b"", self.check)
                return length

    def seal_before(self, partition: str, epoch: int) -> None:
        """Seal all earlier epochs, as a successor does before it asks where to resume."""
        for earlier in range(1, epoch):
            if (partition, earlier) not in self._sealed:
                self._sealed[partition, earlier] = self.seal(partition, earlier)

    def seals(self) -> list[Seal]:
        """List the lengths of all sealed epochs, in order."""
        self.check()
        lengths = ((p, e, self._length(p, e)) for p, e in self._listing.all_epochs())
        return [Seal(self.id, p, e, length) for p, e, length in lengths if length is not None]

    def sources(self) -> dict[str, dict[str, Any]]:
        """Tell what the latest claim of each partition recorded of its source."""
        self.check()
        found: dict[str, dict[str, Any]] = {}
        for partition in self._listing.sources():
            if claims := self._listing.claims(partition):
                claim = names.claim(partition, claims[-1])
                found[partition] = json.loads(self.folder.path(claim).read_bytes())["source"]
        return found

    # Segments

    def publish(
        self,
        partition: str,
        epoch: int,
        sequence: int,
        frame: pl.DataFrame,
        *,
        position: int | None,
    ) -> SegmentRef:
        """Make a raw frame a durable segment.

        Publishing the very same segment again is a no-op, so that it can be retried after an
        outcome that is not known.

        Parameters
        ----------
        partition, epoch
            As claimed.
        sequence
            From 0, without gaps.
        frame
            A raw frame, see `RAW`; not empty.
        position
            Where a successor resumes.

        Raises
        ------
        Fenced
            A successor has sealed the epoch.
        ArchiveChanged
            The folder was made anew.
        ValueError
            Not in order, or not a raw frame.
        OSError
            The disk failed or is full: to be tried again.
        """
        segment = SegmentId(self.id, partition, epoch, sequence)
        name = names.segment(partition, epoch, sequence)
        if sequence > 0:
            self._follows(segment)
        data, header = encode(frame, position)
        try:
            self.folder.create(name, data, self.check)
        except FileExistsError:
            # An earlier attempt whose outcome was unknown may have made it.
            if not holds(self.folder.path(name), frame, header):
                raise Fenced(f"{segment} is taken: a successor has sealed epoch {epoch}") from None
        self._headers[segment] = header
        return SegmentRef(segment, str(self.folder.path(name)), len(data))

    def segments(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> list[SegmentRef]:
        """List the segments, sorted by id.

        Parameters
        ----------
        since, until
            Only segments that hold a beacon received in ``[since, until)`` as far as their first
            and last time of receipt tell; a segment is listed whole or not at all.
        """
        self.check()
        refs = [ref for name in self._listing.all_epochs() for ref in self._refs(*name)]
        if since is None and until is None:
            return refs
        return [ref for ref in refs if _overlaps(self.header(ref), since, until)]

    def header(self, ref: SegmentRef) -> SegmentHeader:
        """Tell a segment's rows, times of receipt and position, without decompressing it.

        Raises
        ------
        SegmentUnreadable
            The file is missing or corrupt.
        """
        if ref.id not in self._headers:
            self._headers[ref.id] = read_header(self._path(ref))
        return self._headers[ref.id]

    def read(self, ref: SegmentRef) -> pl.DataFrame:
        """Read a segment as a raw frame.

        Raises
        ------
        SegmentUnreadable
            The file is missing or corrupt; `SegmentExpired` if it was deleted on purpose.
        ArchiveChanged
            The reference is to another archive, or the folder was made anew.
        """
        try:
            return read_frame(self._path(ref))
        except SegmentUnreadable:
            self.check()
            if ref.id.sequence < self.expiries.stop(ref.id.partition, ref.id.epoch):
                raise SegmentExpired(f"{ref.id} has expired: it was deleted") from None
            raise

    def last(self, partition: str) -> SegmentRef | None:
        """Find the last segment of a partition, over all its epochs.

        Raises
        ------
        FileNotFoundError
            The archive is gone, which is something else than an archive without segments.
        """
        for epoch in reversed(self._listing.epochs(partition)):
            if refs := self._refs(partition, epoch):
                return refs[-1]
        self.check()  # a folder that is not there now has nothing in it either
        return None

    def position(self, partition: str) -> int | None:
        """Tell where a successor resumes reading the source; None: at its beginning."""
        last = self.last(partition)
        return None if last is None else self.header(last).position

    # Expiry

    def expire(
        self,
        before: datetime,
        *,
        keep: Callable[[SegmentId], bool] = lambda _segment: False,
        dry_run: bool = False,
    ) -> Expiry:
        """Delete segments, and remember which: what was received before an instant.

        Segments expire from the beginning of their epoch on. The last one of a partition stays, as
        a receiver goes on from there, and so does the last one of an epoch that is not sealed. What
        a store had not merged by then it never will: `beaconfold.pipelines.gaps` names it.

        Parameters
        ----------
        before
            Segments all of whose beacons were received before it.
        keep
            Says of a segment that it must not expire yet: nor do those after it in its epoch.
        dry_run
            Delete nothing, only tell what would be.
        """
        return expire(self, before, keep, dry_run=dry_run)

    def expired(self) -> list[Expired]:
        """List what has expired: ranges of segments, by partition and epoch."""
        self.check()
        return self.expiries.all()

    # Leases

    def lease(self, partition: str) -> Lease | None:
        """Read the last sign of life of a partition's receiver; None if it has stopped cleanly."""
        self.check()
        path = self.folder.path(names.lease(partition))
        try:
            return Lease.decode(path.read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def renew(self, lease: Lease) -> None:
        """Show that a receiver lives."""
        self.check()
        self.folder.replace(names.lease(lease.partition), lease.encode())

    def release(self, partition: str, epoch: int) -> None:
        """Show that the receiver of that epoch has stopped."""
        lease = self.lease(partition)
        if lease is not None and lease.epoch == epoch:
            self.folder.path(names.lease(partition)).unlink(missing_ok=True)

    def _path(self, ref: SegmentRef) -> Path:
        if ref.id.archive != self.id:
            raise ArchiveChanged(
                f"{ref.id} is of the archive {ref.id.archive}; {self.url} holds {self.id}"
            )
        return self.folder.path(names.segment(*ref.id[1:]))

    def _refs(self, partition: str, epoch: int) -> list[SegmentRef]:
        folder = str(self.folder.path(names.segment(partition, epoch, 0)).parent)
        gone = self.expiries.stop(partition, epoch)
        return [
            SegmentRef(
                SegmentId(self.id, partition, epoch, sequence),
                f"{folder}/{sequence:012d}.arrow",
                size,
            )
            for sequence, size in self._listing.sizes(partition, epoch).items()
            if size and sequence >= gone
        ]

    def _length(self, partition: str, epoch: int) -> int | None:
        if (partition, epoch) not in self._sealed:
            length = _sealed_length(self._listing.sizes(partition, epoch))
            if length is None:
                return None
            self._sealed[partition, epoch] = length
        return self._sealed[partition, epoch]

    def _follows(self, segment: SegmentId) -> None:
        """Make sure that the segment before this one is there, and is no tombstone."""
        _, partition, epoch, sequence = segment
        before = self.folder.path(names.segment(partition, epoch, sequence - 1))
        with suppress(FileNotFoundError):
            if before.stat().st_size:
                return
        self.check()
        if (length := self._length(partition, epoch)) is not None:
            raise Fenced(f"a successor has sealed {partition}/{epoch} at length {length}")
        raise ValueError(f"segments are published in order: there is none before {segment}")


def _reopen(url: str, identity: str) -> Archive:
    archive = Archive(LocalFolder(names.folder_of(url)), identity)
    archive.check()
    return archive


def _sealed_length(sizes: Mapping[int, int]) -> int | None:
    return next((sequence for sequence, size in sizes.items() if not size), None)


def _overlaps(header: SegmentHeader, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or header.last >= since) and (until is None or header.first < until)

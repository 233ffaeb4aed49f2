"""Receivers as threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from ..stores.clock import Clock
from .archive import Archive, SegmentRef
from .receiver import Receiver, ReceiverProgress
from .sources import SourcePartition, open_source


class ReceiverThread:
    """A receiver in a thread of this process: a `Post`."""

    worker: str | None = None

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        receiver.start()

    @property
    def failure(self) -> Exception | None:
        """What ended it, if an exception did."""
        return self._receiver.failure

    def look(self) -> ReceiverProgress:
        """Tell where it stands."""
        return self._receiver.progress

    def stop(self, *, drain: bool = True) -> None:
        """Ask it to come to an end."""
        self._receiver.stop(drain=drain)

    def abandon(self) -> None:
        """Do nothing: no thread can be killed, and a daemon need not be."""


class Threads:
    """Puts receivers to work in this process.

    Parameters
    ----------
    url
        Of the source: a successor reads it through a connection of its own.
    partitions
        The source's, by name; more may be added later.
    archive, age, max_rows, clock, on_publish
        See `Receiver`.
    """

    def __init__(
        self,
        url: str,
        partitions: dict[str, SourcePartition],
        archive: Archive,
        *,
        age: str | timedelta,
        max_rows: int,
        clock: Clock | None = None,
        on_publish: Callable[[SegmentRef], object] | None = None,
    ) -> None:
        self._url, self._archive, self._clock = url, archive, clock
        self._age, self._max_rows, self._on_publish = age, max_rows, on_publish
        self._fresh = dict(partitions)
        self._partitions = partitions

    def workers(self) -> Sequence[None]:
        """Tell where: here."""
        return (None,)

    def start(self, partition: str, worker: str | None) -> ReceiverThread:
        """Start a receiver."""
        del worker
        found = self._fresh.pop(partition, None) or self._again(partition)
        return ReceiverThread(
            Receiver(
                found,
                self._archive,
                age=self._age,
                max_rows=self._max_rows,
                clock=self._clock,
                on_publish=self._on_publish,
            )
        )

    def _again(self, partition: str) -> SourcePartition:
        known = self._partitions[partition]
        if not known.portable:
            return known
        return find_partition(self._url, partition, self._archive, self._clock)


def find_partition(
    url: str, name: str, archive: Archive, clock: Clock | None = None
) -> SourcePartition:
    """Open a source, and find one of its partitions by its name in the archive.

    Raises
    ------
    LookupError
        The source has no such partition now, or not as seen from here.
    """
    for partition in open_source(url, clock=clock).partitions(archive.sources()):
        if partition.identity == name:
            return partition
    raise LookupError(f"the source has no partition {name} as seen from here")

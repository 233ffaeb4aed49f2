"""What the receivers of a partition have published, counted exactly although some were killed."""

from __future__ import annotations

from typing import NamedTuple

from .archive import Archive
from .receiver import ReceiverProgress
from .timed_partition import raw_bytes


class Published(NamedTuple):
    """Beacons, their raw bytes, and the segments that hold them."""

    rows: int = 0
    bytes: int = 0
    segments: int = 0


class Tally:
    """Counts what one receiver after the other publishes.

    A receiver tells; what a killed one had no time to tell is counted in the archive, once its
    successor has sealed its epoch.

    Parameters
    ----------
    archive
        Where they publish; None: what they do not tell is not counted.
    partition
        What they receive. What is in the archive already does not count.

    Examples
    --------
    >>> tally = Tally(None, "clicks")
    >>> for epoch, rows in ((1, 5), (1, 7), (2, 1)):
    ...     told = ReceiverProgress("clicks", "receiving", epoch, rows, 9 * rows, rows, 0, 0, None)
    ...     tally.note(told)
    >>> tally.total
    Published(rows=8, bytes=72, segments=8)
    """

    def __init__(self, archive: Archive | None, partition: str) -> None:
        self._archive, self._partition = archive, partition
        last = archive.last(partition) if archive is not None else None
        self._floor = 0 if last is None else last.id.epoch
        self._epochs: dict[int, Published] = {}

    @property
    def total(self) -> Published:
        """All that is known of."""
        each = list(self._epochs.values())
        return Published(*(sum(numbers) for numbers in zip(*each, strict=True))) if each else _NONE

    def note(self, told: ReceiverProgress) -> None:
        """Take a receiver's word."""
        if told.epoch:
            self._epochs[told.epoch] = Published(told.rows, told.bytes, told.segments)

    def settle(self, before: int | None = None) -> None:
        """Count in the archive what receivers of earlier epochs have not told.

        Raises
        ------
        OSError
            The archive cannot be read.
        """
        if self._archive is None:
            return
        for ref in self._archive.segments():
            _, partition, epoch, sequence = ref.id
            known = self._epochs.get(epoch, _NONE)
            if (
                partition == self._partition
                and epoch > self._floor
                and (before is None or epoch < before)
                and sequence >= known.segments
            ):
                frame = self._archive.read(ref)
                self._epochs[epoch] = Published(
                    known.rows + frame.height,
                    known.bytes + raw_bytes(frame),
                    known.segments + 1,
                )


_NONE = Published()

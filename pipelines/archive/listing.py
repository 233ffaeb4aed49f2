"""What is in an archive's folder: its partitions, epochs and segments, as the disk has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from . import names
from .local import LocalFolder


class Listing:
    """The names in an archive's folder, read anew each time.

    Parameters
    ----------
    folder
        The archive's folder.
    """

    def __init__(self, folder: LocalFolder) -> None:
        self._folder = folder

    def sources(self) -> list[str]:
        """List the partitions that were claimed."""
        return sorted(self._entries("epochs"))

    def claims(self, partition: str) -> list[int]:
        """List the epochs of a partition that were claimed."""
        return self._numbers(f"epochs/{names.checked(partition)}", ".json")

    def epochs(self, partition: str) -> list[int]:
        """List the epochs of a partition that have segments or a tombstone."""
        return self._numbers(f"segments/{names.checked(partition)}")

    def all_epochs(self) -> Iterator[tuple[str, int]]:
        """Go through all partitions and their epochs, in order."""
        for partition in sorted(self._entries("segments")):
            for epoch in self.epochs(partition):
                yield partition, epoch

    def expired_epochs(self) -> Iterator[tuple[str, int]]:
        """Go through all partitions and epochs of which segments have expired, in order."""
        for partition in sorted(self._entries("expired")):
            for epoch in self._numbers(f"expired/{names.checked(partition)}"):
                yield partition, epoch

    def expiries(self, partition: str, epoch: int) -> list[int]:
        """List the sequences below which the segments of an epoch were marked as expired."""
        folder = self._folder.path(names.expiry(partition, epoch, 0)).parent
        return self._numbers(str(folder), ".json")

    def sizes(self, partition: str, epoch: int) -> dict[int, int]:
        """Tell the sizes in bytes of an epoch's files, by sequence; a tombstone's is 0."""
        folder = self._folder.path(names.segment(partition, epoch, 0)).parent
        sizes: dict[int, int] = {}
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                sequence = names.number_of(entry.name, ".arrow")
                if sequence is not None:
                    sizes[sequence] = entry.stat().st_size
        return dict(sorted(sizes.items()))

    def _numbers(self, name: str, ending: str = "") -> list[int]:
        numbers = (names.number_of(entry, ending) for entry in self._entries(name))
        return sorted(number for number in numbers if number is not None)

    def _entries(self, name: str) -> list[str]:
        try:
            with os.scandir(self._folder.path(name)) as entries:
                return [entry.name for entry in entries]
        except FileNotFoundError:
            return []

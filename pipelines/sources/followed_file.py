"""A file that is read while it grows, and left when it is rotated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ...stores.clock import Clock, SystemClock
from .content import digest, is_compressed
from .file_partition import PREFIX, FilePartition
from .lines import read_lines
from .source import Batch, SourceUnreadable

LOOK: Final = 0.1
"""Seconds between two looks at a file that has not grown."""

SETTLED: Final = 1.0
"""Seconds without growth after which a short file is to be listed again."""

LINGER: Final = 10.0
"""Seconds without growth after which a file that was moved away is at its end."""

QUIET: Final = 3600.0
"""Seconds without growth after which a file is at its end, until it grows again."""


class _Left(Exception):
    """The file is to be left as it is: its last line is not taken."""


@dataclass(frozen=True)
class FollowedFile(FilePartition):
    r"""The lines of a file that may grow.

    A last line without its line feed is left until that has come, or the file has come to its end.
    Reading ends when the file has been moved away and grows no more, when it was truncated, when
    it has not grown for an hour, and when it has grown beyond the few bytes it was known by: who
    lists the files again finds what there is to be received then, under the same name.

    Parameters
    ----------
    clock
        Waits for it to grow.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from beaconfold.pipelines.sources import open_source
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "beacons.log")
    ...     _ = path.write_bytes(b"a=1\nb=")
    ...     (partition,) = open_source(f"file://{folder}/*.log?follow=true").partitions()
    ...     batches = partition.read(None)
    ...     first = next(batches).frame["raw"].to_list()
    ...     with path.open("ab") as file:
    ...         _ = file.write(b"2\n")
    ...     first, next(batches).frame["raw"].to_list(), partition.finished(8)
    ([b'a=1'], [b'b=2'], False)
    """

    clock: Clock = field(default_factory=SystemClock, compare=False)

    @property
    def finite(self) -> bool:
        """Whether it ends by itself: not as a file does that is read once."""
        return False

    @property
    def portable(self) -> bool:
        """Whether another process can read it: not while it may move."""
        return False

    def read(self, position: int | None) -> Iterator[Batch]:
        """Read lines as they come; a position is the number of decompressed bytes before it.

        Raises
        ------
        SourceUnreadable
            The file ends before the position, or is compressed, and cut or corrupt.
        """
        try:
            compressed, descriptor = is_compressed(self.path), os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return  # it was moved: it is found under its new name
        try:
            if compressed:
                yield from super().read(position)
                return
            yield from read_lines(_Growing(self, descriptor, position or 0).read, position or 0)
        except _Left:
            return
        finally:
            os.close(descriptor)


class _Growing:
    """Reads from an open file, and sees what becomes of it."""

    def __init__(self, of: FollowedFile, descriptor: int, at: int) -> None:
        self.of, self.clock, self.descriptor = of, of.clock, descriptor
        self.at = at
        self.grown = self.clock.monotonic()
        self.all_read = False
        if not self._same():
            raise _Left
        self._check_length()

    def read(self, size: int) -> bytes | None:
        if self.of.prefix < PREFIX <= self.at:
            raise _Left  # to be known by its whole beginning, wherever it is then
        if self.all_read:
            self.clock.sleep(LOOK)
        data = os.pread(self.descriptor, size, self.at)
        self.all_read = len(data) < size
        if not data:
            return self._ended()
        if not self._same():  # looked at after the data: they are of the file that this is
            raise _Left
        self.at += len(data)
        self.grown = self.clock.monotonic()
        return data

    def _ended(self) -> bytes | None:
        """Tell what an end means: None, that more may come; no bytes, that none will."""
        still = self.clock.monotonic() - self.grown
        if os.fstat(self.descriptor).st_size < self.at or not self._same():
            raise _Left
        if still >= (QUIET if self._in_place() else LINGER):
            return b""
        if still >= SETTLED and self.of.prefix < self.at:
            raise _Left
        return None

    def _in_place(self) -> bool:
        try:
            return os.path.samestat(self.of.path.stat(), os.fstat(self.descriptor))
        except FileNotFoundError:
            return False

    def _same(self) -> bool:
        return digest(os.pread(self.descriptor, self.of.prefix, 0)) == self.of.digest

    def _check_length(self) -> None:
        size = os.fstat(self.descriptor).st_size
        if size < self.at:
            raise SourceUnreadable(
                f"{self.of.path} ends at byte {size}, but was read up to {self.at} before: it was "
                "cut, or another file that begins alike has taken its place"
            )

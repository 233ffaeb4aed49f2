"""Standard input: beacons, one a line, from a pipe."""

from __future__ import annotations

import os
import secrets
import select
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

from .lines import read_lines
from .source import NONE_KNOWN, Batch, Source, SourcePartition

_PATIENCE: Final = 0.1


@dataclass(frozen=True)
class StdinSource(Source, SourcePartition):
    r"""The lines of a stream that can be read once: each run is a partition of its own.

    Parameters
    ----------
    stream
        A binary stream; None: the standard input of the process.
    incarnation
        Tells this run from all others.

    Examples
    --------
    >>> import io
    >>> (partition,) = StdinSource(io.BytesIO(b"a=1\nb=2")).partitions()
    >>> [batch.position for batch in partition.read(None)]
    [4, 7]
    """

    stream: IO[bytes] | None = None
    incarnation: str = field(default_factory=lambda: secrets.token_hex(8))

    def partitions(
        self, known: Mapping[str, Mapping[str, Any]] = NONE_KNOWN
    ) -> list[SourcePartition]:
        """There is one."""
        del known
        return [self]

    @property
    def portable(self) -> bool:
        """It is this process's own."""
        return False

    @property
    def identity(self) -> str:
        """Name of the partition in the archive."""
        return f"stdin-{self.incarnation}"

    def read(self, position: int | None) -> Iterator[Batch]:
        """Read what comes; what was read before cannot be read again."""
        stream = sys.stdin.buffer if self.stream is None else self.stream
        return read_lines(lambda size: _read(stream, size), position or 0)


def _read(stream: IO[bytes], size: int) -> bytes | None:
    """Read what there is, and do not wait long for it, so that the reader can be stopped."""
    try:
        descriptor = stream.fileno()
    except OSError:
        return stream.read(size)
    ready, _, _ = select.select([descriptor], [], [], _PATIENCE)
    return os.read(descriptor, size) if ready else None

"""What a source of beacons is: partitions that can be read from a position on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import polars as pl

from ..archive.segment import RAW

ARRIVING: Final = pl.Schema({name: dtype for name, dtype in RAW.items() if name != "received"})
"""The columns of a batch: a raw frame's, but for the time of receipt, which the receiver adds."""

NOTHING: Final = pl.DataFrame(schema=ARRIVING)
"""The batch of a source that is idle."""

NONE_KNOWN: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})


class SourceUnreadable(ValueError):
    """A source's data are broken, or not what the archive has read so far; names the source."""


class Batch(NamedTuple):
    """Beacons that arrived together.

    Parameters
    ----------
    frame
        Columns as `ARRIVING`; may be empty. Where a row has an ``offset``, a reader can resume at
        it: reading on from it gives this row first. Rows of one message have the same offset, and
        are in one batch.
    position
        Where reading resumes after these beacons; None where the source has no positions.
    """

    frame: pl.DataFrame
    position: int | None


class SourcePartition(ABC):
    """One ordered stream of beacons, received by one receiver at a time."""

    @property
    def finite(self) -> bool:
        """Whether it ends by itself."""
        return True

    @property
    def portable(self) -> bool:
        """Whether any process, on any machine that reaches it, can open it by its URL."""
        return True

    @property
    @abstractmethod
    def identity(self) -> str:
        """Name of the partition in the archive: stable, a safe file name, no credentials."""

    @property
    def age(self) -> str:
        """How long a beacon may wait to be published, where nobody says otherwise."""
        return "1s"

    @property
    def health(self) -> str | None:
        """What is wrong with the connection and since when, in a line; None while it stands.

        No credentials. May be asked from any thread.
        """
        return None

    def about(self) -> dict[str, Any]:
        """Tell what to record of this source in the archive, as JSON; no credentials."""
        return {}

    @abstractmethod
    def read(self, position: int | None) -> Iterator[Batch]:
        """Read on from a position that a batch gave, or from the beginning.

        The iterator ends where a finite source does. A live one yields an empty batch a few times
        a second while it is idle, so that its reader can look at the clock and be stopped;
        closing the iterator releases what it holds. It neither ends nor raises because a broker is
        gone: it connects again, yields empty batches meanwhile, and `health` says so.

        Raises
        ------
        SourceUnreadable
            The data are broken, or end before the position. What could be read whole was yielded.
        """

    def finished(self, position: int | None) -> bool:
        """Tell whether there is nothing to receive now, if all before the position is archived.

        It need not be told exactly where that costs: receiving it finds nothing then. Of a
        `Source.growing` it is, as thousands of files that are finished are to cost nothing.
        """
        del position
        return False

    @property
    def memory(self) -> timedelta | None:
        """How far back `recall` has to be told of what was received; None: not at all."""
        return None

    def recall(self, frame: pl.DataFrame) -> None:  # noqa: B027 - most need not know
        """Remember what a segment of this partition holds, before reading goes on.

        Parameters
        ----------
        frame
            A raw frame; segments come in order.
        """

    def acknowledge(self, position: int | None) -> None:  # noqa: B027 - most need not know
        """Tell the source that all before the position is durable."""


class Source(ABC):
    """Where beacons come from: one or more partitions."""

    @property
    def growing(self) -> bool:
        """Whether its partitions come and go: to be listed again every second or so.

        One that has come to its end is then received again, under the same name, when it is listed
        and not `SourcePartition.finished`.
        """
        return False

    @abstractmethod
    def partitions(
        self, known: Mapping[str, Mapping[str, Any]] = NONE_KNOWN
    ) -> list[SourcePartition]:
        """List the partitions.

        Parameters
        ----------
        known
            What the archive recorded of the partitions it has, by name (`Archive.sources`): a
            source that can change its looks, as a file that grows or is rotated, is recognised
            by it.

        Raises
        ------
        FileNotFoundError
            The source is not there.
        ValueError
            Two partitions cannot be told apart.
        """

"""What publishes beacons to a broker, a collector or a file, and knows what was confirmed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self


class PublishFailed(OSError):
    """The other side cannot be reached, or refuses; what `send` was given may or may not be there.

    Parameters
    ----------
    message
        What is wrong, in a line; no credentials.
    confirmed
        How many of the beacons were confirmed, of those from the first one on.
    """

    def __init__(self, message: str, confirmed: int = 0) -> None:
        super().__init__(message)
        self.confirmed = confirmed


class Publisher(ABC):
    """Sends beacons, and says which are safe on the other side.

    The stream or the queue is declared when the publisher is opened. As a context manager it is
    closed at the end.
    """

    @abstractmethod
    def send(self, bodies: Sequence[bytes]) -> int:
        """Send beacons in order, and wait until they are confirmed; few are under way at a time.

        Returns
        -------
        int
            How many were confirmed: all, unless the broker refused some.

        Raises
        ------
        PublishFailed
            The other side was not to be reached for a while. Where it can recognise what is sent
            twice, sending was tried again before that.
        """

    def close(self) -> None:  # noqa: B027 - some hold nothing
        """Release what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

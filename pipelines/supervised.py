"""What a supervisor looks after: receivers at their posts, and the records of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from .published import Tally
from .receiver import ReceiverProgress

_WELL: Final = frozenset({"new", "starting", "receiving", "finished", "stopped"})


class Post(Protocol):
    """A receiver at work: in a thread of this process, or on a worker. No method blocks."""

    @property
    def worker(self) -> str | None:
        """Address of the worker that it is on; None: this process."""

    @property
    def failure(self) -> Exception | None:
        """What ended it, if an exception did."""

    def look(self) -> ReceiverProgress:
        """Tell where it stood when last heard of.

        Raises
        ------
        Exception
            It is lost.
        """

    def stop(self, *, drain: bool = True) -> None:
        """Ask it to come to an end, see `Receiver.stop`."""

    def abandon(self) -> None:
        """Let go of it, dead or not; what it still does is fenced off by its successor."""


class Posts(Protocol):
    """Where receivers can be put to work."""

    def workers(self) -> Sequence[str | None]:
        """Tell where; nowhere, at times.

        Raises
        ------
        SchedulerLost
            Nowhere any more.
        """

    def start(self, partition: str, worker: str | None) -> Post:
        """Put a receiver to work; returns at once."""


@dataclass(frozen=True)
class ReceiverStatus:
    """How a source partition is received.

    Attributes
    ----------
    partition
        Its name.
    state
        Of its receiver, see `ReceiverProgress`; or ``restarting``, ``waiting for a worker``,
        ``given up``: it has died too often, and is tried again only now and then; ``lost``: it
        died while it was to stop.
    worker
        Where it is received; None: in this process.
    restarts
        How often it was started again.
    health
        What is wrong with the connection to the source.
    error
        What went wrong last.
    pending
        Beacons held and not published yet.

    Examples
    --------
    >>> status = ReceiverStatus("clicks", "restarting", None, 2, None, "OSError: gone", 0)
    >>> str(status), status.ailing
    ('clicks: restarting, restarts: 2, OSError: gone', True)
    """

    partition: str
    state: str
    worker: str | None
    restarts: int
    health: str | None
    error: str | None
    pending: int

    @property
    def ailing(self) -> bool:
        """Whether something is wrong with it."""
        return self.health is not None or self.state not in _WELL

    def __str__(self) -> str:
        text = f"{self.partition}: {self.state}"
        if self.worker is not None:
            text += f" on {self.worker}"
        if self.restarts:
            text += f", restarts: {self.restarts}"
        return ", ".join([text, *(each for each in (self.health, self.error) if each)])


@dataclass
class Supervised:
    """A source partition, and its receivers one after the other.

    Attributes
    ----------
    state
        See `ReceiverStatus`.
    done
        True once it has come to its end.
    failure
        What ended it for good, if something did.

    The others are the supervisor's notes.
    """

    name: str
    finite: bool
    tally: Tally
    state: str = "new"
    done: bool = False
    failure: Exception | None = None
    restarts: int = 0
    error: str | None = None
    worker: str | None = None
    post: Post | None = None
    last: ReceiverProgress | None = None
    unsettled: bool = False
    deaths: deque[float] = field(default_factory=deque)
    in_vain: deque[float] = field(default_factory=deque)
    steps: int = -1
    moved: float = 0.0
    due: float = 0.0
    started: float = 0.0
    trial: bool = False
    ending: bool = False
    stopping: bool = False

    @property
    def progress(self) -> ReceiverProgress:
        """Where it stands: of the present receiver, but rows, bytes and segments are of all."""
        last = self.last or ReceiverProgress(self.name, "new", 0, 0, 0, 0, 0, None, None)
        rows, size, segments = self.tally.total
        return replace(last, rows=rows, bytes=size, segments=segments)

    @property
    def status(self) -> ReceiverStatus:
        """How it is received."""
        last = self.last if self.post is not None or self.done else None
        health = last.health if last is not None and not self.done else None
        error = (last.error if last is not None else None) or self.error
        pending = last.pending if last is not None else 0
        return ReceiverStatus(
            self.name, self.state, self.worker, self.restarts, health, error, pending
        )

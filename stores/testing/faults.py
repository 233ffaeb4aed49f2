"""A backend to which things happen: rivals, crashes, lost connections."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from ..backend import Backend, ShardHead, ShardWrite
from ..errors import CommitUncertain
from ..generation import Generation


class CrashError(Exception):
    """The process ends here."""


@dataclass(frozen=True)
class Fault:
    """What happens to a commit.

    Parameters
    ----------
    error
        What the caller sees.
    commits
        How many of its writes are made before that.
    late
        How many of the next writes are made only after the caller saw it.
    landing
        When: before the caller reads again, between that read and its commit, or later.
    """

    error: type[Exception] = CommitUncertain
    commits: int = 0
    late: int = 0
    landing: Literal["before", "between", "later"] = "later"


class FaultyBackend:
    """A backend that does what it is told to, and otherwise what the real one does.

    Parameters
    ----------
    backend
        The real one.

    Attributes
    ----------
    between
        Called once, after the next read.
    fault
        Befalls the next commit.

    Examples
    --------
    >>> from beaconfold.stores import MemoryBackend, MergeableStore
    >>> from beaconfold.stores.testing import declaration, fold
    >>> backend = FaultyBackend(MemoryBackend())
    >>> store = MergeableStore(backend)
    >>> where = store.register(declaration())
    >>> backend.fault = Fault(CrashError, commits=1)
    >>> store.merge(where, fold([("p1", 0, 5, "ann"), ("p2", 0, 5, "ann")]))
    Traceback (most recent call last):
    beaconfold.stores.testing.faults.CrashError: after 1 of 2 writes
    >>> len(store.states(where))
    1
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.between: Callable[[], object] = lambda: None
        self.fault: Fault | None = None
        self._late: list[tuple[Generation, ShardWrite]] = []
        self._landing = "later"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def read(
        self, generation: Generation, shards: Sequence[int], keys: pl.DataFrame
    ) -> tuple[dict[int, ShardHead], pl.DataFrame]:
        """Read, and let others in before it is told."""
        if self._landing == "before":
            self.land()
        found = self.backend.read(generation, shards, keys)
        if self._landing == "between":
            self.land()
        between, self.between = self.between, lambda: None
        between()
        return found

    def commit(self, generation: Generation, writes: Sequence[ShardWrite]) -> list[bool]:
        """Commit, unless something happens."""
        if self.fault is None or not writes:
            return self.backend.commit(generation, writes)
        fault, self.fault = self.fault, None
        for write in writes[: fault.commits]:
            self.backend.commit(generation, [write])
        late = writes[fault.commits : fault.commits + fault.late]
        self._late = [(generation, write) for write in late]
        self._landing = fault.landing
        raise fault.error(f"after {min(fault.commits, len(writes))} of {len(writes)} writes")

    def land(self) -> list[bool]:
        """Make the writes that are late, and say which of them were made."""
        late, self._late, self._landing = self._late, [], "later"
        return [self.backend.commit(where, [write])[0] for where, write in late]

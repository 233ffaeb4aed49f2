"""What the author of a backend writes: optimistic compare-and-set over one shard at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from .generation import Generation, State

SHARDS = 64
"""Number of shards of a store, unless it is created with another."""


STEP = 2**24
"""Where a server may lose what it confirmed, each write raises a version by a random step up to
this, so that a version read of what was lost fits nothing later; it takes 10^11 writes to 2^62."""


class ShardHead(NamedTuple):
    """What a shard says of itself; every write to the shard raises its version."""

    version: int
    state: State
    ledger: bytes


class ShardWrite(NamedTuple):
    """New rows of one shard and its new ledger: all of it is written, or nothing.

    Parameters
    ----------
    shard
        Number of the shard.
    version
        Version at which the shard was read: the write holds only if it still has it.
    ledger
        The shard's new ledger, opaque to the backend.
    rows
        ``window: Int64`` (µs since 1970; 0 for a job without windows), ``key: String``, one column
        a state (``Int64``, ``Int128`` or ``Binary``, null for no data), ``updated_at: Int64`` (ms
        since 1970). A row takes the place of the one with its window and key.
    removed
        ``window`` and ``key`` of rows to delete, or None.
    """

    shard: int
    version: int
    ledger: bytes
    rows: pl.DataFrame
    removed: pl.DataFrame | None = None


class Backend(ABC):
    """A place that keeps states by (generation, shard, window, key), a ledger a shard, documents.

    Merging, codecs and retries are written once above it (`MergeableStore`), so a backend knows
    nothing of monoids. `beaconfold.stores.testing.BackendContract` checks every promise made here.

    A backend is used by many threads and processes at once. It is pickled by address, and opens
    connections when it first needs them; where the address leads to another store than the one
    that was pickled (another `id`), every use raises `StoreError`. No connection crosses a fork.

    Attributes
    ----------
    url
        Address that opens this store again from any working directory. May hold a password.
    id
        Random text made with the store: tells two stores at one address apart.
    shards
        Number of shards, fixed when the store is created.
    """

    url: str
    id: str
    shards: int

    @abstractmethod
    def check(self) -> None:
        """Find out whether the store can be reached from here, and is the one meant.

        Raises
        ------
        StoreError
            If it is not.
        """

    @abstractmethod
    def register(self, generation: Generation) -> Generation:
        """Add a generation if the store lacks it, and return it in the state that it has there.

        Every shard gets a head of version 0 with an empty ledger. The first generation of a job
        becomes live, and the one that readers see, in the same step; any other is building.
        """

    @abstractmethod
    def generations(self) -> list[Generation]:
        """Return all generations in the order of registration, dropped ones included."""

    @abstractmethod
    def live(self, job: str) -> Generation | None:
        """Return the generation that readers of a job see, or None for a job not held."""

    @abstractmethod
    def switch(self, generation: Generation) -> None:
        """Make this the generation that readers of its job see, in one atomic step.

        It becomes live on every shard; its predecessor stays as it is.

        Raises
        ------
        GenerationRetired, GenerationDropped
            If it no longer takes merges.
        """

    @abstractmethod
    def close_generation(self, generation: Generation, state: State) -> None:
        """Set the state to ``retired`` or ``dropped`` on every shard, raising their versions.

        Dropping deletes rows, ledgers and documents, and leaves heads in the state ``dropped``.
        Doing it again changes nothing.

        Raises
        ------
        StoreError
            If readers see this generation.
        GenerationDropped
            If a dropped generation is to be retired.
        """

    @abstractmethod
    def read(
        self, generation: Generation, shards: Sequence[int], keys: pl.DataFrame
    ) -> tuple[dict[int, ShardHead], pl.DataFrame]:
        """Read heads and rows, one consistent snapshot a shard.

        Parameters
        ----------
        generation
            A registered generation.
        shards
            The shards whose heads are wanted.
        keys
            ``shard: Int64``, ``window: Int64``, ``key: String``, without repetitions: the rows
            wanted, all of these shards. May be empty.

        Returns
        -------
        heads
            Shard → its head.
        rows
            ``shard``, ``window``, ``key`` and the states of the rows that exist, in any order.

        Raises
        ------
        StoreError
            If the generation is not registered.
        """

    @abstractmethod
    def commit(self, generation: Generation, writes: Sequence[ShardWrite]) -> list[bool]:
        """Write to shards, each on its own atomic and conditional on its version.

        Returns
        -------
        list of bool
            For each write: True if it was written and will survive a crash of this process, False
            if nothing of it was written because the shard is no longer at that version.

        Raises
        ------
        StoreUnavailable
            If the store cannot be reached: nothing was written.
        CommitUncertain
            If it went away before it answered, or refused after a part: some writes may have been
            made, now or soon.
        """

    @abstractmethod
    def scan(
        self,
        generation: Generation,
        *,
        since: int | None = None,
        until: int | None = None,
        shards: Sequence[int] | None = None,
        key: str | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows in batches of bounded size: ``window``, ``key``, states, ``updated_at``.

        Parameters
        ----------
        generation
            A registered generation.
        since, until
            Bounds of ``window`` in µs: from ``since`` on, before ``until``.
        shards
            Only these shards; None for all.
        key
            Only rows of this key.

        Raises
        ------
        GenerationDropped
            If its rows are gone.
        """

    @abstractmethod
    def put_document(self, generation: Generation, kind: str, name: str, value: bytes) -> None:
        """Keep a document under (generation, kind, name), in place of the one that was there.

        Raises
        ------
        GenerationDropped
            If the generation was dropped.
        """

    @abstractmethod
    def documents(
        self, generation: Generation, kind: str, name: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the names and values of a kind's documents by name, or of the named one only."""

    @abstractmethod
    def delete_document(self, generation: Generation, kind: str, name: str) -> None:
        """Delete a document, if it is there."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open; using the backend again opens it anew."""

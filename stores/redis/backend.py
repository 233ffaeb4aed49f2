"""The store on Redis, Valkey or a Redis Cluster: for many processes on many machines."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from ..backend import Backend, ShardHead, ShardWrite
from ..cells import CELL
from ..errors import StoreError
from ..generation import Generation, State
from .address import RedisAddress
from .commit import commit
from .documents import RedisDocuments
from .drop import drop_rows
from .entries import Entry, Registry
from .heads import RedisHeads
from .names import DOCUMENTS, Names, Shard
from .nodes import RedisNodes
from .registry import RedisRegistry
from .rows import RedisRows
from .runs import runs
from .scan import RedisScan
from .server import check_servers


class RedisBackend(Backend):
    """States in a Redis server (6.2 or later), Valkey, or a Redis Cluster.

    Each shard of a generation has its keys in one slot of a cluster. ``redis-cli`` shows them:
    ``beaconfold:{3.38}:head`` has the version, the state and the ledger of shard 38 of generation
    3; ``beaconfold:{3.38}:1763854800000000`` the numbers of the cells of one window (µs), by key;
    ``beaconfold:{3.38}:1763854800000000:users`` the states of ``users`` that are bytes.
    ``beaconfold:{store}:generations`` says what the generations are.

    Parameters
    ----------
    url
        As `RedisAddress` takes it.
    shards
        Number of shards of a new store.

    Raises
    ------
    ValueError
        If it is no URL of Redis.
    StoreUnavailable
        If the server cannot be reached.
    StoreLayoutError
        If something else is kept under the namespace, or the store has another number of shards.
    StoreError
        If the server is too old, evicts keys, or refuses.

    Examples
    --------
    ``RedisBackend("redis://localhost:6379/0?namespace=clicks")``
    """

    def __init__(self, url: str, shards: int | None = None) -> None:
        self._open(url)
        check_servers(self._nodes)
        registry = self._registry.make(shards)
        self.id, self.shards = registry.store["id"], int(registry.store["shards"])
        self._heads = RedisHeads(self._registry)

    def _open(self, url: str) -> None:
        address = RedisAddress(url)
        self.url = address.url
        self._nodes, self._names = RedisNodes(address), Names(address.namespace)
        self._registry = RedisRegistry(self._nodes, self._names)
        self._numbers: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        seeds = self._nodes.seeds
        return {"url": self.url, "id": self.id, "shards": self.shards, "seeds": seeds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._open(state["url"])
        self.id, self.shards = state["id"], state["shards"]
        self._nodes.seeds = state["seeds"]
        self._registry.id = self.id
        self._heads = RedisHeads(self._registry)

    def check(self) -> None:
        """Find out whether the store can be reached from here, and is the one meant."""
        self.close()
        check_servers(self._nodes)
        self._registry.read()

    def register(self, generation: Generation) -> Generation:
        """Add a generation if the store lacks it."""

        def change(registry: Registry) -> tuple[Entry | None, bool]:
            if generation.id in registry.entries:
                return None, False
            first = generation.job not in registry.live
            number = max((each.number for each in registry.entries.values()), default=-1) + 1
            known = Generation(
                generation.job,
                generation.fingerprint,
                generation.revision,
                "live" if first else "building",
                generation.declaration,
            )
            return Entry(number, known, settled=False), first

        registry = self._registry.read()
        if generation.id not in registry.entries:
            self._registry.change(change)
            registry = self._registry.read()
        entry = registry.entry(generation)
        self._settle(entry, generation)
        return entry.generation

    def generations(self) -> list[Generation]:
        """Return all generations in the order of registration."""
        return [entry.generation for entry in self._registry.read().entries.values()]

    def live(self, job: str) -> Generation | None:
        """Return the generation that readers of a job see."""
        registry = self._registry.read()
        for entry in registry.entries.values():
            if registry.live.get(job) == entry.number:
                return entry.generation
        return None

    def switch(self, generation: Generation) -> None:
        """Make this the generation that readers of its job see."""

        def change(registry: Registry) -> tuple[Entry | None, bool]:
            entry = registry.entry(generation)
            generation.refuse(entry.generation.state, "retired", "dropped")
            return (entry if entry.generation.state == "live" else entry.now(state="live")), True

        entry = self._registry.change(change)
        if entry is not None:
            self._settle(entry, generation)

    def close_generation(self, generation: Generation, state: State) -> None:
        """Retire or drop a generation."""

        def change(registry: Registry) -> tuple[Entry | None, bool]:
            entry = registry.entry(generation)
            if entry.generation.state == state:
                return None, False
            generation.refuse(entry.generation.state, "dropped")
            if registry.live.get(generation.job) == entry.number:
                raise StoreError(f"readers see {generation}: switch them to another one first")
            return entry.now(state=state), False

        self._registry.change(change)
        self._settle(self._registry.read().entry(generation), generation)

    def read(
        self, generation: Generation, shards: Sequence[int], keys: pl.DataFrame
    ) -> tuple[dict[int, ShardHead], pl.DataFrame]:
        """Read heads and rows, one snapshot a shard."""
        rows = self._rows(generation)
        cells = keys.select("shard", *CELL).sort("shard", "window")
        commands: dict[Shard, list[bytes]] = {shard: [] for shard in sorted(set(shards))}
        names = cells["key"].to_list()
        for (shard, window), start, stop in runs(cells, "shard", "window"):
            commands[shard] += rows.get(shard, window, names[start:stop])
        answers = self._heads.snapshots(rows.number, commands)
        heads = {shard: answers[shard][0] for shard in shards}
        found = rows.found(cells, [each for _, some in answers.values() for each in some])
        dropped = [shard for shard, head in heads.items() if head.state == "dropped"]
        if dropped:
            found = found.filter(~pl.col("shard").is_in(dropped))
        return heads, found.select("shard", *CELL, *generation.states)

    def commit(self, generation: Generation, writes: Sequence[ShardWrite]) -> list[bool]:
        """Write to the shards that are still at their versions."""
        return commit(self._heads, self._rows(generation), writes)

    def scan(
        self,
        generation: Generation,
        *,
        since: int | None = None,
        until: int | None = None,
        shards: Sequence[int] | None = None,
        key: str | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield rows in batches; a shard with few rows is one snapshot."""
        rows, some = self._rows(generation), range(self.shards) if shards is None else shards
        scan = RedisScan(self._heads, rows, generation)
        frames = scan.all(some, since, until)
        yield from frames if key is None else scan.of(key, some, since, until)

    def put_document(self, generation: Generation, kind: str, name: str, value: bytes) -> None:
        """Keep a document."""
        self._documents(generation).put(kind, name, value)

    def documents(
        self, generation: Generation, kind: str, name: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield documents by name."""
        yield from self._documents(generation).list(kind, name)

    def delete_document(self, generation: Generation, kind: str, name: str) -> None:
        """Delete a document, if it is there."""
        self._documents(generation).delete(kind, name)

    def close(self) -> None:
        """Close the connections of this process."""
        self._nodes.close()

    def _number(self, generation: Generation) -> int:
        """Return what a generation's keys are named by, which never changes."""
        if generation.id not in self._numbers:
            entry = self._registry.read().entry(generation)
            self._settle(entry, generation)  # if who registered it was stopped in the middle
            self._numbers[generation.id] = entry.number
        return self._numbers[generation.id]

    def _rows(self, generation: Generation) -> RedisRows:
        return RedisRows(self._names, generation, self._number(generation))

    def _documents(self, generation: Generation) -> RedisDocuments:
        return RedisDocuments(self._heads, generation, self._number(generation))

    def _settle(self, entry: Entry, generation: Generation) -> None:
        """Bring all shards to the state that the registry has, and note that they are."""
        if entry.settled:
            return
        state, shards = entry.generation.state, range(self.shards)
        self._heads.settle(entry.number, [*shards, DOCUMENTS], state)
        if state == "dropped":
            rows = RedisRows(self._names, generation, entry.number)
            drop_rows(self._heads, rows, shards)
            RedisDocuments(self._heads, generation, entry.number).drop()
        self._registry.settled(entry)

"""The store in memory: for tests and notebooks, and the measure of what the others must do."""

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

import polars as pl

from .backend import SHARDS, Backend, ShardHead, ShardWrite
from .cells import CELL
from .errors import StoreError, StoreLayoutError
from .generation import Generation, State
from .rows import to_frame

BATCH = 50_000
DATED = {"updated_at": pl.Int64()}


@dataclass
class _Held:
    """A generation's rows and documents, and what its shards say of themselves."""

    generation: Generation
    heads: list[ShardHead]
    rows: list[dict[tuple[int, str], tuple[Any, ...]]]
    documents: defaultdict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))


class _Memory:
    """The contents of one store; a lock makes each step atomic."""

    def __init__(self, shards: int) -> None:
        self.id = uuid.uuid4().hex
        self.shards = shards
        self.lock = threading.RLock()
        self.held: dict[str, _Held] = {}
        self.live: dict[str, str] = {}


_NAMED: dict[str, _Memory] = {}
_REACHABLE: WeakValueDictionary[str, _Memory] = WeakValueDictionary()


class MemoryBackend(Backend):
    """States in this process's memory.

    Parameters
    ----------
    name
        The same name is the same store, for as long as the process lives. Without one it is a new
        store, which goes with its last user; until then its id is its name.
    shards
        Number of shards of a new store.

    Raises
    ------
    StoreLayoutError
        If the named store has another number of shards.

    Examples
    --------
    >>> MemoryBackend("a").id == MemoryBackend("a").id, MemoryBackend().id == MemoryBackend().id
    (True, False)
    """

    def __init__(self, name: str = "", shards: int | None = None) -> None:
        memory = _NAMED.get(name) or _REACHABLE.get(name) if name else None
        if memory is None:
            memory = _Memory(shards or SHARDS)
            if name:
                memory = _NAMED.setdefault(name, memory)
        if shards not in (None, memory.shards):
            raise StoreLayoutError(f"memory://{name} has {memory.shards} shards, not {shards}")
        self.url = f"memory://{name or memory.id}"
        self.id, self.shards = memory.id, memory.shards
        self._memory: _Memory | None = memory
        _REACHABLE[self.id] = memory

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memory": None}

    def check(self) -> None:
        """Find out whether the store is in this process."""
        self._reached()

    def register(self, generation: Generation) -> Generation:
        """Add a generation if the store lacks it."""
        memory = self._reached()
        with memory.lock:
            if generation.id not in memory.held:
                first = generation.job not in memory.live
                state: State = "live" if first else "building"
                memory.live.setdefault(generation.job, generation.id)
                memory.held[generation.id] = _Held(
                    replace(generation, state=state),
                    [ShardHead(0, state, b"")] * self.shards,
                    [{} for _ in range(self.shards)],
                )
            return memory.held[generation.id].generation

    def generations(self) -> list[Generation]:
        """Return all generations in the order of registration."""
        memory = self._reached()
        with memory.lock:
            return [held.generation for held in memory.held.values()]

    def live(self, job: str) -> Generation | None:
        """Return the generation that readers of a job see."""
        memory = self._reached()
        with memory.lock:
            return memory.held[memory.live[job]].generation if job in memory.live else None

    def switch(self, generation: Generation) -> None:
        """Make this the generation that readers of its job see."""
        memory = self._reached()
        with memory.lock:
            held = self._writable(memory, generation)
            self._set_state(held, "live")
            memory.live[generation.job] = generation.id

    def close_generation(self, generation: Generation, state: State) -> None:
        """Retire or drop a generation."""
        memory = self._reached()
        with memory.lock:
            held = self._held(memory, generation)
            if held.generation.state == state:
                return
            generation.refuse(held.generation.state, "dropped")
            if memory.live[generation.job] == generation.id:
                raise StoreError(f"readers see {generation}: switch them to another one first")
            self._set_state(held, state)
            if state == "dropped":
                held.heads = [head._replace(ledger=b"") for head in held.heads]
                held.rows = [{} for _ in range(self.shards)]
                held.documents.clear()

    def read(
        self, generation: Generation, shards: Sequence[int], keys: pl.DataFrame
    ) -> tuple[dict[int, ShardHead], pl.DataFrame]:
        """Read heads and rows."""
        memory = self._reached()
        with memory.lock:
            held = self._held(memory, generation)
            heads = {shard: held.heads[shard] for shard in shards}
            found = [
                (shard, window, key, *row[:-1])
                for shard, window, key in keys.select("shard", *CELL).iter_rows()
                if (row := held.rows[shard].get((window, key))) is not None
            ]
        return heads, to_frame(found, {"shard": pl.Int64(), **CELL, **generation.states})

    def commit(self, generation: Generation, writes: Sequence[ShardWrite]) -> list[bool]:
        """Write to the shards that are still at their versions."""
        memory = self._reached()
        return [self._commit(memory, generation, write) for write in writes]

    def scan(
        self,
        generation: Generation,
        *,
        since: int | None = None,
        until: int | None = None,
        shards: Sequence[int] | None = None,
        key: str | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield rows in batches of one shard."""
        memory = self._reached()
        schema = {**CELL, **generation.states, **DATED}
        for shard in range(self.shards) if shards is None else shards:
            with memory.lock:
                held = self._held(memory, generation)
                generation.refuse(held.generation.state, "dropped")
                rows = [
                    (*cell, *row)
                    for cell, row in held.rows[shard].items()
                    if (since is None or since <= cell[0])
                    and (until is None or cell[0] < until)
                    and (key is None or key == cell[1])
                ]
            for start in range(0, len(rows), BATCH):
                yield to_frame(rows[start : start + BATCH], schema)

    def put_document(self, generation: Generation, kind: str, name: str, value: bytes) -> None:
        """Keep a document."""
        memory = self._reached()
        with memory.lock:
            held = self._held(memory, generation)
            generation.refuse(held.generation.state, "dropped")
            held.documents[kind][name] = value

    def documents(
        self, generation: Generation, kind: str, name: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield documents by name."""
        memory = self._reached()
        with memory.lock:
            found = sorted(self._held(memory, generation).documents[kind].items())
        yield from (item for item in found if name in (None, item[0]))

    def delete_document(self, generation: Generation, kind: str, name: str) -> None:
        """Delete a document, if it is there."""
        memory = self._reached()
        with memory.lock:
            self._held(memory, generation).documents[kind].pop(name, None)

    def close(self) -> None:
        """Do nothing: memory is not closed."""

    def _reached(self) -> _Memory:
        if self._memory is None:
            self._memory = _REACHABLE.get(self.id)
            if self._memory is None:
                raise StoreError(
                    f"{self.url} lives in the process that made it: "
                    "use sqlite:///path, which other processes can open"
                )
        return self._memory

    def _commit(self, memory: _Memory, generation: Generation, write: ShardWrite) -> bool:
        dated = list(write.rows.select(*CELL, *generation.states, *DATED).iter_rows())
        with memory.lock:
            held = self._held(memory, generation)
            head = held.heads[write.shard]
            if head.version != write.version:
                return False
            rows = held.rows[write.shard]
            rows.update({(window, key): tuple(row) for window, key, *row in dated})
            if write.removed is not None:
                for cell in write.removed.select(*CELL).iter_rows():
                    rows.pop(cell, None)
            held.heads[write.shard] = ShardHead(head.version + 1, head.state, write.ledger)
            return True

    @staticmethod
    def _held(memory: _Memory, generation: Generation) -> _Held:
        try:
            return memory.held[generation.id]
        except KeyError:
            raise StoreError(f"{generation} is not registered in this store") from None

    def _writable(self, memory: _Memory, generation: Generation) -> _Held:
        held = self._held(memory, generation)
        generation.refuse(held.generation.state, "retired", "dropped")
        return held

    @staticmethod
    def _set_state(held: _Held, state: State) -> None:
        held.generation = replace(held.generation, state=state)
        held.heads = [head._replace(version=head.version + 1, state=state) for head in held.heads]

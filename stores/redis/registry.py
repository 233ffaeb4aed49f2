"""What a store on Redis knows of itself: its id and shards, its generations, what readers see."""

import random
import time
import uuid
from collections.abc import Callable

from ..backend import SHARDS
from ..errors import CommitUncertain, StoreError, StoreLayoutError, StoreUnavailable
from .entries import Entry, Registry
from .guarded import Guarded, guarded
from .names import STORE, Names
from .nodes import RedisNodes
from .protocol import Batch, Reply, packed

LAYOUT = 1
"""The layout that this version reads and writes."""

ATTEMPTS, PAUSE = 100, 0.01
"""How often a change is tried while others make theirs, and the longest pause in seconds."""

LOOKS = 1000
"""Pages of a thousand keys that are looked through before a store is made."""


Change = Callable[[Registry], tuple[Entry | None, bool]]
"""From a snapshot to the entry that shall be in it, if any, and whether readers shall see it."""


class RedisRegistry:
    """The registry of one store, in three hashes under one hash tag.

    Parameters
    ----------
    nodes, names
        Where.
    id
        Id of the store that is meant; empty until it is known.
    """

    def __init__(self, nodes: RedisNodes, names: Names, id: str = "") -> None:  # noqa: A002
        self.nodes, self.names, self.id = nodes, names, id
        keys = (names.store, names.generations, names.live)
        self._questions = [packed("HGETALL", key) for key in keys]

    def read(self) -> Registry:
        """Read the registry.

        Raises
        ------
        StoreError
            If the store is gone, or there is another one now.
        StoreLayoutError
            If it is of another layout, or no store.
        """
        (answers,) = self.nodes.run([Batch(STORE, self._questions)])
        return self._checked(answers)

    def make(self, shards: int | None) -> Registry:
        """Make the store, unless it is there; of several that try at once, one does."""
        shown = self.nodes.address.shown
        fields = ("layout", LAYOUT, "id", uuid.uuid4().hex, "shards", shards or SHARDS)

        def decide(answers: list[Reply]) -> list[bytes]:
            if answers[0]:
                return []
            return [packed("HSET", self.names.store, *fields)]

        if not self._there():
            stranger = self._stranger()
            if stranger is not None and not self._there():
                raise StoreLayoutError(
                    f"{shown}: there is no store, but something else: {stranger}; "
                    "choose another namespace"
                )
            self._transact(decide)
        found = self.read()
        if shards not in (None, int(found.store["shards"])):
            raise StoreLayoutError(f"{shown} has {found.store['shards']} shards, not {shards}")
        self.id = found.store["id"]
        return found

    def change(self, change: Change) -> Entry | None:
        """Change one entry, in one atomic step, and return it; None where nothing shall change."""
        entry: Entry | None = None

        def decide(answers: list[Reply]) -> list[bytes]:
            nonlocal entry
            registry = self._checked(answers)
            entry, live = change(registry)
            if entry is None:
                return []
            commands = [
                packed("HINCRBY", self.names.store, "changes", 1),
                packed("HSET", self.names.generations, entry.number, entry.encode()),
            ]
            if live:
                commands.append(packed("HSET", self.names.live, entry.generation.job, entry.number))
            return commands

        self._transact(decide)
        return entry

    def settled(self, entry: Entry) -> None:
        """Note that all shards are in the state of an entry, if it is still the present one."""

        def change(registry: Registry) -> tuple[Entry | None, bool]:
            now = registry.entry(entry.generation)
            same = now.generation.state == entry.generation.state and not now.settled
            return (now._replace(settled=True) if same else None), False

        self.change(change)

    def _transact(self, decide: Callable[[list[Reply]], list[bytes]]) -> None:
        """Try until nobody else was first; a change is decided anew each time."""
        guard = Guarded(STORE, self.names.store, self._questions, decide)
        for attempt in range(ATTEMPTS):
            try:
                (done,) = guarded(self.nodes, [guard])
            except CommitUncertain:
                if attempt + 1 == ATTEMPTS:
                    raise
                continue
            if done is not None:
                return
            time.sleep(random.uniform(0, PAUSE))  # noqa: S311 - no secret
        raise StoreUnavailable(
            f"{self.nodes.address.shown}: the registry cannot be changed: others change it all the "
            "time, or the cluster is being rearranged"
        )

    def _checked(self, answers: list[Reply]) -> Registry:
        shown = self.nodes.address.shown
        if not answers[0]:
            raise StoreError(
                f"{shown}: the store is gone: the server was emptied, or lost its data"
            )
        try:
            found = Registry.of(answers)
            layout, name, _ = (found.store[name] for name in ("layout", "id", "shards"))
        except (KeyError, ValueError, TypeError):
            raise StoreLayoutError(f"{shown}: {self.names.store} is no store") from None
        if layout != str(LAYOUT):
            raise StoreLayoutError(
                f"{shown}: written by another version/layout: {layout}, this one reads {LAYOUT}"
            )
        if self.id not in ("", name):
            raise StoreError(f"{shown} is another store than the one opened first")
        return found

    def _there(self) -> bool:
        ((store, *_),) = self.nodes.run([Batch(STORE, self._questions)])
        return bool(store)

    def _stranger(self) -> str | None:
        """Find a key in the namespace, of a store that was deleted in part, or of somebody else."""
        pattern = f"{self.names.namespace}:{{*"
        for node in self.nodes.all():
            cursor = b"0"
            for _ in range(LOOKS):
                cursor, found = self.nodes.ask(
                    node, "SCAN", cursor, "MATCH", pattern, "COUNT", 1000
                )
                if found:
                    name: str = found[0].decode(errors="replace")
                    return name
                if cursor == b"0":
                    break
        return None

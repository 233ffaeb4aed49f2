"""The heads of a generation's shards, and the states that they are raised through."""

import random
import time
from collections.abc import Mapping, Sequence
from typing import get_args

from ..backend import STEP, ShardHead
from ..errors import CommitUncertain, StoreError, StoreUnavailable
from ..generation import State
from .guarded import Guarded, guarded
from .names import Shard
from .protocol import Batch, Reply, packed
from .registry import RedisRegistry

ORDER: tuple[State, ...] = get_args(State)
"""States in the order in which a generation goes through them; there is no way back."""

ATTEMPTS, PAUSE = 100, 0.02
"""How often a head is tried while others write, and the longest pause in seconds."""


class RedisHeads:
    """The heads in one store: each a hash, watched by every transaction on its shard.

    Every write raises ``version``, by a random step as a server that lost power, or a replica that
    takes over, lacks the last writes. The id of the store is in each head, so that a transaction
    on another store at the same address does nothing.

    Parameters
    ----------
    registry
        Of the store, whose id is known.
    """

    def __init__(self, registry: RedisRegistry) -> None:
        self.nodes, self.names, self.store = registry.nodes, registry.names, registry.id
        self.registry = registry

    def get(self, generation: int, shard: Shard) -> bytes:
        """Write the command that reads a head."""
        return packed(
            "HMGET", self.names.head(generation, shard), "store", "version", "state", "ledger"
        )

    def read(self, answer: Reply) -> ShardHead | None:
        """Read the reply to `get`; None for no head of this store."""
        store, version, state, ledger = answer
        if store is None or store.decode() != self.store:
            return None
        found: State = state.decode()
        return ShardHead(int(version), found, ledger)

    def snapshots(
        self, generation: int, commands: Mapping[Shard, Sequence[bytes]]
    ) -> dict[Shard, tuple[ShardHead, list[Reply]]]:
        """Read from several shards, of each its head and the replies to some commands as one.

        Raises
        ------
        StoreError
            If a head is gone.
        """
        answers = self.nodes.run(
            [
                Batch(self.names.tag(generation, shard), [self.get(generation, shard), *some])
                for shard, some in commands.items()
            ]
        )
        found: dict[Shard, tuple[ShardHead, list[Reply]]] = {}
        for shard, (first, *others) in zip(commands, answers, strict=True):
            head = self.read(first)
            if head is None:
                self.registry.read()  # tells whether the store is gone, or another one
                raise StoreError(
                    f"{self.nodes.address.shown}: shard {shard} of generation {generation} is "
                    "gone: the server lost a part of its data; backfill into a new store"
                )
            found[shard] = head, others
        return found

    def commit(self, generation: int, shard: Shard, ledger: bytes) -> tuple[bytes, bytes]:
        """Write the commands that end a write: the version and the ledger."""
        name = self.names.head(generation, shard)
        return _raised(name), packed("HSET", name, "ledger", ledger)

    def settle(self, generation: int, shards: Sequence[Shard], state: State) -> None:
        """Bring all heads to a state, making those that are not there.

        A head that is further on stays as it is, so that it does no harm to do this twice, or
        late, or at the same time as somebody else.
        """
        todo = list(shards)
        for _ in range(ATTEMPTS):
            try:
                done = guarded(
                    self.nodes, [self._settled(generation, shard, state) for shard in todo]
                )
            except CommitUncertain:
                done = [None] * len(todo)
            todo = [shard for shard, result in zip(todo, done, strict=True) if result is None]
            if not todo:
                return
            time.sleep(random.uniform(0, PAUSE))  # noqa: S311 - no secret
        raise StoreUnavailable(
            f"{self.nodes.address.shown}: shards {todo} of generation {generation} cannot be "
            f"made {state}: others write there all the time, or the cluster is being rearranged"
        )

    def _settled(self, generation: int, shard: Shard, state: State) -> Guarded:
        name = self.names.head(generation, shard)

        def decide(answers: list[Reply]) -> list[bytes]:
            head = self.read(answers[0])
            if head is None and answers[0][0] is not None:
                raise StoreError(f"{self.nodes.address.shown}: {name} is another store's")
            if head is None:
                fields = ("store", self.store, "version", 0, "state", state, "ledger", b"")
                return [packed("HSET", name, *fields)]
            if ORDER.index(head.state) >= ORDER.index(state):
                return []
            ledger = b"" if state == "dropped" else head.ledger
            return [_raised(name), packed("HSET", name, "state", state, "ledger", ledger)]

        return Guarded(
            self.names.tag(generation, shard), name, [self.get(generation, shard)], decide
        )


def _raised(name: str) -> bytes:
    """Write the command that raises the version of a head."""
    return packed("HINCRBY", name, "version", random.randint(1, STEP))  # noqa: S311 - no secret

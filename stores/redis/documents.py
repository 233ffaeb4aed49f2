"""Documents of generations: a hash for each kind, guarded by a head as a shard's rows are."""

from collections.abc import Iterator, Sequence

from ..errors import CommitUncertain
from ..generation import Generation
from .guarded import Guarded, guarded
from .heads import RedisHeads
from .names import DOCUMENTS, Shard
from .protocol import Argument, Reply, packed

PAGE = 100
"""Documents read by one command."""


class RedisDocuments:
    """The documents of one generation.

    Parameters
    ----------
    heads, generation, number
        Where.
    """

    def __init__(self, heads: RedisHeads, generation: Generation, number: int) -> None:
        self.heads, self.generation, self.number = heads, generation, number
        self.nodes, self.names = heads.nodes, heads.names
        self.tag = self.names.tag(number, DOCUMENTS)

    def put(self, kind: str, name: str, value: bytes) -> None:
        """Keep a document, unless the generation is dropped.

        Raises
        ------
        GenerationDropped
            If it is.
        """

        def decide(answers: list[Reply]) -> list[bytes] | None:
            head = self.heads.read(answers[0])
            if head is None:
                return None
            self.generation.refuse(head.state, "dropped")
            return [
                packed("SADD", self.names.kinds(self.number), kind),
                packed("HSET", self.names.documents(self.number, kind), name, value),
            ]

        guard = Guarded(
            self.tag,
            self.names.head(self.number, DOCUMENTS),
            [self.heads.get(self.number, DOCUMENTS)],
            decide,
        )
        while True:
            try:
                (done,) = guarded(self.nodes, [guard])
            except CommitUncertain:
                continue  # putting it twice does no harm
            if done is not None:
                return
            self._ask("EXISTS", self.names.kinds(self.number))  # raises if the store is gone

    def list(self, kind: str, name: str | None = None) -> Iterator[tuple[str, bytes]]:
        """Yield documents by name, or the named one."""
        key = self.names.documents(self.number, kind)
        names: list[bytes] = self._ask("HKEYS", key) if name is None else [name.encode()]
        names.sort()
        for start in range(0, len(names), PAGE):
            page = names[start : start + PAGE]
            values = self._ask("HMGET", key, *page)
            for each, value in zip(page, values, strict=True):
                if value is not None:
                    yield each.decode(), value

    def delete(self, kind: str, name: str) -> None:
        """Delete a document, if it is there."""
        key = self.names.documents(self.number, kind)
        self._ask("HDEL", key, name)

    def drop(self) -> None:
        """Delete all."""
        kinds = self.names.kinds(self.number)
        found = self._ask("SMEMBERS", kinds)
        self._ask("UNLINK", kinds, *(self.names.documents(self.number, k.decode()) for k in found))

    def _ask(self, *command: Argument) -> Reply:
        """Ask what may be asked twice, if the store is still the one that is meant."""
        asked: dict[Shard, Sequence[bytes]] = {DOCUMENTS: [packed(*command)]}
        (_, (answer,)) = self.heads.snapshots(self.number, asked)[DOCUMENTS]
        return answer

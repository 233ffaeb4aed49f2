"""The commit: each shard's rows, index and head in one transaction, if its version still holds."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

from ..backend import ShardWrite
from ..errors import StoreError
from .guarded import Guarded, guarded
from .heads import RedisHeads
from .protocol import Reply, packed
from .rows import RedisRows
from .windows import member
from .writes import RedisWrites


class _Commit:
    """One write, packed while the server works for the one before."""

    def __init__(self, heads: RedisHeads, writes: RedisWrites, place: int) -> None:
        self.heads, self.writes, self.place = heads, writes, place
        self.write, self.number = writes.writes[place], writes.rows.number
        self.emptied = writes.emptied(place)
        self.hashes = [writes.rows.hashes(self.write.shard, each)[0] for each in self.emptied]

    @cached_property
    def commands(self) -> list[bytes]:
        return [
            *self.writes.commands(self.place),
            *self.heads.commit(self.number, self.write.shard, self.write.ledger),
            *(packed("EXISTS", name) for name in self.hashes),
        ]

    def decide(self, answers: list[Reply]) -> list[bytes] | None:
        head = self.heads.read(answers[0])
        return self.commands if head is not None and head.version == self.write.version else None

    def guarded(self) -> Guarded:
        heads, shard = self.heads, self.write.shard
        return Guarded(
            heads.names.tag(self.number, shard),
            heads.names.head(self.number, shard),
            [heads.get(self.number, shard)],
            self.decide,
            lambda: self.commands,
        )

    def tidied(self, done: list[Reply]) -> Guarded | None:
        """Take windows that lost their last row off the index, unless somebody writes there."""
        gone = done[len(done) - len(self.hashes) :]
        windows = [each for each, there in zip(self.emptied, gone, strict=True) if not there]
        if not windows:
            return None
        index = self.heads.names.windows(self.number, self.write.shard)
        command = packed("ZREM", index, *(member(window) for window in windows))

        def decide(answers: list[Reply]) -> list[bytes] | None:
            return None if any(answers) else [command]

        exist = [
            packed("EXISTS", self.writes.rows.hashes(self.write.shard, each)[0]) for each in windows
        ]
        return self.guarded()._replace(questions=exist, decide=decide, prepare=lambda: None)


def commit(heads: RedisHeads, rows: RedisRows, writes: Sequence[ShardWrite]) -> list[bool]:
    """Write to the shards that are still at their versions.

    Returns
    -------
    list of bool
        For each write, whether it was made.

    Raises
    ------
    StoreUnavailable, CommitUncertain
        As `guarded` raises them.
    """
    if not writes:
        return []
    together = RedisWrites(rows, writes)
    commits = [_Commit(heads, together, place) for place in range(len(writes))]
    done = guarded(heads.nodes, [each.guarded() for each in commits])
    tidied = [
        each.tidied(answers)
        for each, answers in zip(commits, done, strict=True)
        if answers is not None and each.emptied
    ]
    # The commit is made: an index that is not tidied does no harm.
    with suppress(StoreError):
        guarded(heads.nodes, [each for each in tidied if each is not None])
    return [answers is not None for answers in done]

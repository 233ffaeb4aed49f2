"""The deletion of a generation's rows, in steps that hold nobody up."""

from collections.abc import Sequence

from .heads import RedisHeads
from .names import Shard
from .protocol import packed
from .rows import RedisRows
from .windows import listed

STEP = 200
"""Keys let go by one command; the server frees their memory in the background."""


def drop_rows(heads: RedisHeads, rows: RedisRows, shards: Sequence[Shard]) -> None:
    """Delete all rows of some shards, whose heads say that nobody writes there any more.

    The index of a shard goes last, so that what is stopped in the middle can be done again.
    """
    for pages in listed(heads, rows.number, shards):
        todo = {
            shard: [name for window in page for name in rows.hashes(shard, window)]
            for shard, (_, page) in pages.items()
        }
        while todo := {shard: names for shard, names in todo.items() if names}:
            some = {shard: [packed("UNLINK", *names[:STEP])] for shard, names in todo.items()}
            heads.snapshots(rows.number, some)
            todo = {shard: names[STEP:] for shard, names in todo.items()}
    indexes = {shard: heads.names.windows(rows.number, shard) for shard in shards}
    heads.snapshots(rows.number, {shard: [packed("UNLINK", indexes[shard])] for shard in shards})

"""The deletion of a generation's rows, in steps that hold nobody up."""

from collections.abc import Sequence

from .redis_names import Names, Shard
from .redis_nodes import Batch, RedisNodes, packed
from .redis_rows import RedisRows
from .redis_windows import listed

STEP = 200
"""Keys let go by one command; the server frees their memory in the background."""


def drop_rows(nodes: RedisNodes, names: Names, rows: RedisRows, shards: Sequence[Shard]) -> None:
    """Delete all rows of some shards, whose heads say that nobody writes there any more.

    The index of a shard goes last, so that what is stopped in the middle can be done again.
    """
    for pages in listed(nodes, names, rows.number, shards):
        todo = {
            names.tag(rows.number, shard): [
                name for window in page for name in rows.hashes(shard, window)
            ]
            for shard, page in pages.items()
        }
        while todo:
            nodes.run([Batch(tag, [packed("UNLINK", *some[:STEP])]) for tag, some in todo.items()])
            todo = {tag: some[STEP:] for tag, some in todo.items() if some[STEP:]}
    nodes.run(
        [
            Batch(
                names.tag(rows.number, shard), [packed("UNLINK", names.windows(rows.number, shard))]
            )
            for shard in shards
        ]
    )

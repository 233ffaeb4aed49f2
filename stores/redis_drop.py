"""The deletion of a generation's rows, in steps that hold nobody up."""

from collections.abc import Sequence

from .redis_names import Names
from .redis_nodes import Batch, RedisNodes, packed
from .redis_rows import RedisRows
from .redis_windows import listed

STEP = 200
"""Keys let go by one command; the server frees their memory in the background."""


def drop_rows(nodes: RedisNodes, names: Names, rows: RedisRows, shards: Sequence[int]) -> None:
    """Delete all rows of some shards, whose heads say that nobody writes there any more.

    The index of a shard goes last, so that what is stopped in the middle can be done again.
    """
    for shard in shards:
        tag = names.tag(rows.number, shard)
        for page in listed(nodes, names, rows.number, shard):
            hashes = [name for window in page for name in rows.hashes(shard, window)]
            for start in range(0, len(hashes), STEP):
                nodes.run([Batch(tag, [packed("UNLINK", *hashes[start : start + STEP])])])
        nodes.run([Batch(tag, [packed("UNLINK", names.windows(rows.number, shard))])])

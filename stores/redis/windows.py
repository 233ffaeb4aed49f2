"""The index of a shard's windows, in order: a sorted set whose members sort as they are."""

from collections.abc import Iterator, Sequence

from ..generation import State
from .heads import RedisHeads
from .names import Shard
from .protocol import Argument, packed

PAGE = 1000
"""Windows listed by one command: about a millisecond of the server's time."""

_DIGITS, _BELOW = 19, 2**63


def member(window: int) -> str:
    """Write a window so that texts sort like the numbers (scores are not exact beyond 2^53).

    Examples
    --------
    >>> member(1_763_854_800_000_000), member(-1)
    ('0001763854800000000', '-9223372036854775807')
    >>> sorted([10, -(2**63), 5, -1], key=member)
    [-9223372036854775808, -1, 5, 10]
    """
    if window < 0:
        return f"-{window + _BELOW:0{_DIGITS}d}"
    return f"{window:0{_DIGITS}d}"


def parsed(text: bytes) -> int:
    """Read what `member` wrote.

    Examples
    --------
    >>> [parsed(member(window).encode()) for window in (-(2**63), -1, 0, 5)]
    [-9223372036854775808, -1, 0, 5]
    """
    if text[:1] == b"-":
        return int(text[1:]) - _BELOW
    return int(text)


def add(name: str, windows: Sequence[int]) -> bytes:
    """Write the command that adds windows to an index."""
    scored: list[Argument] = [part for window in windows for part in ("0", member(window))]
    return packed("ZADD", name, *scored)


def listed(
    heads: RedisHeads,
    generation: int,
    shards: Sequence[Shard],
    since: int | None = None,
    until: int | None = None,
) -> Iterator[dict[Shard, tuple[State, list[int]]]]:
    """Yield the windows of several shards, each in order, up to a page of each at a time.

    Parameters
    ----------
    heads, generation, shards
        Where.
    since, until
        Bounds: from ``since`` on, before ``until``.

    Yields
    ------
    dict
        Shard → its state and some windows.
    """
    stop = "+" if until is None else f"({member(until)}"
    starts = dict.fromkeys(shards, "-" if since is None else f"[{member(since)}")
    while starts:
        commands = {
            shard: [packed("ZRANGEBYLEX", index, start, stop, "LIMIT", 0, PAGE)]
            for shard, start in starts.items()
            for index in [heads.names.windows(generation, shard)]
        }
        found = heads.snapshots(generation, commands)
        yield {
            shard: (head.state, [parsed(each) for each in page])
            for shard, (head, (page,)) in found.items()
        }
        starts = {
            shard: f"({page[-1].decode()}"
            for shard, (_, (page,)) in found.items()
            if len(page) == PAGE
        }

"""Segments in pieces of about equal work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .archive import SegmentRef

MOST_BYTES: Final = 32 << 20
"""Of a piece: about a second's work, so that the scheduler's share of the time is small."""

MOST: Final = 200
"""Segments of a piece: even the smallest has a cost of its own."""


def chunks(refs: Sequence[SegmentRef]) -> Iterator[list[SegmentRef]]:
    """Cut a list of segments into pieces, in order.

    Examples
    --------
    >>> from beaconfold.stores import SegmentId
    >>> ids = [SegmentId("a1", "web", 1, number) for number in range(5)]
    >>> refs = [SegmentRef(segment, "", 12 << 20) for segment in ids]
    >>> [len(piece) for piece in chunks(refs)]
    [2, 2, 1]
    """
    piece: list[SegmentRef] = []
    size = 0
    for ref in refs:
        if piece and (size + ref.size > MOST_BYTES or len(piece) == MOST):
            yield piece
            piece, size = [], 0
        piece.append(ref)
        size += ref.size
    if piece:
        yield piece

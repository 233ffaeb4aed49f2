"""Sorted sets of words, all groups of a column at once: what sparse HyperLogLog states are.

A word is a state's header or a coupon (see `beaconfold.monoids.hll_state`). The header is below
every coupon, so the distinct words of some sparse states, ascending, are the state of their
union: its header, once, and its coupons.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from .hll_coupons import EMPTY

Words: TypeAlias = npt.NDArray[np.uint32]
Groups: TypeAlias = npt.NDArray[np.int64]

_GROUP: Final = np.uint64(32)  # the bits below a group's number in a packed word
_SLAB: Final = 1 << 15  # words sorted at once: they stay in a processor's cache
_ALIKE: Final = 4  # times the mean: up to there, lengths are alike
_MAX_KEY: Final = (1 << 16) - 1  # 16 bits sort fastest; those above are alike
_ROW: Final = 256  # packed words; shorter rows are not sorted any faster


def distinct(counts: Groups, words: Words) -> Words:
    """Sort each group's words, drop repeated ones and `EMPTY`.

    Parameters
    ----------
    counts
        How many words each group has.
    words
        The words of all groups, end to end, in any order within a group.

    Examples
    --------
    >>> distinct(np.array([4, 3]), np.array([7, 9, 0, 7, 8, 1, 8], np.uint32)).tolist()
    [7, 9, 1, 8]
    """
    bounds = np.concatenate([[0], np.cumsum(counts)])
    cuts = np.searchsorted(bounds, np.arange(0, bounds[-1], _SLAB))
    cuts = np.unique(np.append(cuts, len(counts)))  # slabs of whole groups
    slabs = [
        _distinct_slab(counts[first:last], words[bounds[first] : bounds[last]])
        for first, last in pairwise(cuts.tolist())
    ]
    return np.concatenate([*slabs, words[:0]])


def by_length(
    groups: pl.Series, lengths: Groups, kernel: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """Apply a kernel that needs `distinct` to groups in an order in which this is fast.

    It is where neighbours are of like length. Groups whose lengths differ much are put in the order
    of these, and the results back in the groups' own.

    Parameters
    ----------
    groups
        What the kernel takes: a cell a group.
    lengths
        How long each group is, in any unit.
    kernel
        Gives a cell for each group, whatever their order.
    """
    if not len(groups) or lengths.max() < _ALIKE * lengths.mean():
        return kernel(groups)
    order = np.argsort(lengths.clip(max=_MAX_KEY).astype(np.uint16), kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return kernel(groups.gather(order)).gather(places)


def _distinct_slab(counts: Groups, words: Words) -> Words:
    packed = np.repeat(np.arange(len(counts), dtype=np.uint64) << _GROUP, counts)
    packed |= words
    _sort(packed, int(counts.max()))
    words = packed.astype(np.uint32)
    keep = words != EMPTY
    keep[1:] &= packed[1:] != packed[:-1]
    kept: Words = words[keep]
    return kept


def _sort(packed: npt.NDArray[np.uint64], longest: int) -> None:
    """Sort groups that are end to end already, of up to `longest` words each, in place.

    Short rows sort faster than the whole. Where a row ends within a group, the group lies in one
    row of a second pass, half a row on.
    """
    row = max(_ROW, 2 << (longest - 1).bit_length())
    if len(packed) < 2 * row:
        packed.sort()
        return
    for shift in (0, row // 2):
        shifted = packed[shift:]
        whole = len(shifted) // row * row
        shifted[:whole].reshape(-1, row).sort(axis=1)
        shifted[whole:].sort()

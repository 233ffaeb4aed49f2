"""Registers of dense HyperLogLog states, built in blocks of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from .byte_columns import read_bytes
from .hll_coupons import ADDRESS_BITS
from .hll_sets import Groups, Words
from .hll_state import BLOCK, read_dense
from .hll_summary import Registers

_ROWS: Final = 1 << 16  # coupons put into registers at once


def register_blocks(
    sets: pl.Series, lg_k: int, owners: Groups, members: pl.Series
) -> Iterator[Registers]:
    """Build registers from sets of coupons and dense members.

    Parameters
    ----------
    sets
        The coupons of each state: as sparse states are, of any length.
    owners, members
        Dense states to merge in, and the number of the state that each goes into. An owner's
        members are neighbours, and who has more of them has a lower number.

    Yields
    ------
    numpy.ndarray
        A matrix of registers, a row a state: a block of states at a time.
    """
    step = max(1, BLOCK >> lg_k)
    is_first = np.diff(owners, prepend=-1) != 0
    first = np.flatnonzero(is_first)
    rounds = np.arange(len(owners)) - first[np.cumsum(is_first) - 1]
    by_round = np.lexsort((owners, rounds, owners // step))
    owners, members = owners[by_round], members.gather(by_round)
    for start in range(0, len(sets), step):
        data, starts = read_bytes(sets[start : start + step])
        registers = np.zeros((len(starts) - 1, 1 << lg_k), np.uint8)
        _add_coupons(registers, starts // 4, data.view("<u4"))
        low, high = np.searchsorted(owners // step, [start // step, start // step + 1])
        for at in range(low, high, step):
            now = slice(at, min(at + step, high))
            _add_members(registers, owners[now] - start, read_dense(members[now], lg_k))
        yield registers


def _add_coupons(registers: Registers, bounds: Groups, words: Words) -> None:
    """Put coupons into registers: row i takes the words from ``bounds[i]`` to ``bounds[i + 1]``.

    A header among them, taken for a coupon, has no rank, and changes nothing.
    """
    k = registers.shape[1]
    for start in range(0, len(words), _ROWS):
        stop = min(start + _ROWS, len(words))
        first = np.searchsorted(bounds, start, side="right") - 1
        last = np.searchsorted(bounds, stop)
        counts = np.diff(bounds[first : last + 1].clip(start, stop))
        slots = np.repeat(np.arange(first, last) * k, counts)
        slots |= words[start:stop] & np.uint32(k - 1)
        ranks = (words[start:stop] >> np.uint32(ADDRESS_BITS)).astype(np.uint8)
        np.maximum.at(registers.reshape(-1), slots, ranks)


def _add_members(registers: Registers, rows: Groups, members: Registers) -> None:
    """Merge each member into its row, a run of neighbouring rows at a time."""
    ends = np.flatnonzero(np.diff(rows, append=-1) != 1) + 1
    begin = 0
    for end in ends.tolist():
        run = registers[rows[begin] : rows[begin] + end - begin]
        np.maximum(run, members[begin:end], out=run)
        begin = end

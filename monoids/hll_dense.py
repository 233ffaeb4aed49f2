"""Dense HyperLogLog states, built in blocks of registers of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from .hll_coupons import ADDRESS_BITS
from .hll_state import Coupons, Groups, dense_states, read_dense
from .hll_summary import Registers

_MEMORY: Final = 1 << 22  # registers built at once, in bytes
_ROWS: Final = 1 << 16  # coupons put into registers at once


def dense_blocks(
    counts: Groups, coupons: Coupons, lg_k: int, owners: Groups, members: pl.Series
) -> Iterator[pl.Series]:
    """Build dense states from coupons and dense members.

    Parameters
    ----------
    counts, coupons
        How many coupons each state takes, and the coupons of all, end to end.
    owners, members
        Dense states to merge in, and the number of the state that each goes into. An owner's
        members are neighbours, and who has more of them has a lower number.

    Yields
    ------
    pl.Series
        Binary states, a block of them at a time.

    Raises
    ------
    ValueError
        A member is damaged, of another version, or has another lg_k.
    """
    step = max(1, _MEMORY >> lg_k)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    is_first = np.diff(owners, prepend=-1) != 0
    first = np.flatnonzero(is_first)
    rounds = np.arange(len(owners)) - first[np.cumsum(is_first) - 1]
    by_round = np.lexsort((owners, rounds, owners // step))
    owners, members = owners[by_round], members.gather(by_round)
    for start in range(0, len(counts), step):
        block = bounds[start : start + step + 1]
        registers = np.zeros((len(block) - 1, 1 << lg_k), np.uint8)
        _add_coupons(registers, block, coupons)
        low, high = np.searchsorted(owners // step, [start // step, start // step + 1])
        for at in range(low, high, step):
            chunk = slice(at, min(at + step, high))
            _add_members(registers, owners[chunk] - start, read_dense(members[chunk], lg_k))
        yield dense_states(registers)


def _add_coupons(registers: Registers, bounds: Groups, coupons: Coupons) -> None:
    """Put coupons into registers: row i takes those from ``bounds[i]`` to ``bounds[i + 1]``."""
    k = registers.shape[1]
    for start in range(bounds[0], bounds[-1], _ROWS):
        stop = min(start + _ROWS, bounds[-1])
        first = np.searchsorted(bounds, start, side="right") - 1
        last = np.searchsorted(bounds, stop)
        counts = np.diff(bounds[first : last + 1].clip(start, stop))
        slots = np.repeat(np.arange(first, last) * k, counts)
        slots |= coupons[start:stop] & np.uint32(k - 1)
        ranks = (coupons[start:stop] >> np.uint32(ADDRESS_BITS)).astype(np.uint8)
        np.maximum.at(registers.reshape(-1), slots, ranks)


def _add_members(registers: Registers, rows: Groups, members: Registers) -> None:
    """Merge each member into its row, a run of neighbouring rows at a time."""
    ends = np.flatnonzero(np.diff(rows, append=-1) != 1) + 1
    begin = 0
    for end in ends.tolist():
        run = registers[rows[begin] : rows[begin] + end - begin]
        np.maximum(run, members[begin:end], out=run)
        begin = end

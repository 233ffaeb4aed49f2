"""Unions of HyperLogLog sketches, all groups of a column at once.

A group's members are coupons, sparse states and dense states. Coupons are packed with their
group's number into 64 bits, so that one sort finds each group's distinct ones; groups that are
dense are then built in blocks of registers, so that memory is bounded whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from .hll_coupons import ADDRESS_BITS, EMPTY
from .hll_state import (
    Coupons,
    Registers,
    are_dense,
    dense_states,
    read_dense,
    read_sparse,
    sparse_limit,
    sparse_states,
)

Groups: TypeAlias = npt.NDArray[np.int64]
Pairs: TypeAlias = npt.NDArray[np.uint64]

_GROUP: Final = np.uint64(32)  # the bits below a group's number in a pair
_MEMORY: Final = 1 << 24  # registers built at once, in bytes
_NONE: Final[Groups] = np.empty(0, np.int64)
_NO_STATES: Final = pl.Series(dtype=pl.Binary)


def of_coupons(coupons: pl.Series, lg_k: int) -> pl.Series:
    """Build the states of groups from their coupons.

    Parameters
    ----------
    coupons
        List of UInt32, one list a group: no nulls, in any order, repeated at will. `EMPTY` counts
        as no coupon.

    Returns
    -------
    pl.Series
        Binary states; null for an empty list, which had not even an `EMPTY`.
    """
    counts = coupons.list.len().to_numpy()
    flat = coupons.explode(empty_as_null=False, keep_nulls=False).to_numpy()
    groups = np.repeat(np.arange(len(counts)), counts)
    states = merge(len(counts), groups, flat, lg_k)
    if counts.all():
        return states
    return pl.select(pl.when(pl.lit(pl.Series(counts > 0))).then(pl.lit(states))).to_series()


def of_states(states: pl.Series, lg_k: int) -> pl.Series:
    """Merge the states of groups.

    Parameters
    ----------
    states
        List of Binary, one list a group: no nulls.

    Returns
    -------
    pl.Series
        Binary states; null for an empty list. A lone state passes through untouched.

    Raises
    ------
    ValueError
        A state is damaged, of another version, or has another lg_k.
    """
    counts = states.list.len().to_numpy()
    several = counts > 1
    lone = states.list.first()
    if not several.any():
        return lone
    members = states.filter(several)
    groups = np.repeat(np.arange(len(members)), counts[several])
    flat = members.explode(empty_as_null=False, keep_nulls=False)
    dense = are_dense(flat, lg_k)
    sizes, coupons = read_sparse(flat.filter(~dense))
    pairs = np.repeat(groups[~dense], sizes)
    merged = merge(len(members), pairs, coupons, lg_k, groups[dense], flat.filter(dense))
    if several.all():
        return merged
    order = np.arange(len(counts))
    order[several] = len(counts) + np.arange(len(members))
    return pl.concat([lone, merged]).gather(order)


def merge(
    count: int,
    groups: Groups,
    coupons: Coupons,
    lg_k: int,
    dense_groups: Groups = _NONE,
    dense: pl.Series = _NO_STATES,
) -> pl.Series:
    """Build the states of `count` groups.

    Parameters
    ----------
    count
        How many groups there are: their numbers are 0 to ``count - 1``.
    groups, coupons
        Each coupon and its group.
    dense_groups, dense
        Dense states to merge in, and the group of each, ascending.

    Returns
    -------
    pl.Series
        Binary states, none of them null.
    """
    pairs = _distinct(groups, coupons)
    groups = (pairs >> _GROUP).astype(np.int64)
    coupons = pairs.astype(np.uint32)
    sizes = np.bincount(groups, minlength=count)
    members = np.bincount(dense_groups, minlength=count)
    is_dense = (sizes > sparse_limit(lg_k)) | (members > 0)
    if not is_dense.any():
        return sparse_states(sizes, coupons, lg_k)
    to_dense = is_dense[groups]
    sparse = sparse_states(sizes[~is_dense], coupons[~to_dense], lg_k)
    # Dense groups are numbered by how many dense states they merge: those with a second one come
    # first, and so on, so that a whole round of merging is one operation on contiguous rows.
    places = np.argsort(np.where(is_dense, -members, 1), kind="stable")
    number = np.empty(count, np.int64)
    number[places] = np.arange(count)
    blocks = _dense_blocks(
        int(is_dense.sum()),
        number[groups[to_dense]],
        coupons[to_dense],
        lg_k,
        number[dense_groups],
        dense,
    )
    # The sparse ones kept their order, after the dense ones.
    return pl.concat([*blocks, sparse]).gather(number)


def _distinct(groups: Groups, coupons: Coupons) -> Pairs:
    """Pack coupons with their groups, ascending, each once, without `EMPTY`."""
    pairs = groups.astype(np.uint64)
    pairs <<= _GROUP
    pairs |= coupons
    pairs.sort()
    keep = pairs.astype(np.uint32) != EMPTY
    keep[1:] &= pairs[1:] != pairs[:-1]
    distinct: Pairs = pairs[keep]
    return distinct


def _dense_blocks(
    count: int, numbers: Groups, coupons: Coupons, lg_k: int, owners: Groups, members: pl.Series
) -> Iterator[pl.Series]:
    """Build dense states 0 to ``count - 1``, in blocks.

    `numbers` says whose the coupons are, `owners` whose the dense members are; one owner's
    members are neighbours, and who has more of them has a lower number.
    """
    step = max(1, _MEMORY >> lg_k)
    by_number = np.argsort(numbers, kind="stable")
    numbers, coupons = numbers[by_number], coupons[by_number]
    is_first = np.diff(owners, prepend=-1) != 0
    first = np.flatnonzero(is_first)
    rounds = np.arange(len(owners)) - first[np.cumsum(is_first) - 1]
    by_round = np.lexsort((owners, rounds, owners // step))
    owners, members = owners[by_round], members.gather(by_round)
    for start in range(0, count, step):
        stop = min(start + step, count)
        own = slice(*np.searchsorted(numbers, [start, stop]))
        registers = np.zeros((stop - start, 1 << lg_k), np.uint8)
        slots = (numbers[own] - start << lg_k) | (coupons[own] & np.uint32((1 << lg_k) - 1))
        ranks = (coupons[own] >> np.uint32(ADDRESS_BITS)).astype(np.uint8)
        np.maximum.at(registers.reshape(-1), slots, ranks)
        low, high = np.searchsorted(owners // step, [start // step, start // step + 1])
        for chunk in range(low, high, step):
            part = slice(chunk, min(chunk + step, high))
            _merge_rounds(registers, owners[part] - start, read_dense(members[part]))
        yield dense_states(registers)


def _merge_rounds(registers: Registers, rows: Groups, members: Registers) -> None:
    """Merge each member into its row, a run of neighbouring rows at a time."""
    ends = np.flatnonzero(np.diff(rows, append=-1) != 1) + 1
    begin = 0
    for end in ends.tolist():
        run = registers[rows[begin] : rows[begin] + end - begin]
        np.maximum(run, members[begin:end], out=run)
        begin = end

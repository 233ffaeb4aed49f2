"""Unions of HyperLogLog sketches, all groups of a column at once.

A group's members are coupons, sparse states and dense states. Coupons are packed with their
group's number into 64 bits, so that one sort finds each group's distinct ones; groups that are
dense are then built in blocks of registers, so that memory is bounded whatever their number.
Temporary arrays are few and small: their first touch costs more than what is done with them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from .hll_coupons import EMPTY
from .hll_dense import dense_blocks
from .hll_state import (
    Coupons,
    Groups,
    are_dense,
    read_sparse,
    sparse_limit,
    sparse_states,
)

_GROUP: Final = np.uint64(32)  # the bits below a group's number in a packed coupon
_SLAB: Final = 1 << 16  # coupons sorted at once
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
    counts = coupons.list.len().cast(pl.Int64).to_numpy()
    flat = coupons.explode(empty_as_null=False, keep_nulls=False).to_numpy()
    states = merge(counts, flat, lg_k)
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
    counts = states.list.len().cast(pl.Int64).to_numpy()
    several = counts > 1
    lone = states.list.first()
    if not several.any():
        return lone
    members = states.filter(several)
    groups = np.repeat(np.arange(len(members)), counts[several])
    flat = members.explode(empty_as_null=False, keep_nulls=False)
    dense = are_dense(flat, lg_k)
    sizes, coupons = read_sparse(flat.filter(~dense), lg_k)
    sizes = np.bincount(groups[~dense], sizes, len(members)).astype(np.int64)
    merged = merge(sizes, coupons, lg_k, groups[dense], flat.filter(dense))
    if several.all():
        return merged
    order = np.arange(len(counts))
    order[several] = len(counts) + np.arange(len(members))
    return pl.concat([lone, merged]).gather(order)


def merge(
    counts: Groups,
    coupons: Coupons,
    lg_k: int,
    owners: Groups = _NONE,
    members: pl.Series = _NO_STATES,
) -> pl.Series:
    """Build the states of groups.

    Parameters
    ----------
    counts
        How many coupons each group has.
    coupons
        The coupons of all groups, end to end, in any order within a group.
    owners, members
        Dense states to merge in, and the number of the group of each, ascending.

    Returns
    -------
    pl.Series
        Binary states, none of them null.
    """
    counts, coupons = _distinct(counts, coupons)
    rounds = np.bincount(owners, minlength=len(counts))
    is_dense = (counts > sparse_limit(lg_k)) | (rounds > 0)
    if not is_dense.any():
        return sparse_states(counts, coupons, lg_k)
    to_dense = np.repeat(is_dense, counts)
    sparse = sparse_states(counts[~is_dense], coupons[~to_dense], lg_k)
    # Dense groups are numbered by how many dense states they merge: those with a second one come
    # first, and so on, so that a whole round of merging is one operation on neighbouring rows.
    dense = np.flatnonzero(is_dense)
    by_rounds = np.argsort(-rounds[dense], kind="stable")
    places = np.empty(len(counts), np.int64)
    places[dense[by_rounds]] = np.arange(len(dense))
    places[~is_dense] = len(dense) + np.arange(len(sparse))
    coupons = coupons[to_dense]
    if len(owners):
        coupons = _reordered(counts[dense], coupons, by_rounds)
    counts = counts[dense[by_rounds]]
    blocks = dense_blocks(counts, coupons, lg_k, places[owners], members)
    return pl.concat([*blocks, sparse]).gather(places)


def _distinct(counts: Groups, coupons: Coupons) -> tuple[Groups, Coupons]:
    """Sort each group's coupons, drop repeated ones and `EMPTY`."""
    bounds = np.concatenate([[0], np.cumsum(counts)])
    # Slabs of whole groups: what is worked on stays in a processor's cache.
    cuts = np.searchsorted(bounds, np.arange(0, bounds[-1], _SLAB))
    cuts = np.unique(np.append(cuts, len(counts)))
    slabs = [
        _distinct_slab(counts[first:last], coupons[bounds[first] : bounds[last]])
        for first, last in pairwise(cuts.tolist())
    ]
    if not slabs:
        return counts, coupons
    sizes, kept = zip(*slabs, strict=True)
    return np.concatenate(sizes), np.concatenate(kept)


def _distinct_slab(counts: Groups, coupons: Coupons) -> tuple[Groups, Coupons]:
    numbers = np.arange(len(counts), dtype=np.uint64) << _GROUP
    packed = np.repeat(numbers, counts)
    packed |= coupons
    packed.sort()
    coupons = packed.astype(np.uint32)
    keep = coupons != EMPTY
    keep[1:] &= packed[1:] != packed[:-1]
    kept = np.concatenate([[0], np.cumsum(keep)])
    return np.diff(kept[np.cumsum(counts)], prepend=0), coupons[keep]


def _reordered(counts: Groups, coupons: Coupons, order: Groups) -> Coupons:
    """Give the coupons of groups in another order of the groups."""
    starts = np.cumsum(counts) - counts
    counts = counts[order]
    moved = starts[order] - (np.cumsum(counts) - counts)
    return coupons[np.repeat(moved, counts) + np.arange(len(coupons))]

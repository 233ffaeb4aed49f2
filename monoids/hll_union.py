"""Unions of HyperLogLog sketches, all groups of a column at once.

A group's members are coupons, sparse states and dense states. Their words are first merged as a
sorted set, in which a dense member has no coupons. Groups whose set is too great for a sparse
state, and those that have dense members, are then built in blocks of registers, so that memory is
bounded whatever their number.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from .byte_columns import interleave, read_bytes, write_bytes
from .hll_dense import register_blocks
from .hll_sets import Groups, Words, distinct
from .hll_state import (
    HEADER,
    SPARSE,
    header,
    read_forms,
    read_sparse,
    sparse_limit,
    write_dense,
    write_sparse,
)

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
    words = np.insert(flat, np.cumsum(counts) - counts, header(lg_k, SPARSE))
    states = of_words(counts + 1, words, lg_k)
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
    if several.all():
        return _merge(states, counts, lg_k)
    lone = states.filter(~several).list.first()
    merged = _merge(states.filter(several), counts[several], lg_k)
    return interleave([lone, merged], [~several, several])


def _merge(states: pl.Series, counts: Groups, lg_k: int) -> pl.Series:
    if not len(states):
        return _NO_STATES
    members = states.explode(empty_as_null=False, keep_nulls=False)
    sizes, is_dense = read_forms(members, lg_k)
    starts = np.cumsum(counts) - counts
    words = np.add.reduceat(np.where(is_dense, 1, sizes // 4), starts)
    if not is_dense.any():
        return of_words(words, read_sparse(members), lg_k)
    owners = np.repeat(np.arange(len(counts)), counts)[is_dense]
    dense = members.filter(is_dense)
    empty = pl.repeat(header(lg_k, SPARSE).tobytes(), len(dense), dtype=pl.Binary, eager=True)
    sets = interleave([members.filter(~is_dense), empty], [~is_dense, is_dense])
    return of_words(words, read_sparse(sets), lg_k, owners, dense)


def of_words(
    counts: Groups,
    words: Words,
    lg_k: int,
    owners: Groups = _NONE,
    members: pl.Series = _NO_STATES,
) -> pl.Series:
    """Build the states of groups from the words of sparse states, or a header and coupons.

    Parameters
    ----------
    counts
        How many words each group has.
    words
        The words of all groups, end to end, in any order within a group. Each group has a header
        at least once; `EMPTY` counts as no word.
    owners, members
        Dense states to merge in, and the number of the group of each, ascending.

    Returns
    -------
    pl.Series
        Binary states, none of them null.
    """
    sets = write_sparse(distinct(counts, words), lg_k)
    is_dense = (sets.bin.size() > HEADER + 4 * sparse_limit(lg_k)).to_numpy().copy()
    is_dense[owners] = True
    if not is_dense.any():
        return sets
    # Dense groups are numbered by how many dense states they merge: those with a second one come
    # first, and so on, so that a whole round of merging is one operation on neighbouring rows.
    dense = np.flatnonzero(is_dense)
    dense = dense[np.argsort(-np.bincount(owners, minlength=len(sets))[dense], kind="stable")]
    numbers = np.empty(len(sets), np.int64)
    numbers[dense] = np.arange(len(dense))
    blocks = register_blocks(sets.gather(dense), lg_k, numbers[owners], members)
    states = write_dense(blocks, len(dense), lg_k).gather(numbers[is_dense])
    # Copied, so that the sets that became dense are not kept in memory.
    data, starts = read_bytes(sets.filter(~is_dense))
    sparse = write_bytes(data, np.diff(starts))
    return interleave([sparse, states], [~is_dense, is_dense])

"""Unions of HyperLogLog sketches, all groups of a column at once.

A group's members are coupons, sparse states and dense states. Their words are first merged as a
sorted set, in which a dense member has no coupons. Groups whose set is too great for a sparse
state, and those that have dense members, are then built in blocks of registers, so that memory is
bounded whatever their number.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
import polars as pl

from .byte_columns import interleave, read_bytes, read_views, write_bytes
from .hll_dense import register_blocks
from .hll_sets import Groups, Words, by_length, distinct
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
    counts = _counts(coupons)
    flat = coupons.explode(empty_as_null=False, keep_nulls=False).to_numpy()
    words = np.insert(flat, _starts(counts), header(lg_k, SPARSE))
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
    several = (states.list.len() > 1).to_numpy()
    if not several.any():
        return states.list.first()
    groups = states if several.all() else states.filter(several)
    sizes = read_views(groups.explode(empty_as_null=False, keep_nulls=False))["size"]
    lengths = np.add.reduceat(sizes, _starts(_counts(groups)), dtype=np.int64)
    merged = by_length(groups, lengths, functools.partial(_merge, lg_k=lg_k))
    if several.all():
        return merged
    return interleave([states.filter(~several).list.first(), merged], [~several, several])


def _merge(states: pl.Series, lg_k: int) -> pl.Series:
    counts = _counts(states)
    members = states.explode(empty_as_null=False, keep_nulls=False)
    sizes, is_dense = read_forms(members, lg_k)
    words = np.add.reduceat(np.where(is_dense, 1, sizes // 4), _starts(counts))
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
    sizes = sets.bin.size().to_numpy().astype(np.int64)
    is_dense = sizes > HEADER + 4 * sparse_limit(lg_k)
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
    states = write_dense(blocks, len(dense), lg_k)
    if sizes[is_dense].sum() > sizes.sum() // 2:
        # Copied, so that memory is not kept for the sets that became dense.
        sets = write_bytes(read_bytes(sets.filter(~is_dense)).data, np.where(is_dense, 0, sizes))
    places = np.arange(len(sets))
    places[dense] = len(sets) + np.arange(len(dense))
    return pl.concat([sets, states], rechunk=True).gather(places)


def _counts(lists: pl.Series) -> Groups:
    return lists.list.len().cast(pl.Int64).to_numpy()


def _starts(counts: Groups) -> Groups:
    return np.cumsum(counts) - counts

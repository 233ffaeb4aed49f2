"""The bytes of a HyperLogLog state: one form for each set of coupons.

A state begins with four bytes: the version (1), ``lg_k``, the form (0 sparse, 1 dense) and 0. All
numbers are little-endian, and all parts are multiples of four bytes long.

- *Sparse*: the distinct coupons (see `beaconfold.monoids.hll_coupons`), ascending, four bytes each.
- *Dense*, where there are more than `sparse_limit` of them: a `Summary` of the registers (zeros in
  4 bytes, low and high in 8 each), so that an estimate need not read them all, and then the
  ``2**lg_k`` registers: in slot i the greatest rank of a coupon whose address ends in the bits of
  i, or 0. A byte each (of which six bits are used), so that a union is one maximum over bytes.

The thresholds are those of Apache DataSketches. The form depends on nothing but the set of
coupons, and so does every byte; a dense state stays dense, as a greater set has more coupons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from .byte_columns import read_bytes, write_bytes
from .hll_coupons import ADDRESS
from .hll_summary import Registers, Summary, summary

Coupons: TypeAlias = npt.NDArray[np.uint32]
Groups: TypeAlias = npt.NDArray[np.int64]

LG_K: Final = range(4, 19)
VERSION: Final = 1
SPARSE, DENSE = 0, 1
HEADER: Final = 4
SUMMARY: Final = 20
BLOCK: Final = 1 << 18  # registers worked on at once: they stay in a processor's cache


def sparse_limit(lg_k: int) -> int:
    """Give the greatest number of coupons that a sparse state holds.

    Examples
    --------
    >>> [sparse_limit(lg_k) for lg_k in (4, 7, 8, 12)]
    [7, 7, 24, 384]
    """
    return 7 if lg_k < 8 else 3 << lg_k - 5  # noqa: PLR2004 - as DataSketches grows its hash set


def sparse_states(counts: Groups, coupons: Coupons, lg_k: int) -> pl.Series:
    """Write sparse states.

    Parameters
    ----------
    counts
        How many coupons each state has.
    coupons
        The coupons of all states, end to end, each state's ascending and distinct.
    """
    words = np.empty(len(counts) + len(coupons), "<u4")
    heads = np.cumsum(counts) - counts + np.arange(len(counts))
    body = np.ones(len(words), np.bool_)
    body[heads] = False
    words[heads] = _header(lg_k, SPARSE)
    words[body] = coupons
    return write_bytes(words.view(np.uint8), HEADER + 4 * counts)


def read_sparse(states: pl.Series, lg_k: int) -> tuple[Groups, Coupons]:
    """Read sparse states: the inverse of `sparse_states`.

    Raises
    ------
    ValueError
        A state is damaged, of another version, or has another lg_k.
    """
    if not len(states):
        return np.empty(0, np.int64), np.empty(0, np.uint32)
    data, starts = read_bytes(states)
    sizes = np.diff(starts)
    limit = HEADER + 4 * sparse_limit(lg_k)
    if sizes.min() < HEADER or sizes.max() > limit or (sizes % 4).any():
        raise ValueError(_what_is_wrong(states, lg_k))
    words = data[starts[0] : starts[-1]].view("<u4")
    heads = (starts[:-1] - starts[0]) // 4
    if (words[heads] != _header(lg_k, SPARSE)).any():
        raise ValueError(_what_is_wrong(states, lg_k))
    # Ranks make all coupons greater than a header.
    body = words > np.uint32(ADDRESS)
    ascending = words[1:] > words[:-1]
    ascending |= ~body[1:]
    if np.count_nonzero(body) != len(words) - len(states) or not ascending.all():
        raise ValueError("a HyperLogLog state is damaged: its coupons are not in order")
    return sizes // 4 - 1, words[body]


def dense_states(registers: Registers) -> pl.Series:
    """Write dense states: one a row of a matrix of registers, ``(states, 2**lg_k)``.

    Raises
    ------
    ValueError
        A register is above 63.
    """
    count, k = registers.shape
    rows = np.empty((count, HEADER + SUMMARY + k), np.uint8)
    heads = np.empty(count, [("head", "<u4"), ("zeros", "<u4"), ("low", "<u8"), ("high", "<u8")])
    heads["head"] = _header(k.bit_length() - 1, DENSE)
    step = max(1, BLOCK // k)
    for start in range(0, count, step):
        block = slice(start, start + step)
        copied = rows[block, HEADER + SUMMARY :]
        copied[:] = registers[block]
        heads["zeros"][block], heads["low"][block], heads["high"][block] = summary(copied)
    rows[:, : HEADER + SUMMARY] = heads.view(np.uint8).reshape(count, -1)
    return write_bytes(rows.reshape(-1), np.full(count, rows.shape[1], np.int64))


def read_dense(states: pl.Series, lg_k: int) -> Registers:
    """Read dense states: the inverse of `dense_states`, but for the check of the registers.

    Raises
    ------
    ValueError
        A state is damaged, of another version, or has another lg_k.
    """
    data, starts = read_bytes(states)
    rows = data[starts[0] : starts[-1]].reshape(len(states), HEADER + SUMMARY + (1 << lg_k))
    if (rows[:, :HEADER].view("<u4") != _header(lg_k, DENSE)).any():
        raise ValueError(_what_is_wrong(states, lg_k))
    return rows[:, HEADER + SUMMARY :]


def are_dense(states: pl.Series, lg_k: int) -> npt.NDArray[np.bool_]:
    """Say which states are dense. Lengths tell; those who read the states check the rest."""
    return (states.bin.size() == HEADER + SUMMARY + (1 << lg_k)).to_numpy()


def read_counts(states: pl.Series, lg_k: int) -> Groups:
    """Read how many coupons sparse states have, without reading these; checks as `read_sparse`."""
    sizes = states.bin.size().to_numpy().astype(np.int64)
    limit = HEADER + 4 * sparse_limit(lg_k)
    odd = (sizes < HEADER) | (sizes > limit) | (sizes % 4 > 0)
    if odd.any() or (_heads(states) != _header(lg_k, SPARSE)).any():
        raise ValueError(_what_is_wrong(states, lg_k))
    return sizes // 4 - 1


def read_summaries(states: pl.Series, lg_k: int) -> Summary:
    """Read the summaries of dense states, without reading their registers."""
    if (_heads(states) != _header(lg_k, DENSE)).any():
        raise ValueError(_what_is_wrong(states, lg_k))
    data, starts = read_bytes(states.bin.slice(HEADER, SUMMARY))
    fields = [("zeros", "<u4"), ("low", "<u8"), ("high", "<u8")]
    heads = data[starts[0] : starts[-1]].view(fields)
    return Summary(heads["zeros"], heads["low"], heads["high"])


def where_valid(column: pl.Series, kernel: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Apply a kernel to the cells that are not null; the others stay null.

    Examples
    --------
    >>> where_valid(pl.Series([b"ab", None, b"c"]), lambda cells: cells.bin.size()).to_list()
    [2, None, 1]
    """
    if not column.has_nulls():
        return kernel(column).alias(column.name)
    valid = column.is_not_null()
    places = pl.select(pl.when(valid).then(valid.cum_sum() - 1)).to_series()
    return kernel(column.drop_nulls()).gather(places).alias(column.name)


def _header(lg_k: int, form: int) -> np.uint32:
    return np.uint32(VERSION | lg_k << 8 | form << 16)


def _heads(states: pl.Series) -> Coupons:
    if not len(states):
        return np.empty(0, np.uint32)
    data, starts = read_bytes(states.bin.head(HEADER))
    return data[starts[0] : starts[-1]].view("<u4")


def _what_is_wrong(states: pl.Series, lg_k: int) -> str:
    """Say what is wrong with the first state whose header or length is."""
    for state in states:
        if len(state) < HEADER:
            return f"a HyperLogLog state is damaged: it has {len(state)} bytes"
        version, other, form, rest = state[:HEADER]
        if version != VERSION:
            return f"a HyperLogLog state has version {version}; this installation reads {VERSION}"
        if other not in LG_K or form not in {SPARSE, DENSE} or rest:
            return f"a HyperLogLog state is damaged: it begins with {state[:HEADER].hex()}"
        if other != lg_k:
            return f"a sketch of lg_k={other} does not merge with lg_k={lg_k}: build both with one"
    return "a HyperLogLog state is damaged: it is cut off or too long"

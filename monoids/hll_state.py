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

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from .byte_columns import read_bytes, read_views, write_bytes
from .hll_coupons import ADDRESS
from .hll_sets import Groups, Words
from .hll_summary import Registers, Summary, summary

LG_K: Final = range(4, 19)
VERSION: Final = 1
SPARSE, DENSE = 0, 1
HEADER: Final = 4
SUMMARY: Final = 20
BLOCK: Final = 1 << 18  # registers worked on at once, so that they stay in a processor's cache


def sparse_limit(lg_k: int) -> int:
    """Give the greatest number of coupons that a sparse state holds.

    Examples
    --------
    >>> [sparse_limit(lg_k) for lg_k in (4, 7, 8, 12)]
    [7, 7, 24, 384]
    """
    return 7 if lg_k < 8 else 3 << lg_k - 5  # noqa: PLR2004 - as DataSketches grows its hash set


def write_sparse(words: Words, lg_k: int) -> pl.Series:
    """Write sparse states, given their words: each state's header and coupons, end to end."""
    heads = np.flatnonzero(words == header(lg_k, SPARSE))
    return write_bytes(words.view(np.uint8), 4 * np.diff(heads, append=len(words)))


def read_sparse(states: pl.Series) -> Words:
    """Read the words of sparse states that `read_forms` has checked.

    Raises
    ------
    ValueError
        A state's coupons are not in order.
    """
    if not len(states):
        return np.empty(0, np.uint32)
    data, starts = read_bytes(states)
    words, firsts = data.view("<u4"), starts[1:-1] // 4
    # A header is below all coupons, so words ascend but from one state to the next.
    falls = words[1:] <= words[:-1]
    in_order = falls[firsts - 1].all() and np.count_nonzero(falls) == len(firsts)
    # Ranks make all coupons greater than an address, and a header is smaller.
    if not in_order or np.count_nonzero(words > ADDRESS) != len(words) - len(states):
        raise ValueError("a HyperLogLog state is damaged: its coupons are not in order")
    return words


def write_dense(blocks: Iterable[Registers], count: int, lg_k: int) -> pl.Series:
    """Write dense states.

    Parameters
    ----------
    blocks
        Matrices of registers, ``(states, 2**lg_k)``. Small ones stay in a processor's cache.
    count
        How many states there are in all.
    lg_k
        Their lg_k.

    Raises
    ------
    ValueError
        A register is above 63.
    """
    rows = np.empty((count, HEADER + SUMMARY + (1 << lg_k)), np.uint8)
    heads = np.empty(count, [("head", "<u4"), ("zeros", "<u4"), ("low", "<u8"), ("high", "<u8")])
    heads["head"] = header(lg_k, DENSE)
    start = 0
    for registers in blocks:
        block = slice(start, start + len(registers))
        heads["zeros"][block], heads["low"][block], heads["high"][block] = summary(registers)
        rows[block, HEADER + SUMMARY :] = registers
        start = block.stop
    rows[:, : HEADER + SUMMARY] = heads.view(np.uint8).reshape(count, HEADER + SUMMARY)
    return write_bytes(rows.reshape(-1), np.full(count, rows.shape[1], np.int64))


def read_forms(states: pl.Series, lg_k: int) -> tuple[Groups, npt.NDArray[np.bool_]]:
    """Read the length of each state, and whether it is dense, from its header alone.

    Raises
    ------
    ValueError
        A state is damaged, of another version, or has another lg_k.
    """
    views = read_views(states)
    sizes, heads = views["size"].astype(np.int64), views["head"]
    dense = heads == header(lg_k, DENSE)
    limit = HEADER + 4 * sparse_limit(lg_k)
    sparse = (heads == header(lg_k, SPARSE)) & (sizes <= limit) & (sizes % 4 == 0)
    if not (sparse | dense & (sizes == HEADER + SUMMARY + (1 << lg_k))).all():
        raise ValueError(_what_is_wrong(states, lg_k))
    return sizes, dense


def read_dense(states: pl.Series, lg_k: int) -> Registers:
    """Read the registers of dense states that `read_forms` has checked; they are not."""
    rows = read_bytes(states).data.reshape(len(states), HEADER + SUMMARY + (1 << lg_k))
    return rows[:, HEADER + SUMMARY :]


def read_summaries(states: pl.Series) -> Summary:
    """Read the summaries of dense states that `read_forms` has checked."""
    fields = [("zeros", "<u4"), ("low", "<u8"), ("high", "<u8")]
    heads = read_bytes(states.bin.slice(HEADER, SUMMARY)).data.view(fields)
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


def header(lg_k: int, form: int) -> np.uint32:
    """Give the first word of a state."""
    return np.uint32(VERSION | lg_k << 8 | form << 16)


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

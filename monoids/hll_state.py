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
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from .byte_columns import read_bytes, write_bytes
from .hll_coupons import ADDRESS_BITS, MAX_RANK

Coupons: TypeAlias = npt.NDArray[np.uint32]
Groups: TypeAlias = npt.NDArray[np.int64]
Registers: TypeAlias = npt.NDArray[np.uint8]

LG_K: Final = range(4, 19)
VERSION: Final = 1
SPARSE, DENSE = 0, 1
HEADER: Final = 4
SUMMARY: Final = 20
BLOCK: Final = 1 << 18  # registers worked on at once: they stay in a processor's cache


class Summary(NamedTuple):
    """What an estimate needs to know of a dense sketch; exact, one element a sketch.

    Attributes
    ----------
    zeros
        How many registers are 0.
    low
        The sum of ``2**(31 - rank)`` over the registers below 32, zeros too: ``uint64``.
    high
        The sum of ``2**(63 - rank)`` over the others: ``uint64``.
    """

    zeros: npt.NDArray[np.uint32]
    low: npt.NDArray[np.uint64]
    high: npt.NDArray[np.uint64]


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


def read_sparse(states: pl.Series) -> tuple[Groups, Coupons]:
    """Read sparse states: the inverse of `sparse_states`.

    Raises
    ------
    ValueError
        A state is damaged.
    """
    if not len(states):
        return np.empty(0, np.int64), np.empty(0, np.uint32)
    data, starts = read_bytes(states)
    words = np.ascontiguousarray(data[starts[0] : starts[-1]]).view("<u4")
    heads = (starts[:-1] - starts[0]) // 4
    body = np.ones(len(words), np.bool_)
    body[heads] = False
    coupons = words[body]
    ascending = np.ones(len(words), np.bool_)
    np.greater(words[1:], words[:-1], out=ascending[1:])
    ascending[heads] = True
    ascending[heads[heads + 1 < len(words)] + 1] = True
    if not ascending.all() or (len(coupons) and coupons.min() >> ADDRESS_BITS == 0):
        raise ValueError("a HyperLogLog state is damaged: its coupons are not in order")
    return np.diff(starts) // 4 - 1, coupons


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


def read_dense(states: pl.Series) -> Registers:
    """Read dense states: the inverse of `dense_states`, unchecked."""
    data, starts = read_bytes(states)
    return data[starts[0] : starts[-1]].reshape(len(states), -1)[:, HEADER + SUMMARY :]


def summary(registers: Registers) -> Summary:
    """Summarise sketches: one a row of a matrix of registers; checks as `greatest_of`."""
    greatest = greatest_of(registers)
    lg_k = registers.shape[1].bit_length() - 1
    # Sums of 32 bits are fastest, and hold the weights of ranks up to this one exactly; of a
    # million values, one register in two thousand is above it.
    rank = 31 - lg_k
    weights = np.uint32(1 << rank) >> registers.astype(np.uint32)
    low = weights.sum(axis=1, dtype=np.uint32).astype(np.uint64) << np.uint64(lg_k)
    high = np.zeros(len(registers), np.uint64)
    if greatest > rank:
        # Of two dimensions at once, nonzero is ten times slower.
        rows, slots = np.divmod(np.flatnonzero(registers > rank), registers.shape[1])
        ranks = registers[rows, slots].astype(np.uint64)
        for total, most in ((low, np.uint64(31)), (high, np.uint64(63))):
            now = ranks <= most
            np.add.at(total, rows[now], np.uint64(1) << (most - ranks[now]))
            rows, ranks = rows[~now], ranks[~now]
    filled = np.bitwise_count(np.packbits(registers, axis=1)).sum(axis=1, dtype=np.uint32)
    return Summary(registers.shape[1] - filled, low, high)


def greatest_of(registers: Registers) -> int:
    """Give the greatest of all registers.

    Raises
    ------
    ValueError
        It is above 63: no hash has such a rank.
    """
    greatest = int(registers.max(initial=0))
    if greatest > MAX_RANK:
        raise ValueError("a HyperLogLog sketch is damaged: it has a register above 63")
    return greatest


def read_summaries(states: pl.Series) -> Summary:
    """Read the summaries of dense states."""
    data, starts = read_bytes(states.bin.slice(HEADER, SUMMARY))
    fields = [("zeros", "<u4"), ("low", "<u8"), ("high", "<u8")]
    heads = data[starts[0] : starts[-1]].view(fields)
    return Summary(heads["zeros"], heads["low"], heads["high"])


def are_dense(states: pl.Series, lg_k: int) -> npt.NDArray[np.bool_]:
    """Say which states are dense, having looked at the headers and lengths of all.

    Parameters
    ----------
    states
        Binary, without nulls.
    lg_k
        What they must have.

    Raises
    ------
    ValueError
        A state is damaged, of another version, or has another lg_k.
    """
    data, starts = read_bytes(states.bin.head(HEADER))
    sizes = states.bin.size().to_numpy()
    if not len(states):
        return np.empty(0, np.bool_)
    if sizes.min() < HEADER:
        raise ValueError(f"a HyperLogLog state is damaged: it has {sizes.min()} bytes")
    heads = data[starts[0] : starts[-1]].view("<u4")
    dense: npt.NDArray[np.bool_] = heads == _header(lg_k, DENSE)
    odd = heads[~dense & (heads != _header(lg_k, SPARSE))]
    if len(odd):
        raise ValueError(_what_is_wrong(odd[:1].tobytes(), lg_k))
    sparse_sizes = sizes[~dense]
    wrong = sizes[dense] != HEADER + SUMMARY + (1 << lg_k)
    if (
        wrong.any()
        or (sparse_sizes % 4 > 0).any()
        or sparse_sizes.max(initial=0) > HEADER + 4 * sparse_limit(lg_k)
    ):
        raise ValueError("a HyperLogLog state is damaged: it is cut off or too long")
    return dense


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


def _what_is_wrong(head: bytes, lg_k: int) -> str:
    version, other, form, rest = head
    if version != VERSION:
        return f"a HyperLogLog state has version {version}; this installation reads {VERSION}"
    if other in LG_K and form in {SPARSE, DENSE} and rest == 0:
        return f"a sketch of lg_k={other} does not merge with lg_k={lg_k}: build both with one lg_k"
    return f"a HyperLogLog state is damaged: it begins with {head.hex()}"

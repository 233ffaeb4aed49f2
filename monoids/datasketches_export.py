"""HyperLogLog states as sketches of Apache DataSketches."""

from __future__ import annotations

import functools

import numpy as np
import polars as pl

from .byte_columns import interleave, write_bytes
from .datasketches_bytes import (
    COMPACT,
    COUPONS_HEAD,
    EMPTY,
    FAMILY,
    FORMAT,
    HLL,
    HLL_8,
    HLL_HEAD,
    LIST,
    LIST_SIZE,
    OUT_OF_ORDER,
    PREAMBLE,
    REGISTERS,
    SET,
)
from .hll_state import (
    BLOCK,
    HEADER,
    read_dense,
    read_forms,
    read_sparse,
    read_summaries,
    sparse_limit,
    where_valid,
)
from .hll_summary import greatest_of


def to_datasketches(states: pl.Series, lg_k: int) -> pl.Series:
    """Write states as compact DataSketches sketches of type HLL_8.

    A sketch of registers is marked as one that was merged, so that readers estimate from its
    registers: their better estimate for a stream in order cannot be known from a state.

    Parameters
    ----------
    states
        Binary states of a `HyperLogLog`; may hold nulls.
    lg_k
        Their lg_k.

    Returns
    -------
    pl.Series
        Binary sketches; null for null.

    Raises
    ------
    ValueError
        A state is damaged, of another version, or has another lg_k.

    Examples
    --------
    >>> state = bytes.fromhex("010c0000") + bytes.fromhex("38106004")
    >>> to_datasketches(pl.Series([state, None]), lg_k=12).to_list()[0].hex(" ", 4)
    '0201070c 03080108 38106004'
    """
    return where_valid(states, functools.partial(_write, lg_k=lg_k))


def _write(states: pl.Series, lg_k: int) -> pl.Series:
    sizes, dense = read_forms(states, lg_k)
    sparse = states.filter(~dense)
    read_sparse(sparse)  # refuses coupons that are not in order
    counts = (sizes[~dense] - HEADER) // 4
    sets = _preambles(lg_k).gather(counts) + sparse.bin.slice(HEADER)
    if not dense.any():
        return sets
    return interleave([sets, _write_registers(states.filter(dense), lg_k)], [~dense, dense])


@functools.cache
def _preambles(lg_k: int) -> pl.Series:
    """Write what comes before coupons, by the number of these."""
    counts = np.arange(sparse_limit(lg_k) + 1)
    is_set = counts >= LIST_SIZE
    heads = np.zeros(len(counts), COUPONS_HEAD)
    head = heads["head"]
    head["words"] = np.where(is_set, PREAMBLE[SET], PREAMBLE[LIST])
    head["format"], head["family"], head["lg_k"] = FORMAT, FAMILY, lg_k
    # A hash set is at most three quarters full.
    set_sizes = 5 + np.searchsorted(3 << np.arange(3, 20), counts)
    head["lg_array"] = np.where(is_set, set_sizes, 3)
    head["flags"] = np.where(counts == 0, EMPTY | COMPACT, COMPACT)
    head["count"] = np.where(is_set, 0, counts)
    head["mode"] = np.where(is_set, SET, LIST) | HLL_8
    heads["coupons"] = counts
    bytes_ = heads.view(np.uint8).reshape(len(heads), -1)
    return pl.Series([row.tobytes()[: 4 * row[0]] for row in bytes_], dtype=pl.Binary)


def _write_registers(states: pl.Series, lg_k: int) -> pl.Series:
    zeros, low, high = read_summaries(states)
    heads = np.zeros(len(states), HLL_HEAD)
    flags = COMPACT | OUT_OF_ORDER
    heads["head"] = (PREAMBLE[HLL], FORMAT, FAMILY, lg_k, 0, flags, 0, HLL | HLL_8)
    heads["low"], heads["high"], heads["zeros"] = low * 2.0**-31, high * 2.0**-63, zeros
    rows = np.empty((len(states), REGISTERS + (1 << lg_k)), np.uint8)
    rows[:, :REGISTERS] = heads.view(np.uint8).reshape(len(states), -1)
    step = max(1, BLOCK >> lg_k)
    for at in range(0, len(states), step):
        registers = read_dense(states[at : at + step], lg_k)
        greatest_of(registers)
        rows[at : at + step, REGISTERS:] = registers
    return write_bytes(rows.reshape(-1), np.full(len(rows), rows.shape[1], np.int64))

"""HyperLogLog states as sketches of Apache DataSketches."""

from __future__ import annotations

import functools

import numpy as np
import polars as pl

from .byte_columns import write_bytes
from .datasketches_bytes import (
    CHUNK,
    COMPACT,
    EMPTY,
    FAMILY,
    FORMAT,
    HEAD,
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
    Coupons,
    Groups,
    are_dense,
    read_dense,
    read_sparse,
    read_summaries,
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
    dense = are_dense(states, lg_k)
    sparse = _write_coupons(*read_sparse(states.filter(~dense), lg_k), lg_k)
    if not dense.any():
        return sparse
    order = np.empty(len(states), np.int64)
    order[~dense] = np.arange(len(sparse))
    order[dense] = len(sparse) + np.arange(len(states) - len(sparse))
    registers = states.filter(dense)
    step = max(1, CHUNK >> lg_k)
    chunks = (registers[at : at + step] for at in range(0, len(registers), step))
    return pl.concat([sparse, *(_write_registers(chunk, lg_k) for chunk in chunks)]).gather(order)


def _write_coupons(counts: Groups, coupons: Coupons, lg_k: int) -> pl.Series:
    is_set = counts >= LIST_SIZE
    heads = np.zeros(len(counts), HEAD)
    heads["words"] = np.where(is_set, PREAMBLE[SET], PREAMBLE[LIST])
    heads["format"], heads["family"], heads["lg_k"] = FORMAT, FAMILY, lg_k
    # A hash set is at most three quarters full.
    set_sizes = 5 + np.searchsorted(3 << np.arange(3, 20), counts)
    heads["lg_array"] = np.where(is_set, set_sizes, 3)
    heads["flags"] = np.where(counts == 0, EMPTY | COMPACT, COMPACT)
    heads["count"] = np.where(is_set, 0, counts)
    heads["mode"] = np.where(is_set, SET, LIST) | HLL_8
    sizes = heads["words"] + counts
    starts = np.cumsum(sizes) - sizes
    words = np.empty(sizes.sum(), "<u4")
    body = np.ones(len(words), np.bool_)
    for at, word in enumerate(heads.view("<u4").reshape(-1, 2).T):
        body[starts + at], words[starts + at] = False, word
    body[starts[is_set] + 2], words[starts[is_set] + 2] = False, counts[is_set]
    words[body] = coupons
    return write_bytes(words.view(np.uint8), 4 * sizes)


def _write_registers(states: pl.Series, lg_k: int) -> pl.Series:
    zeros, low, high = read_summaries(states, lg_k)
    heads = np.zeros(len(states), HLL_HEAD)
    flags = COMPACT | OUT_OF_ORDER
    heads["head"] = (PREAMBLE[HLL], FORMAT, FAMILY, lg_k, 0, flags, 0, HLL | HLL_8)
    heads["low"], heads["high"], heads["zeros"] = low * 2.0**-31, high * 2.0**-63, zeros
    rows = np.empty((len(states), REGISTERS + (1 << lg_k)), np.uint8)
    rows[:, :REGISTERS] = heads.view(np.uint8).reshape(len(states), -1)
    rows[:, REGISTERS:] = read_dense(states, lg_k)
    greatest_of(rows[:, REGISTERS:])
    return write_bytes(rows.reshape(-1), np.full(len(rows), rows.shape[1], np.int64))

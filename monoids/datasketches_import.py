"""Sketches of Apache DataSketches as HyperLogLog states."""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from .byte_columns import read_bytes
from .datasketches_bytes import (
    BITS,
    CHUNK,
    COMPACT,
    EXCEPTION,
    FAMILY,
    FORMAT,
    HEAD,
    HLL,
    PREAMBLE,
    REGISTERS,
    SET,
)
from .hll_coupons import ADDRESS_BITS, MAX_RANK
from .hll_state import LG_K, Coupons, Groups, dense_states, where_valid
from .hll_summary import Registers
from .hll_union import merge

_UNKNOWN: Final = 255  # above any register


def from_datasketches(sketches: pl.Series, lg_k: int) -> pl.Series:
    """Read DataSketches HLL sketches, compact or updatable, of any register width.

    Parameters
    ----------
    sketches
        Binary sketches; may hold nulls.
    lg_k
        What they must have.

    Returns
    -------
    pl.Series
        Binary states of a `HyperLogLog`; null for null.

    Raises
    ------
    ValueError
        Bytes are no sketch, a sketch is damaged or has another lg_k.

    Examples
    --------
    >>> sketch = bytes.fromhex("0201070c0308010838106004")
    >>> from_datasketches(pl.Series([sketch]), lg_k=12).item().hex(" ", 4)
    '010c0000 38106004'
    """
    if lg_k not in LG_K:
        raise ValueError(f"lg_k must be from {LG_K[0]} to {LG_K[-1]}, not {lg_k}")
    return where_valid(sketches, functools.partial(_read, lg_k=lg_k))


def _read(sketches: pl.Series, lg_k: int) -> pl.Series:
    sizes = sketches.bin.size().to_numpy().astype(np.int64)
    heads = _heads(sketches, sizes, lg_k)
    mode = heads["mode"] & 3
    has_coupons = mode != HLL
    groups = np.flatnonzero(has_coupons)
    counts, coupons = _read_coupons(sketches.filter(has_coupons), heads[has_coupons])
    parts = [merge(counts, coupons, lg_k)]
    places = [groups]
    for kind, bits in BITS.items():
        of_kind = np.flatnonzero((mode == HLL) & (heads["mode"] >> 2 == kind))
        step = max(1, CHUNK >> lg_k)
        for at in range(0, len(of_kind), step):
            chunk = of_kind[at : at + step]
            registers = _read_registers(sketches.gather(chunk), heads[chunk], bits)
            parts.append(dense_states(registers))
            places.append(chunk)
    if has_coupons.all():
        return parts[0]
    return pl.concat(parts).gather(np.argsort(np.concatenate(places)))


def _heads(sketches: pl.Series, sizes: Groups, lg_k: int) -> npt.NDArray[np.void]:
    """Read the first eight bytes of each sketch, and check them and its length."""
    if not len(sketches):
        return np.empty(0, HEAD)
    _refuse(sizes < HEAD.itemsize, "is shorter than 8 bytes")
    data, starts = read_bytes(sketches.bin.head(HEAD.itemsize))
    heads = data[starts[0] : starts[-1]].view(HEAD)
    mode, kind = heads["mode"] & 3, heads["mode"] >> 2
    marked = (heads["family"] == FAMILY) & (heads["format"] == FORMAT) & (mode <= HLL)
    _refuse(~marked, "has the wrong mark")
    _refuse(kind > max(BITS), "has registers of an unknown width")
    others = heads["lg_k"][heads["lg_k"] != lg_k]
    if len(others):
        raise ValueError(f"a sketch has lg_k={others[0]}, not {lg_k}: read it with its own lg_k")
    words = np.array(list(PREAMBLE.values()))[mode]
    _refuse(heads["words"] != words, "has a preamble of the wrong length")
    _refuse(sizes < 4 * words, "is cut off")
    if (mode != HLL).all():
        _refuse(sizes % 4 > 0, "is cut off or too long")
        return heads
    bits = np.array(list(BITS.values()))[kind]
    least = REGISTERS + (bits << lg_k) // 8 + (bits == BITS[1])
    exact = (mode == HLL) & (bits != BITS[0])
    _refuse(exact & (sizes != least), "is cut off or too long")
    _refuse((mode == HLL) & (sizes < least), "is cut off")
    _refuse(~exact & (sizes % 4 > 0), "is cut off or too long")
    return heads


def _read_coupons(sketches: pl.Series, heads: npt.NDArray[np.void]) -> tuple[Groups, Coupons]:
    """Give the number of coupons of each sketch, and the coupons of all."""
    if not len(sketches):
        return np.empty(0, np.int64), np.empty(0, np.uint32)
    data, starts = read_bytes(sketches)
    words = np.ascontiguousarray(data[starts[0] : starts[-1]]).view("<u4")
    first = (starts[:-1] - starts[0]) // 4
    is_set = heads["words"] == PREAMBLE[SET]
    declared = heads["count"].astype(np.int64)
    declared[is_set] = words[first[is_set] + 2]
    body = words != 0
    body[first] = body[first + 1] = False
    body[first[is_set] + 2] = False
    counts = np.add.reduceat(body, first, dtype=np.int64)
    compact = heads["flags"] & COMPACT > 0
    room = np.diff(starts) // 4 - heads["words"]
    _refuse(counts != declared, "has another number of coupons than it says")
    _refuse(compact & (room != declared), "is too long")
    coupons = words[body]
    _refuse(coupons >> np.uint32(ADDRESS_BITS) == 0, "has a coupon without a rank")
    return counts, coupons


def _read_registers(sketches: pl.Series, heads: npt.NDArray[np.void], bits: int) -> Registers:
    """Read the registers of sketches with `bits` each: a row a sketch."""
    count = len(sketches)
    k = 1 << int(heads["lg_k"][0])
    # Only exceptions, which come after registers of four bits, make lengths differ.
    head = sketches.bin.head(REGISTERS + k // 2) if bits == BITS[0] else sketches
    data, starts = read_bytes(head)
    rows = data[starts[0] : starts[-1]].reshape(count, -1)
    packed = rows[:, REGISTERS : REGISTERS + k * bits // 8]
    registers = np.empty((count, k), np.uint8)
    match bits:
        case 8:
            registers = packed
        case 6:
            first, second, third = packed[:, 0::3], packed[:, 1::3], packed[:, 2::3]
            registers[:, 0::4] = first & 63
            registers[:, 1::4] = first >> 6 | (second & 15) << 2
            registers[:, 2::4] = second >> 4 | (third & 3) << 4
            registers[:, 3::4] = third >> 2
        case _:
            registers[:, 0::2], registers[:, 1::2] = packed & 15, packed >> 4
            registers = _with_exceptions(registers, sketches, heads)
    return registers


def _with_exceptions(
    nibbles: Registers, sketches: pl.Series, heads: npt.NDArray[np.void]
) -> Registers:
    """Turn nibbles into registers: add each sketch's minimum, put in its exceptions."""
    count, k = nibbles.shape
    _refuse(heads["count"] > MAX_RANK, "has a register above 63")
    registers: Registers = nibbles + heads["count"][:, None]
    registers[nibbles == EXCEPTION] = _UNKNOWN
    data, starts = read_bytes(sketches.bin.slice(REGISTERS + k // 2))
    words = np.ascontiguousarray(data[starts[0] : starts[-1]]).view("<u4")
    rows = np.repeat(np.arange(count), np.diff(starts) // 4)[words != 0]
    words = words[words != 0]
    slots = words & np.uint32(k - 1)
    stray = registers[rows, slots] != _UNKNOWN
    _refuse(stray, "has an exception for a register that is none")
    registers[rows, slots] = words >> np.uint32(ADDRESS_BITS)
    return registers


def _refuse(wrong: npt.NDArray[np.bool_] | np.bool_, problem: str) -> None:
    """Raise a `ValueError` if any sketch is wrong."""
    if wrong.any():
        raise ValueError(f"a sketch {problem}: it is damaged, or no HLL sketch of DataSketches")

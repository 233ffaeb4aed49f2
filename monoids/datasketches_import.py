"""Sketches of Apache DataSketches as HyperLogLog states."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from .byte_columns import interleave, read_bytes, read_views
from .datasketches_bytes import (
    BITS,
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
from .hll_coupons import ADDRESS, ADDRESS_BITS, EMPTY, MAX_RANK
from .hll_sets import Groups, by_length
from .hll_state import BLOCK, LG_K, SPARSE, header, where_valid, write_dense
from .hll_summary import Registers
from .hll_union import of_words

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
    views = read_views(sketches)
    sizes = views["size"].astype(np.int64)
    _refuse(sizes < HEAD.itemsize, "is shorter than 8 bytes")
    dense = views["head"] & 0xFF == PREAMBLE[HLL]
    read_coupons = functools.partial(_read_coupons, lg_k=lg_k)
    if not dense.any():
        return by_length(sketches, sizes, read_coupons)
    sets = by_length(sketches.filter(~dense), sizes[~dense], read_coupons)
    return interleave(
        [sets, _read_dense(sketches.filter(dense), sizes[dense], lg_k)], [~dense, dense]
    )


def _check(heads: npt.NDArray[np.void], sizes: Groups, lg_k: int) -> None:
    """Check the first eight bytes of sketches: they are of this lg_k, and all there."""
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


def _read_coupons(sketches: pl.Series, lg_k: int) -> pl.Series:
    """Build states from sketches of coupons."""
    if not len(sketches):
        return sketches
    sizes = read_views(sketches)["size"].astype(np.int64)
    _refuse(sizes % 4 > 0, "is cut off or too long")
    words = read_bytes(sketches).data.view("<u4").copy()
    first = (np.cumsum(sizes) - sizes) // 4
    heads = np.stack([words[first], words[first + 1]], axis=1).view(HEAD)[:, 0]
    _check(heads, sizes, lg_k)
    sets = first[heads["words"] == PREAMBLE[SET]]
    declared = heads["count"].astype(np.int64)
    declared[heads["words"] == PREAMBLE[SET]] = words[sets + 2]
    # What comes before the coupons becomes a state's header, and no coupons.
    words[first], words[first + 1], words[sets + 2] = header(lg_k, SPARSE), EMPTY, EMPTY
    is_coupon = words > np.uint32(ADDRESS)
    counts = room = sizes // 4 - heads["words"]
    if np.count_nonzero(is_coupon) != room.sum():  # there are zeros between, or damage
        counts = np.add.reduceat(is_coupon, first, dtype=np.int64)
        without_rank = np.count_nonzero(words) - len(first) - counts.sum()
        _refuse(without_rank > 0, "has a coupon without a rank")
    _refuse(counts != declared, "has another number of coupons than it says")
    _refuse((heads["flags"] & COMPACT > 0) & (room != declared), "is too long")
    return of_words(sizes // 4, words, lg_k)


def _read_dense(sketches: pl.Series, sizes: Groups, lg_k: int) -> pl.Series:
    """Build states from sketches of registers."""
    heads = read_bytes(sketches.bin.head(HEAD.itemsize)).data.view(HEAD)
    _check(heads, sizes, lg_k)
    kinds = heads["mode"] >> 2
    bits = np.array(list(BITS.values()))[kinds]
    least = REGISTERS + (bits << lg_k) // 8 + (bits == BITS[1])
    exact = bits != BITS[0]
    _refuse(exact & (sizes != least), "is cut off or too long")
    _refuse(sizes < least, "is cut off")
    _refuse(~exact & (sizes % 4 > 0), "is cut off or too long")
    places = [kinds == kind for kind in BITS]
    return interleave(
        [
            write_dense(_registers(sketches.filter(place), heads[place], width), place.sum(), lg_k)
            for place, width in zip(places, BITS.values(), strict=True)
        ],
        places,
    )


def _registers(sketches: pl.Series, heads: npt.NDArray[np.void], bits: int) -> Iterator[Registers]:
    """Read the registers of sketches with `bits` each, a block of sketches at a time."""
    if not len(sketches):
        return
    step = max(1, BLOCK >> int(heads["lg_k"][0]))
    for at in range(0, len(sketches), step):
        yield _read_registers(sketches[at : at + step], heads[at : at + step], bits)


def _read_registers(sketches: pl.Series, heads: npt.NDArray[np.void], bits: int) -> Registers:
    """Read the registers of sketches with `bits` each: a row a sketch."""
    count = len(sketches)
    k = 1 << int(heads["lg_k"][0])
    # Only exceptions, which come after registers of four bits, make lengths differ.
    head = sketches.bin.head(REGISTERS + k // 2) if bits == BITS[0] else sketches
    rows = read_bytes(head).data.reshape(count, -1)
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
    words = data.view("<u4")
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

"""Exact sums of floats: the same bytes in any order, and the correctly rounded result.

A double is an integer times 2**-1074, so a sum of doubles is one too: a long integer, kept here in
limbs of 32 bits. Adding is exact, hence associative and commutative; rounding happens once, when
the sum is presented. The idea is Kulisch's long accumulator; see R. M. Neal, "Fast exact summation
using small and large superaccumulators", arXiv:1505.05571 (2015).

A state is ``version, kind, first, limb, limb, …``. The version is 1. The kind says whether the sum
is finite, finite and negative, +inf, -inf or NaN. The magnitude of a finite sum follows, as
little-endian 32-bit limbs from number `first` on, without zero limbs at either end, so that equal
sums have equal bytes. NaN, and the infinities but for each other, absorb what they are added to.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from .byte_columns import read_bytes, write_bytes

Ints: TypeAlias = "npt.NDArray[np.int64]"
Bools: TypeAlias = "npt.NDArray[np.bool_]"
Addends: TypeAlias = "tuple[Ints, list[Ints]]"
"""The numbers of limbs, and what to add to each of those, to the next ones, …"""

_VERSION: Final = 1
_FINITE, _NEGATIVE, _PLUS_INF, _MINUS_INF, _NAN = range(5)
_HEADER: Final = 3
_MASK: Final = 2**32 - 1
_BIAS: Final = 1074  # the long integers size units of 2**-1074
_BLOCK: Final = 1 << 14  # groups that are summed at once, which bounds the memory


def fold(values: pl.Series) -> pl.Series:
    """Sum each list of floats into a state; null for a list without a value.

    Parameters
    ----------
    values
        ``List(Float64)``, one list a group, each of fewer than 2**30 values.

    Returns
    -------
    pl.Series
        Binary states.

    Examples
    --------
    >>> states = fold(pl.Series([[0.1] * 10, [1e308, 1e308, -1e308], [None]]))
    >>> present(states).to_list()
    [1.0, 1e+308, None]
    """
    group, flat = _exploded(values)
    floats = flat.to_numpy()
    odd = ~np.isfinite(floats)
    nan, positive = np.isnan(floats[odd]), floats[odd] > 0
    kinds = np.where(nan, _NAN, np.where(positive, _PLUS_INF, _MINUS_INF))
    kind = _special(len(values), group[odd], kinds)
    used = (floats != 0) & (kind[group] == _FINITE)
    used_floats = floats[used]
    totals = _Totals.of(len(values), group[used], lambda rows: _pieces(used_floats[rows]))
    return _states(values.name, kind, totals, group)


def plus(states: pl.Series) -> pl.Series:
    """Merge each list of states into one; null for a list without a state.

    Raises
    ------
    ValueError
        A cell is no state of this version.

    Examples
    --------
    >>> halves = fold(pl.Series([[1e16, 1.0], [-1e16]]))
    >>> present(plus(halves.implode())).to_list()
    [1.0]
    """
    group, flat = _exploded(states)
    read = _Read.of(flat)
    odd = read.kind >= _PLUS_INF
    kind = _special(len(states), group[odd], read.kind[odd])
    owner, sign = np.repeat(group, read.size), np.where(read.kind == _NEGATIVE, -1, 1)
    addends = read.words * np.repeat(sign, read.size)
    limbs = read.limbs()
    used = kind[owner] == _FINITE
    owner, addends, limbs = owner[used], addends[used], limbs[used]
    totals = _Totals.of(len(states), owner, lambda rows: (limbs[rows], [addends[rows]]))
    return _states(states.name, kind, totals, group)


def present(states: pl.Series) -> pl.Series:
    """Round each state's sum to the nearest double, ties to even; null where there is no state.

    A finite sum beyond the greatest double rounds to an infinity, as IEEE 754 has it.

    Raises
    ------
    ValueError
        A cell is no state of this version.

    Examples
    --------
    >>> present(fold(pl.Series([[2.0**53, 1.0, 2.0**-1074]]))).to_list()
    [9007199254740994.0]
    """
    valid = states.is_not_null()
    results = np.zeros(len(states))
    results[valid.to_numpy()] = _Read.of(states.drop_nulls()).rounded()
    return pl.select(pl.when(valid).then(pl.Series(results))).to_series().alias(states.name)


def _exploded(lists: pl.Series) -> tuple[Ints, pl.Series]:
    """Give the number of each value's list, ascending, and the values; nulls are left out."""
    lengths = lists.list.len().fill_null(0).to_numpy()
    flat = lists.explode(empty_as_null=False, keep_nulls=False)
    group = np.repeat(np.arange(len(lists), dtype=np.int64), lengths)
    if flat.null_count():
        group, flat = group[flat.is_not_null().to_numpy()], flat.drop_nulls()
    return group, flat


def _special(groups: int, group: Ints, kinds: Ints) -> Ints:
    """Combine what is not finite: both infinities make a NaN, and NaN absorbs all."""
    seen = np.zeros((5, groups), bool)
    seen[kinds, group] = True
    nan = seen[_NAN] | (seen[_PLUS_INF] & seen[_MINUS_INF])
    conditions = [nan, seen[_PLUS_INF], seen[_MINUS_INF]]
    return np.asarray(np.select(conditions, [_NAN, _PLUS_INF, _MINUS_INF], _FINITE), np.int64)


def _pieces(floats: npt.NDArray[np.float64]) -> Addends:
    """Cut each finite float's 53 bits to fit three limbs from the one where its lowest bit lies."""
    bits = floats.view(np.int64)
    exponent = (bits >> 52) & 0x7FF
    mantissa = (bits & (2**52 - 1)) | (np.minimum(exponent, 1) << 52)
    mantissa = np.where(bits < 0, -mantissa, mantissa)
    shift = np.maximum(exponent, 1) - 1
    limb, inside = shift >> 5, shift & 31
    low, high = (mantissa & _MASK) << inside, (mantissa >> 32) << inside
    return limb, [low & _MASK, (low >> 32) + (high & _MASK), high >> 32]


class _Totals(NamedTuple):
    """The long integer of each group: its sign, the number of its first limb, and its limbs."""

    negative: Bools
    first: Ints
    size: Ints
    words: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, groups: int, group: Ints, addends: Callable[[slice], Addends]) -> Self:
        """Add up, by ascending group, what `addends` gives for a slice of rows."""
        blocks = []
        for begin in range(0, groups or 1, _BLOCK):
            end = min(begin + _BLOCK, groups)
            rows = slice(*np.searchsorted(group, (begin, end)))
            blocks.append(cls._block(end - begin, group[rows] - begin, *addends(rows)))
        return cls(*map(np.concatenate, zip(*blocks, strict=True)))

    @classmethod
    def _block(cls, groups: int, group: Ints, limb: Ints, addends: list[Ints]) -> Self:
        base, top = (int(limb.min()), int(limb.max())) if limb.size else (0, 0)
        # One limb more takes the last carry, whose sign is the sum's.
        sums = np.zeros((top - base + len(addends) + 1, groups), np.int64)
        cell = (limb - base) * groups + group
        for number, addend in enumerate(addends):
            np.add.at(sums.reshape(-1), cell + number * groups, addend)
        _carry(sums)
        negative = sums[-1] < 0
        if negative.any():
            sums[:, negative] *= -1
            _carry(sums)
        nonzero = sums != 0
        first = nonzero.argmax(axis=0)
        last = len(sums) - 1 - nonzero[::-1].argmax(axis=0)
        size = np.where(nonzero.any(axis=0), last - first + 1, 0)
        numbers = np.arange(len(sums))
        kept = (numbers >= first[:, None]) & (numbers < (first + size)[:, None])
        first = np.where(size > 0, first + base, 0)
        return cls(negative, first, size, sums.T[kept].astype(np.uint32))


def _carry(sums: Ints) -> None:
    """Bring all limbs but the last within 32 bits, in place."""
    for low, high in pairwise(sums):
        np.add(high, low >> 32, out=high)
        np.bitwise_and(low, _MASK, out=low)


def _states(name: str, kind: Ints, totals: _Totals, group: Ints) -> pl.Series:
    valid = np.zeros(len(kind), bool)
    valid[group] = True
    lengths = np.where(valid, _HEADER + 4 * totals.size, 0)
    header = (np.cumsum(lengths) - lengths)[valid]
    kind = np.where(totals.negative, _NEGATIVE, kind)
    data = np.empty(int(lengths.sum()), np.uint8)
    is_limb = np.ones(len(data), bool)
    data[header], data[header + 1], data[header + 2] = _VERSION, kind[valid], totals.first[valid]
    for place in range(_HEADER):
        is_limb[header + place] = False
    data[is_limb] = totals.words.astype("<u4").view(np.uint8)
    return write_bytes(data, lengths, valid).alias(name)


class _Read(NamedTuple):
    """States, read: the limbs of all of them end to end."""

    kind: Ints
    first: Ints
    size: Ints
    words: Ints

    @classmethod
    def of(cls, states: pl.Series) -> Self:
        data, starts = read_bytes(states)
        header, lengths = starts[:-1], np.diff(starts)
        sound = (lengths >= _HEADER) & (lengths % 4 == _HEADER)
        if not (
            sound.all() and (data[header] == _VERSION).all() and (data[header + 1] <= _NAN).all()
        ):
            raise ValueError(f"not the state of a float sum of version {_VERSION}")
        limbs = np.ones(len(data), bool)
        limbs[: starts[0]] = limbs[starts[-1] :] = False
        for place in range(_HEADER):
            limbs[header + place] = False
        words = data[limbs].view("<u4").astype(np.int64)
        kind, first = (data[header + place].astype(np.int64) for place in (1, 2))
        return cls(kind, first, lengths // 4, words)

    def limbs(self) -> Ints:
        """Give the number of each limb."""
        before = np.cumsum(self.size) - self.size
        numbers: Ints = np.arange(len(self.words)) + np.repeat(self.first - before, self.size)
        return numbers

    def rounded(self) -> npt.NDArray[np.float64]:
        """Round each state to the nearest double, ties to even."""
        padded = np.concatenate([np.zeros(3, np.uint64), self.words.astype(np.uint64)])
        last = np.cumsum(self.size) + 2
        top, second, third = (
            np.where(self.size > place, padded[last - place], np.uint64(0)) for place in range(3)
        )
        # The highest 64 bits, the first of which is 1, and whether any bit below them is.
        length = np.frexp(top.astype(np.float64))[1].astype(np.uint64)
        window = ((top << 32 | second) << (32 - length)) | (third >> length)
        sticky = (self.size > 3) | ((third & ((np.uint64(1) << length) - 1)) > 0)  # noqa: PLR2004
        mantissa, rest = window >> 11, window & 0x7FF
        up = (rest > 0x400) | ((rest == 0x400) & (sticky | (mantissa & 1 == 1)))  # noqa: PLR2004
        exponent = 32 * (self.first + self.size - 1) + length.astype(np.int64) - 53 - _BIAS
        with np.errstate(over="ignore"):
            sums = np.ldexp((mantissa + up).astype(np.float64), exponent)
        special = [self.kind == kind for kind in (_NEGATIVE, _PLUS_INF, _MINUS_INF, _NAN)]
        return np.asarray(np.select(special, [-sums, np.inf, -np.inf, np.nan], sums), np.float64)

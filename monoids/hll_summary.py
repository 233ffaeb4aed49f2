"""What an estimate needs to know of a dense HyperLogLog sketch, without its registers."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .hll_coupons import MAX_RANK

Registers: TypeAlias = npt.NDArray[np.uint8]


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


def summary(registers: Registers) -> Summary:
    """Summarise sketches: one a row of a matrix of registers; checks as `greatest_of`."""
    greatest = greatest_of(registers)
    lg_k = registers.shape[1].bit_length() - 1
    # Sums of 32 bits are fastest, and hold the weights of ranks up to this one exactly; of a
    # million values, one register in two thousand is above it.
    rank = 31 - lg_k
    weights = registers.astype(np.uint32)
    np.right_shift(np.uint32(1 << rank), weights, out=weights)
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
    bits = np.packbits(registers, axis=1)
    bits = bits.view(f"u{min(bits.shape[1], 8)}")
    filled = np.bitwise_count(bits).sum(axis=1, dtype=np.uint32)
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

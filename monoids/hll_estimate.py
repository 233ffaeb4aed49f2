"""How many distinct values a HyperLogLog state stands for."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import polars as pl

from .hll_coupons import ADDRESS_BITS
from .hll_state import HEADER, read_forms, read_summaries, where_valid
from .hll_summary import Summary


def estimate(states: pl.Series, lg_k: int) -> pl.Series:
    """Estimate the number of distinct values of each state.

    The estimate is a function of the coupons or the registers alone, never of the order in which
    they came. A sparse state's is its number of coupons and the few that are expected to have
    collided. A dense state's is that of O. Ertl, "New cardinality estimation algorithms for
    HyperLogLog sketches" (arXiv 1702.01284, algorithm 6), which needs no tables and no special
    cases, with the factor for few registers of P. Flajolet et al., "HyperLogLog" (2007). Its
    standard error is about ``1.04 / sqrt(2**lg_k)``.

    Parameters
    ----------
    states
        Binary; may hold nulls.
    lg_k
        Their lg_k.

    Returns
    -------
    pl.Series
        Float64; null for null.

    Raises
    ------
    ValueError
        A state is damaged, of another version, or has another lg_k.
    """
    return where_valid(states, functools.partial(_estimate, lg_k=lg_k))


def _estimate(states: pl.Series, lg_k: int) -> pl.Series:
    sizes, dense = read_forms(states, lg_k)
    estimates = of_count((sizes - HEADER) // 4)
    if dense.any():
        estimates[dense] = of_summary(read_summaries(states.filter(dense)), lg_k)
    return pl.Series(estimates)


def of_count(coupons: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Estimate from numbers of distinct coupons: 0 and 1 are exact.

    Two values have one coupon with a probability of a third of ``2**-26``: addresses are uniform,
    and of two ranks the chance to be equal is the sum of ``4**-rank``.

    Examples
    --------
    >>> of_count(np.array([0, 1, 384])).round(6).tolist()
    [0.0, 1.0, 384.000365]
    """
    pairs = coupons * (coupons - 1) / 2
    return coupons + pairs / (3 << ADDRESS_BITS)


def of_summary(summary: Summary, lg_k: int) -> npt.NDArray[np.float64]:
    """Estimate from the summaries of dense sketches.

    Every sum here is of whole numbers or is taken in a fixed order, so that equal registers give
    equal estimates to the last bit. Registers of 63 count as such: none is seen before ``2**60``
    values, so the algorithm's correction for a saturated register is left out.
    """
    filled = summary.low * 2.0**-31 - summary.zeros + summary.high * 2.0**-63
    k = 1 << lg_k
    alpha = 0.5 / math.log(2) / (1 + 1.079 / k)
    return alpha * k * k / (k * _sigma(lg_k)[summary.zeros] + filled)


@functools.cache
def _sigma(lg_k: int) -> npt.NDArray[np.float64]:
    """Tabulate Ertl's sigma for each number of zero registers: what they add in expectation."""
    k = 1 << lg_k
    power = np.arange(k + 1) / k
    total, weight = power.copy(), 1.0
    total[-1] = np.inf
    for _ in range(lg_k + 6):  # the powers square each time; by then the last is below 1e-27
        power *= power
        total += power * weight
        weight *= 2
    total.flags.writeable = False
    return total

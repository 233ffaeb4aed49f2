"""Float sums are exact to the last bit, in any order."""

import math
import struct
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from beaconfold.monoids import float_sum

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TINY, HUGE = 5e-324, 1.7976931348623157e308
POWERS = st.integers(-1074, 1023).map(lambda exponent: 2.0**exponent)
FLOATS = FINITE | POWERS | POWERS.map(lambda power: -power)


def states(lists):
    return float_sum.fold(pl.Series(lists, dtype=pl.List(pl.Float64)))


def bits(values):
    return [struct.pack("<d", value) for value in values]


def rounded(values):
    """Round the exact sum once: `Fraction` to float is correctly rounded, but for overflow."""
    exact = sum(map(Fraction, values), Fraction(0))
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


@given(st.lists(st.lists(FLOATS, min_size=1, max_size=12), min_size=1, max_size=30))
@example([[2.0**53, 1.0], [2.0**53 + 2, 1.0], [2.0**53, 1.0, TINY], [2.0**53 + 2, 1.0, -TINY]])
@example([[TINY, TINY], [2.0**-1022, -TINY], [HUGE, HUGE], [-HUGE, -HUGE], [HUGE, 2.0**969]])
@example([[HUGE, 2.0**970], [HUGE, 2.0**970, -TINY], [HUGE, HUGE, -HUGE], [-0.0], [1.0, -1.0]])
def test_the_result_is_the_correctly_rounded_sum(lists):
    assert bits(float_sum.present(states(lists))) == bits(map(rounded, lists))


@given(st.lists(FINITE.filter(lambda value: abs(value) < 1e300), max_size=200))
def test_the_result_is_that_of_fsum(values):
    assert bits(float_sum.present(states([[0.0, *values]]))) == bits([math.fsum([0.0, *values])])


@given(st.lists(FLOATS, min_size=1), st.randoms(use_true_random=False), st.integers(0, 50))
def test_equal_sums_have_equal_bytes(values, random, cut):
    whole = states([values])
    shuffled = random.sample(values, len(values))
    parts = [part for part in (shuffled[:cut], shuffled[cut:]) if part]
    # What cancels leaves no trace, not even in the first and last limbs.
    cancelling = [*values, HUGE, TINY, -HUGE, -TINY]
    assert states([shuffled]).equals(whole)
    assert float_sum.plus(states(parts).implode()).equals(whole)
    assert states([cancelling]).equals(whole)


SPECIAL = [
    ([math.inf, 1.0, HUGE], math.inf),
    ([-math.inf, 1.0], -math.inf),
    ([math.inf, -math.inf], math.nan),
    ([math.nan, math.inf], math.nan),
    ([-math.nan, 1.0], math.nan),
]


@pytest.mark.parametrize(("values", "expected"), SPECIAL, ids=str)
def test_what_is_not_finite_propagates(values, expected):
    whole = states([values])
    merged = float_sum.plus(states([[value] for value in values]).implode())
    assert merged.equals(whole)
    assert bits(float_sum.present(whole)) == bits([expected])
    assert whole.bin.size().item() == 3


def test_nulls_are_ignored_and_nothing_else_is_null():
    folded = states([[None, 1.0], [None], [0.0, -0.0]])
    assert folded.is_null().to_list() == [False, True, False]
    assert bits(float_sum.present(folded)[[0, 2]]) == bits([1.0, 0.0])
    assert float_sum.plus(pl.Series([[None], [None, folded[0]]])).to_list() == [None, folded[0]]
    assert len(states([])) == len(float_sum.present(states([]))) == 0


def test_many_groups_are_summed_in_blocks():
    groups = 40_000
    lists = pl.DataFrame({"x": range(groups)}).select(
        pl.concat_list(pl.col("x").cast(pl.Float64), pl.lit(0.5))
    )
    results = float_sum.present(float_sum.fold(lists.to_series()))
    assert results.to_list() == [number + 0.5 for number in range(groups)]


@pytest.mark.parametrize("state", [b"", b"\x02\x00\x00", b"\x01\x09\x00", b"\x01\x00\x00\x01"])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match="not the state of a float sum of version 1"):
        float_sum.present(pl.Series([state]))

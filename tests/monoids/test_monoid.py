"""A monoid over Python values sums what it is given, and writes it as JSON."""

import pytest

from beaconfold.monoids import Monoid


class Tally(Monoid[dict]):
    """Counts by name."""

    @property
    def zero(self):
        return {}

    def plus(self, left, right):
        return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


def test_sum():
    tally = Tally()
    assert tally.sum([]) == {}
    assert tally.sum({name: 1} for name in "abca") == {"a": 2, "b": 1, "c": 1}


def test_equal_values_have_equal_bytes_whatever_the_order_of_keys():
    tally = Tally()
    assert (
        tally.encode({"é": 1, "a": 2}) == tally.encode({"a": 2, "é": 1}) == '{"a":2,"é":1}'.encode()
    )
    assert tally.decode(tally.encode({"é": 1})) == {"é": 1}


def test_claims_have_cautious_defaults():
    assert Tally.commutative
    assert not Tally.idempotent


def test_zero_and_plus_are_needed():
    with pytest.raises(TypeError, match="abstract"):
        Monoid()

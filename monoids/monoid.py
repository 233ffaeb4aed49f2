"""Monoids over plain Python values."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar, cast

T = TypeVar("T")


class Monoid(ABC, Generic[T]):
    """A set of values with an associative `plus` and its identity `zero`, as in Algebird.

    Subclasses define `zero` and `plus`, and say which further laws hold. `plus` may change neither
    of its arguments. A monoid whose values are not plain JSON defines `encode` and `decode` too, if
    they are to be stored. `beaconfold.monoids.laws.check_monoid` tests a monoid's laws, and
    `beaconfold.monoids.Lifted` makes an aggregator of it.

    Attributes
    ----------
    commutative
        ``plus(a, b) == plus(b, a)``. Beacons arrive in any order, so aggregates need it.
    idempotent
        ``plus(a, a) == a``: applying a value twice changes nothing.

    References
    ----------
    Twitter's Algebird, ``com.twitter.algebird.Monoid``.

    Examples
    --------
    >>> class Union(Monoid[frozenset[str]]):
    ...     idempotent = True
    ...     zero = frozenset()
    ...
    ...     def plus(self, left, right):
    ...         return left | right
    ...
    ...     def encode(self, value):
    ...         return ",".join(sorted(value)).encode()
    ...
    ...     def decode(self, data):
    ...         return frozenset(data.decode().split(",")) if data else frozenset()
    >>> union = Union()
    >>> union.encode(union.sum([frozenset("ab"), frozenset("bc")]))
    b'a,b,c'
    """

    commutative: ClassVar[bool] = True
    idempotent: ClassVar[bool] = False

    @property
    @abstractmethod
    def zero(self) -> T:
        """The identity: ``plus(zero, a) == a == plus(a, zero)``."""

    @abstractmethod
    def plus(self, left: T, right: T) -> T:
        """Combine two values into a new one; associative."""

    def sum(self, values: Iterable[T]) -> T:
        """Combine any number of values, from the left; of none, `zero`."""
        total = self.zero
        for value in values:
            total = self.plus(total, value)
        return total

    def encode(self, value: T) -> bytes:
        """Write a value; equal values as equal bytes. By default JSON, with sorted keys."""
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode()

    def decode(self, data: bytes) -> T:
        """Read what `encode` wrote."""
        return cast("T", json.loads(data))

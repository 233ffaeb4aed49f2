"""Sets of integers as disjoint half-open ranges: small when the integers are dense."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Ranges:
    """An immutable set of integers, kept as its sorted boundaries.

    The integers of ``[a, b)`` and ``[c, d)`` are ``(a, b, c, d)``, strictly increasing: equal sets
    have equal boundaries, and a number is inside when an odd number of boundaries is not above it.

    Examples
    --------
    >>> Ranges.of([5, 1, 2, 3, 2])
    Ranges(bounds=(1, 4, 5, 6))
    >>> 3 in Ranges((1, 4)), 4 in Ranges((1, 4))
    (True, False)
    >>> Ranges((0, 4)) | Ranges((4, 9)), Ranges((0, 4)) & Ranges((2, 9))
    (Ranges(bounds=(0, 9)), Ranges(bounds=(2, 4)))
    """

    bounds: tuple[int, ...] = ()

    @classmethod
    def of(cls, integers: Iterable[int]) -> Self:
        """Gather integers, in any order and with repetitions, into ranges."""
        bounds: list[int] = []
        for integer in sorted(set(integers)):
            if bounds and bounds[-1] == integer:
                bounds[-1] += 1
            else:
                bounds += (integer, integer + 1)
        return cls(tuple(bounds))

    @classmethod
    def below(cls, stop: int) -> Self:
        """Return the integers from 0 up to, but not including, ``stop``."""
        return cls((0, stop) if stop > 0 else ())

    def __contains__(self, integer: int) -> bool:
        return bisect_right(self.bounds, integer) % 2 == 1

    def __or__(self, other: Self) -> Self:
        return self._sweep(other, lambda left, right: left or right)

    def __and__(self, other: Self) -> Self:
        return self._sweep(other, lambda left, right: left and right)

    def __sub__(self, other: Self) -> Self:
        return self._sweep(other, lambda left, right: left and not right)

    def __len__(self) -> int:
        return sum(self.bounds[1::2]) - sum(self.bounds[::2])

    def __iter__(self) -> Iterator[int]:
        for start, stop in zip(self.bounds[::2], self.bounds[1::2], strict=True):
            yield from range(start, stop)

    def _sweep(self, other: Self, inside: Callable[[bool, bool], bool]) -> Self:
        """Walk over both sets' boundaries and keep those where the result begins or ends."""
        if self.bounds == other.bounds or not other.bounds or not self.bounds:
            trivial = self.bounds or other.bounds
            left, right = bool(self.bounds), bool(other.bounds)
            return type(self)(trivial if inside(left, right) else ())
        edges = sorted([(bound, 0) for bound in self.bounds] + [(b, 1) for b in other.bounds])
        within, bounds = [False, False], list[int]()
        for position, (bound, side) in enumerate(edges):
            within[side] = not within[side]
            last = position + 1 == len(edges) or edges[position + 1][0] != bound
            if last and inside(*within) != (len(bounds) % 2 == 1):
                bounds.append(bound)
        return type(self)(tuple(bounds))

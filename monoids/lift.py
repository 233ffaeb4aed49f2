"""Any monoid over plain Python values, as an aggregator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Final, Generic, NoReturn, TypeVar

import polars as pl

from .aggregator import Aggregator, DeclaredExpr
from .dtypes import as_dtype, dtype_name
from .expression import Json, canonical
from .monoid import Monoid

T = TypeVar("T")
_VERSION: Final = b"\x01"


@dataclass(frozen=True, eq=False)
class Lifted(Aggregator, Generic[T]):
    """A Python monoid, a row at a time; null for a group without values.

    This calls Python for each row, so it is slower than the other aggregators by orders of
    magnitude: for what they cannot do, and for trying things out. That equal values have equal
    bytes is for the author of `encode` to see to; `beaconfold.monoids.laws` tests it.

    Parameters
    ----------
    monoid
        A commutative monoid.
    column
        The column whose values are summed.
    where
        Only rows where it is true are summed.
    prepare
        From a cell to a value of the monoid; not needed if the cells are such values.
    encode, decode
        From a value to bytes, the same for equal values, and back; by default the monoid's own.
    result
        From a value to what is presented; by default the value.
    dtype
        The results' data type.
    version
        Change it whenever one of the functions changes its meaning: they cannot be compared.

    Raises
    ------
    TypeError
        The monoid is not commutative: its sums would depend on the order of arrival.

    Examples
    --------
    >>> from beaconfold.monoids import Product
    >>> class Longest(Monoid[str]):
    ...     idempotent = True
    ...     zero = ""
    ...
    ...     def plus(self, left, right):
    ...         return max(left, right, key=lambda text: (len(text), text))
    >>> longest = Lifted(Longest(), "page", dtype=pl.String(), version="1")
    >>> frame = pl.DataFrame({"user": ["a", "a", "a"], "page": ["/", "/x", "/"]})
    >>> product = Product({"longest": longest}).bind(frame.schema)
    >>> product.present(product.fold(frame, ["user"])).rows()
    [('a', '/x')]
    """

    kind: ClassVar[str] = "lifted"

    monoid: Monoid[T]
    column: str = "value"
    _: KW_ONLY
    where: pl.Expr | DeclaredExpr | None = None
    prepare: Callable[[Any], T] | None = None
    encode: Callable[[T], bytes] | None = None
    decode: Callable[[bytes], T] | None = None
    result: Callable[[T], object] | None = None
    dtype: pl.DataType
    version: str  # type: ignore[assignment,misc] # of the functions, not of the states' form

    def __post_init__(self) -> None:
        """Refuse a monoid whose sums depend on the order."""
        if not self.monoid.commutative:
            raise TypeError(
                f"{type(self.monoid).__name__} is not commutative: beacons come in any order"
            )
        object.__setattr__(self, "dtype", as_dtype(self.dtype))
        object.__setattr__(self, "idempotent", self.monoid.idempotent)

    @property
    def state(self) -> pl.DataType:
        """Always ``Binary``: a version byte, and what `encode` gives."""
        return pl.Binary()

    def fold(self) -> pl.Expr:
        """Gather a group's cells."""
        return self.rows().implode()

    def fold_states(self, folded: pl.Series) -> pl.Series:
        """Sum each group's cells, in Python."""
        prepare = self.prepare or (lambda cell: cell)
        return self._sums(folded, prepare)

    def plus(self, name: str) -> pl.Expr:
        """Gather a group's states."""
        return pl.col(name).implode()

    def plus_states(self, merged: pl.Series) -> pl.Series:
        """Sum each group's states, in Python."""
        return self._sums(merged, self._value)

    def present(self, states: pl.Series) -> pl.Series:
        """Decode each state, and give its result."""
        result = self.result or (lambda value: value)
        results = [None if state is None else result(self._value(state)) for state in states]
        return pl.Series(states.name, results, dtype=self.dtype)

    def declare(self) -> dict[str, Json]:
        """Write what can be written; `version` stands for the functions."""
        declaration: dict[str, Json] = {
            "kind": self.kind,
            "version": self.version,
            "monoid": type(self.monoid).__name__,
            "column": self.column,
            "dtype": dtype_name(self.dtype),
        }
        if self.where is not None:
            declaration["where"] = canonical(self.condition())
        return declaration

    @classmethod
    def from_declaration(cls, declaration: Mapping[str, Json]) -> NoReturn:
        """Refuse: Python functions are not in a declaration."""
        raise ValueError(
            f"the monoid {declaration.get('monoid')!r} is Python code, which a declaration does "
            "not hold: use the job itself"
        )

    def _value(self, state: bytes) -> T:
        if state[:1] != _VERSION:
            raise ValueError(f"not the state of a lifted monoid of version {_VERSION[0]}")
        return (self.decode or self.monoid.decode)(state[1:])

    def _sums(self, groups: pl.Series, value: Callable[[Any], T]) -> pl.Series:
        encode = self.encode or self.monoid.encode

        def state(cells: Iterable[object]) -> bytes | None:
            values = [value(cell) for cell in cells if cell is not None]
            return _VERSION + encode(self.monoid.sum(values)) if values else None

        return pl.Series(groups.name, [state(cells) for cells in groups], dtype=pl.Binary)

"""Aggregators: Algebird's *prepare, monoid, present*, over columns."""

from __future__ import annotations

import contextlib
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final, Self, TypeAlias

import polars as pl

from .dtypes import as_dtype, dtype_name, parse_dtype
from .expression import Json, OpaqueExpression, canonical

Schema: TypeAlias = "Mapping[str, pl.DataType]"


class CellError(ArithmeticError):
    """One cell of a result cannot be computed: its total overflows, say.

    Attributes
    ----------
    problem
        What is wrong, without the cell's name.
    index
        The group's number, from 0, in the column that was being computed.
    """

    def __init__(self, problem: str, index: int, where: str = "") -> None:
        super().__init__(problem, index, where)
        self.problem, self.index, self.where = problem, index, where

    def __str__(self) -> str:
        return f"{self.where or f'group {self.index}'}: {self.problem}"


@dataclasses.dataclass(frozen=True)
class DeclaredExpr:
    """An expression as a declaration holds it: enough to compare, not to evaluate."""

    form: Json


class Aggregator(ABC):
    """What turns rows into one state a group, merges states, and presents a state.

    An aggregator is a frozen dataclass (``eq=False``), small and picklable. Its *state* is a cell
    of a Polars column: ``Int64``, ``Int128`` or ``Binary``; null is the identity, "no data". A
    state is canonical: equal data gives equal cells, whatever the order or the batches. Binary
    states begin with a version byte.

    In a group-by, `fold` and `plus` are expressions that give one value a group, and
    `fold_states` and `plus_states` turn the column of those values into states, all groups at
    once, by a vectorised kernel. By default these change nothing.

    A subclass with a `kind` of its own is registered under it, for `restore`. Its dataclass
    fields are its declaration: they hold JSON values, data types, or (``where``) an expression.

    Attributes
    ----------
    kind
        The aggregator's name in declarations.
    version
        The version of its states' form; raised when that changes.
    lawful
        False if the states only promise an error bound, not the monoid laws.
    idempotent
        Merging a state twice changes nothing.
    column, where
        What most aggregators read: a column, and which rows of it (true ones only).

    Examples
    --------
    >>> from beaconfold.monoids import Sum
    >>> total = Sum("price").bind({"price": pl.Int32()})
    >>> total.declare()
    {'kind': 'sum', 'version': 1, 'column': 'price', 'dtype': 'Int64', 'source': 'Int32'}
    >>> restore(total.declare()).present(pl.Series([7], dtype=total.state)).to_list()
    [7]
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    lawful: ClassVar[bool] = True
    idempotent: ClassVar[bool] = False

    column: str | None = None
    where: pl.Expr | DeclaredExpr | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "kind" in cls.__dict__:
            _REGISTRY[cls.kind] = cls

    @property
    def columns(self) -> frozenset[str]:
        """The input columns that it reads."""
        own = () if self.column is None else (self.column,)
        filtered = self.where.meta.root_names() if isinstance(self.where, pl.Expr) else ()
        return frozenset((*own, *filtered))

    @property
    @abstractmethod
    def state(self) -> pl.DataType:
        """The data type of a state; a `TypeError` where it is known only after `bind`."""

    def bind(self, schema: Schema) -> Self:
        """Resolve data types against the input columns.

        Subclasses that need the data type of their column take it from `source_dtype`, and call
        this one, which checks ``where``.

        Raises
        ------
        TypeError
            A column is missing or of a data type that cannot be aggregated.
        NotRowWise
            ``where`` looks at other rows than its own.
        """
        if not isinstance(self.where, pl.Expr):
            return self
        read = {name: self._dtype_of(schema, name) for name in self.where.meta.root_names()}
        (dtype,) = pl.LazyFrame(schema=read).select(self.where).collect_schema().dtypes()
        if dtype != pl.Boolean or not read:
            raise TypeError(f"{self}: where= must be Boolean and read a column; it is {dtype}")
        with contextlib.suppress(OpaqueExpression):  # folding needs no version: declaring does
            canonical(self.where)
        return self

    @abstractmethod
    def fold(self) -> pl.Expr:
        """Give one value a group, from the input columns, inside ``group_by().agg()``."""

    def fold_states(self, folded: pl.Series) -> pl.Series:
        """Turn the column that `fold` gave into states.

        Raises
        ------
        CellError
            A group has no state: its total overflows, say.
        """
        return folded

    @abstractmethod
    def plus(self, name: str) -> pl.Expr:
        """Give one value a group, from the column of states `name`, inside ``group_by().agg()``."""

    def plus_states(self, merged: pl.Series) -> pl.Series:
        """Turn the column that `plus` gave into states; raises as `fold_states` does."""
        return merged

    @abstractmethod
    def present(self, states: pl.Series) -> pl.Series:
        """Turn states into results; reading changes no state.

        Raises
        ------
        CellError
            A result does not fit its data type.
        """

    def declare(self) -> dict[str, Json]:
        """Write the definition as JSON, less unset fields: stable, and enough for `restore`.

        Raises
        ------
        OpaqueExpression
            ``where`` holds something that has no canonical form.
        """
        declaration: dict[str, Json] = {"kind": self.kind, "version": self.version}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is not None:
                declaration[field.name] = _declared(value)
        return declaration

    @classmethod
    def from_declaration(cls, declaration: Mapping[str, Json]) -> Self:
        """Build what `declare` described: bound, but unable to evaluate ``where``."""
        if declaration.get("version") != cls.version:
            raise ValueError(
                f"states of {cls.kind!r} have version {declaration.get('version')}; "
                f"this installation reads version {cls.version}"
            )
        fields = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        values: dict[str, object] = {}
        for name, value in declaration.items():
            if name in {"kind", "version"}:
                continue
            if name not in fields:
                raise ValueError(f"aggregator {cls.kind!r} has no parameter {name!r}")
            values[name] = _restored(name, value)
        return cls(**values)

    def source_dtype(self, schema: Schema) -> pl.DataType:
        """Look up the data type of `column`; a `TypeError` if there is no such column."""
        if self.column is None:
            raise TypeError(f"{self} reads no column")
        return self._dtype_of(schema, self.column)

    def rows(self, values: pl.Expr | None = None) -> pl.Expr:
        """Give `values` (or the column), null in the rows that ``where`` leaves out."""
        if values is None:
            if self.column is None:
                raise TypeError(f"{self} reads no column")
            values = pl.col(self.column)
        if self.where is None:
            return values
        return pl.when(self.condition()).then(values)

    def condition(self) -> pl.Expr:
        """Give ``where`` as an expression; a `TypeError` if only its declaration is known."""
        if isinstance(self.where, pl.Expr):
            return self.where
        raise TypeError(f"{self} was restored from a declaration: it can merge and present only")

    def _dtype_of(self, schema: Schema, name: str) -> pl.DataType:
        try:
            return as_dtype(schema[name])
        except KeyError:
            columns = ", ".join(schema) or "none"
            raise TypeError(f"{self}: no column {name!r}; there are: {columns}") from None

    def __str__(self) -> str:
        return f"{type(self).__name__}({'' if self.column is None else repr(self.column)})"


_REGISTRY: Final[dict[str, type[Aggregator]]] = {}


def restore(declaration: Mapping[str, Json]) -> Aggregator:
    """Build an aggregator from its declaration: enough to merge and present states.

    Parameters
    ----------
    declaration
        What `Aggregator.declare` wrote. The module that defines its kind must be imported.

    Raises
    ------
    ValueError
        The kind is unknown, or its states have another version.

    Examples
    --------
    >>> from beaconfold.monoids import Count
    >>> restore(Count().declare())
    Count(where=None)
    """
    kind = declaration.get("kind")
    cls = _REGISTRY.get(str(kind))
    if cls is None:
        known = ", ".join(sorted(_REGISTRY))
        raise ValueError(f"unknown aggregator {kind!r}: import its module; known are {known}")
    return cls.from_declaration(declaration)


def _declared(value: object) -> Json:
    if isinstance(value, pl.Expr):
        return canonical(value)
    if isinstance(value, DeclaredExpr):
        return value.form
    if isinstance(value, pl.DataType):
        return dtype_name(value)
    if isinstance(value, bool | int | float | str | list | dict):
        return value
    raise TypeError(f"{value!r} cannot be declared: use JSON values, data types or expressions")


def _restored(name: str, value: Json) -> object:
    if name == "where":
        return DeclaredExpr(value)
    if name in {"dtype", "source"} and isinstance(value, str):
        return parse_dtype(value)
    return value

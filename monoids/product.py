"""The product of named aggregators: what a job computes a group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias, cast

import polars as pl

from .aggregator import Aggregator, CellError, Schema, restore
from .expression import Json

Kernel: TypeAlias = "Callable[[pl.Series], pl.Series]"


@dataclass(frozen=True, eq=False)
class Product:
    """Several aggregators over the same groups, one column of states each.

    A frame of *partials* holds the key columns and, for each aggregator, a column of its states
    under its name. Partials need no order, and a group may occur in them more than once until
    `plus` has merged it.

    Parameters
    ----------
    aggregators
        By the names of their results; their order is kept.

    Examples
    --------
    >>> from beaconfold.monoids import Count, Sum
    >>> frame = pl.DataFrame({"publisher": ["a", "b", "a"], "price": [1, 2, 3]})
    >>> product = Product({"n": Count(), "revenue": Sum("price")}).bind(frame.schema)
    >>> halves = [product.fold(half, ["publisher"]) for half in (frame[:1], frame[1:])]
    >>> product.present(product.plus(halves, ["publisher"])).sort("publisher").rows()
    [('a', 2, 4), ('b', 1, 2)]
    """

    aggregators: Mapping[str, Aggregator]

    @property
    def states(self) -> dict[str, pl.DataType]:
        """The data type of each aggregator's states."""
        return {name: each.state for name, each in self.aggregators.items()}

    @property
    def columns(self) -> frozenset[str]:
        """The input columns that the aggregators read."""
        return frozenset().union(*(each.columns for each in self.aggregators.values()))

    def bind(self, schema: Schema) -> Self:
        """Resolve data types against the input columns; a `TypeError` names what does not fit."""
        bound = {}
        for name, each in self.aggregators.items():
            try:
                bound[name] = each.bind(schema)
            except TypeError as error:
                raise TypeError(f"aggregate {name!r}: {error}") from None
        return replace(self, aggregators=bound)

    def fold(self, frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
        """Fold rows into partials: one row a group.

        Raises
        ------
        CellError
            A group has no state: its total overflows, say. The message names the cell.
        """
        folds = [each.fold().alias(name) for name, each in self.aggregators.items()]
        folded = frame.group_by(by).agg(folds)
        return folded.with_columns(
            self._cells(folded, name, each.fold_states) for name, each in self.aggregators.items()
        )

    def plus(self, frames: Iterable[pl.DataFrame], by: Sequence[str]) -> pl.DataFrame:
        """Merge partials by group; a group that occurs only once passes through untouched.

        Raises
        ------
        CellError
            A merged total overflows. The message names the cell.
        """
        partials = pl.concat([frame.select(*by, *self.aggregators) for frame in frames])
        repeated = partials.select(by).is_duplicated()
        if not repeated.any():
            return partials
        pluses = [each.plus(name).alias(name) for name, each in self.aggregators.items()]
        merged = partials.filter(repeated).group_by(by).agg(pluses)
        merged = merged.with_columns(
            self._cells(merged, name, each.plus_states) for name, each in self.aggregators.items()
        )
        return pl.concat([partials.filter(~repeated), merged])

    def present(self, partials: pl.DataFrame) -> pl.DataFrame:
        """Replace each column of states by its results; other columns stay.

        Raises
        ------
        CellError
            A result does not fit its data type. The message names the cell.
        """
        return partials.with_columns(
            self._cells(partials, name, each.present) for name, each in self.aggregators.items()
        )

    def declare(self) -> dict[str, Json]:
        """Write each aggregator's declaration under its name."""
        return {name: each.declare() for name, each in self.aggregators.items()}

    @classmethod
    def restore(cls, declaration: Mapping[str, Json]) -> Self:
        """Build a product from its declaration: enough to merge and present partials.

        Raises
        ------
        ValueError
            An aggregator is of an unknown kind or version.
        """
        return cls(
            {name: restore(cast("Mapping[str, Json]", each)) for name, each in declaration.items()}
        )

    def _cells(self, frame: pl.DataFrame, name: str, kernel: Kernel) -> pl.Series:
        try:
            return kernel(frame[name]).alias(name)
        except CellError as error:
            cell = frame.drop(self.aggregators).row(error.index, named=True)
            place = ", ".join(f"{column}={value!s}" for column, value in cell.items())
            raise CellError(error.problem, error.index, f"{name} of {place}") from None

"""Which keys a reader wants."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import polars as pl

from .cells import Cells
from .keys import shard_of


class Where:
    """The keys whose columns have some values.

    Parameters
    ----------
    cells
        The cells of the generation.
    values
        Key column → the value wanted, or a list of values any of which is wanted. None is null.

    Raises
    ------
    ValueError
        If there is no such key column, or a value is of another dtype.
    """

    def __init__(self, cells: Cells, values: Mapping[str, Any]) -> None:
        self.cells = cells
        schema = cells.generation.keys
        for name in values:
            if name not in schema:
                raise ValueError(f"no key column {name!r}; there are: {', '.join(schema)}")
        self.wanted = {
            name: _series(name, values[name], dtype)
            for name, dtype in schema.items()
            if name in values
        }

    @cached_property
    def keys(self) -> dict[int, list[str]] | None:
        """The texts of the keys by shard, or None if not all key columns are given."""
        if len(self.wanted) < len(self.cells.generation.keys):
            return None
        combined = pl.DataFrame({"": [None]})
        for values in self.wanted.values():
            combined = combined.join(values.to_frame(), how="cross")
        texts = self.cells.keys.encode(combined)
        named = pl.DataFrame([shard_of(texts, self.cells.shards), texts])
        return dict(named.group_by("shard").agg("key").iter_rows())

    def matching(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep the rows of these keys; where all key columns are given, only such are read."""
        if not self.wanted or self.keys is not None:
            return rows
        matches = [
            pl.col(name).is_in(values.implode(), nulls_equal=True)
            for name, values in self.wanted.items()
        ]
        keys = self.cells.keys.decode(rows["key"])
        return rows.filter(keys.select(pl.all_horizontal(matches)).to_series())


def _series(name: str, value: Any, dtype: pl.DataType) -> pl.Series:
    """Make a column of the distinct values wanted."""
    values = [value]
    if isinstance(value, list | tuple | set | frozenset | pl.Series):
        values = list(value)
    try:
        return pl.Series(name, values, dtype=dtype).unique()
    except (TypeError, pl.exceptions.PolarsError):
        raise ValueError(f"key column {name!r} is {dtype}: {value!r} is not") from None

"""What goes into a store by key and what comes out of it, as columns of states."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import polars as pl

from .exact import exact
from .namespace import VALUE
from .store import V


class Form(ABC, Generic[V]):
    """How Python values become states, and states become values."""

    @abstractmethod
    def states(self, keys: pl.Series, values: Sequence[V]) -> pl.Series:
        """Turn each key's value into a state; null for one that adds nothing."""

    @abstractmethod
    def values(self, keys: pl.Series, states: pl.Series) -> list[V | None]:
        """Turn each key's state into a value; None where there is none."""


@dataclass(frozen=True)
class States(Form[int | bytes]):
    """The states themselves.

    Parameters
    ----------
    state
        Their data type.
    """

    state: pl.DataType

    def states(self, keys: pl.Series, values: Sequence[int | bytes]) -> pl.Series:
        """Make a column of them."""
        del keys
        return exact("state", values, self.state).alias(VALUE)

    def values(self, keys: pl.Series, states: pl.Series) -> list[int | bytes | None]:
        """Make a list of them."""
        del keys
        return states.to_list()

"""A generation: one definition of a job, and the states that a store keeps for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

import polars as pl

from ..monoids.dtypes import parse_dtype
from ..monoids.product import Product
from .errors import GenerationDropped, GenerationRetired, StoreLayoutError

State = Literal["building", "live", "retired", "dropped"]
"""What may happen to a generation: the first two take merges, the last two refuse them."""

LAYOUT = 1
"""The layout of declarations that this version reads."""

RESERVED = frozenset({"shard", "window", "key", "updated_at"})


@dataclass(frozen=True)
class Generation:
    """The states of one job as one declaration defines them.

    Two generations are the same when job, fingerprint and revision are.

    Parameters
    ----------
    job
        Name of the job.
    fingerprint
        Hexadecimal digest of what the job's author declared.
    revision
        Counts rebuilds of the same declaration.
    state
        ``building``, ``live``, ``retired`` or ``dropped``, as it was when this value was read.
    declaration
        The job in JSON: at least ``layout``, ``job``, ``fingerprint``, ``window_us`` (an integer
        or null), ``keys`` (name → dtype name) and ``aggregates`` (`Product.declare`).

    Examples
    --------
    >>> Generation("clicks", "9f2c41aa77e0", 1, "live", {}).id
    'clicks@9f2c41aa77e0-1'
    """

    job: str
    fingerprint: str
    revision: int
    state: State = field(compare=False)
    declaration: Mapping[str, Any] = field(compare=False, repr=False)

    @classmethod
    def declared(cls, declaration: Mapping[str, Any], revision: int = 0) -> Self:
        """Make the generation that a declaration describes, as yet in no store.

        Raises
        ------
        ValueError
            If a name of a column cannot be stored.
        """
        names = [*declaration["keys"], *declaration["aggregates"]]
        for name in declaration["aggregates"]:
            if name.lower() in RESERVED:
                raise ValueError(f"rename the aggregate {name!r}: a store has a column of its own")
        if len({name.lower() for name in names}) < len(names):
            raise ValueError(f"names that differ only in case, or not at all: {', '.join(names)}")
        job, fingerprint = declaration["job"], declaration["fingerprint"]
        return cls(job, fingerprint, revision, "building", declaration)

    def with_product(self, product: Product) -> Self:
        """Bring the aggregates along, where the declaration is not enough to restore them."""
        same = replace(self)
        same.__dict__["product"] = product
        return same

    @property
    def id(self) -> str:
        """The name under which a backend keeps it."""
        return f"{self.job}@{self.fingerprint}-{self.revision}"

    def __str__(self) -> str:
        return f"{self.job}@{self.fingerprint[:12]}-{self.revision}"

    @property
    def window(self) -> int | None:
        """Length of a window in microseconds, or None for a job without windows."""
        window: int | None = self.declaration["window_us"]
        return window

    @cached_property
    def keys(self) -> dict[str, pl.DataType]:
        """Key columns and their dtypes, in the job's order."""
        return {name: parse_dtype(dtype) for name, dtype in self.declaration["keys"].items()}

    @cached_property
    def product(self) -> Product:
        """The aggregates: enough of them to merge and to present states."""
        if self.declaration.get("layout") != LAYOUT:
            raise StoreLayoutError(
                f"{self}: declared by another version/layout: {self.declaration.get('layout')}, "
                f"this one reads {LAYOUT}"
            )
        return Product.restore(self.declaration["aggregates"])

    @cached_property
    def states(self) -> dict[str, pl.DataType]:
        """State columns and their dtypes: ``Int64``, ``Int128`` or ``Binary``."""
        return self.product.states

    @property
    def group(self) -> list[str]:
        """The columns of a partials frame that name a cell: the keys, and the window if any."""
        return [*self.keys, *(["window"] if self.window is not None else [])]

    def refuse(self, state: State, *refused: State) -> None:
        """Raise if the state that it was found in is one of those refused.

        Raises
        ------
        GenerationRetired, GenerationDropped
            It is.
        """
        if state not in refused:
            return
        if state == "dropped":
            raise GenerationDropped(f"{self} was dropped: backfill the job to build it again")
        raise GenerationRetired(f"{self} was retired: readers use a newer generation")

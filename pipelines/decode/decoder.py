"""What every decoder does: raw beacons to typed columns, and what cannot be decoded set aside.

A decoder is declared by its fields. The kinds differ only in how they find a field's text in a raw
beacon (`Decoder.extract`); reading the text, defaults, rejection and computed columns are the same
for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import polars as pl
from polars.datatypes import DataTypeClass

from ...monoids.dtypes import as_dtype
from ...monoids.expression import Json, NotRowWise, OpaqueExpression, canonical
from . import fields as grammar
from .field import RESERVED, Field, check_name, checked
from .field import declare as declare_field
from .lines import Lines

__all__ = ["RESERVED", "Decoded", "Decoder", "Rejections"]


class Decoded(NamedTuple):
    """What a decoder makes of raw beacons.

    Attributes
    ----------
    rows : pl.DataFrame
        ``row: UInt32`` (the row number in the raw frame), the declared fields, the derived columns.
    rejected : pl.DataFrame
        ``row: UInt32, reason: String``: the beacons that could not be decoded.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame


class Rejections:
    """The reasons why beacons are rejected, collected as they are found; the first one stands.

    Parameters
    ----------
    count
        How many beacons there are.

    Examples
    --------
    >>> rejections = Rejections(3)
    >>> rejections.add(pl.Series([False, True, True]), "ts: not a datetime")
    >>> rejections.add_each(pl.Series([None, "not JSON", None], dtype=pl.String))
    >>> rejections.reasons().to_list()
    [None, 'ts: not a datetime', 'ts: not a datetime']
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._reasons: list[pl.Series] = []
        self.skipped: pl.Series | None = None
        """Boolean: the lines that are no beacons at all, such as a header."""

    def add(self, rows: pl.Series | None, reason: str) -> None:
        """Reject the rows that a mask marks; None marks none."""
        if rows is not None and rows.any():
            frame = rows.to_frame("rows").select(pl.when("rows").then(pl.lit(reason)))
            self._reasons.append(frame.to_series())

    def add_each(self, reasons: pl.Series) -> None:
        """Reject the rows that have a reason; the others are null."""
        if reasons.null_count() < self._count:
            self._reasons.append(reasons)

    def reasons(self) -> pl.Series | None:
        """Give each row's first reason: String, null where it has none; None if no row has one."""
        return pl.select(pl.coalesce(self._reasons)).to_series() if self._reasons else None


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Decoder(ABC):
    """Turns raw beacons into typed columns; frozen, picklable, a pure function of its declaration.

    A beacon is rejected whole, with a short reason, when the text of one declared field cannot be
    read; all of them are always checked, whatever a job uses. A field that the beacon does not have
    takes its default, or null. An empty text is the empty string in a String field, and a missing
    value in any other.

    Parameters
    ----------
    defaults
        Values for missing fields, by column; the same as ``Field(…, default=…)``.
    derive
        Computed columns, in order: each may use the fields and the columns before it.
    **fields
        The declared fields: a Polars data type (see `fields` for how text is read), or a `Field`.

    Raises
    ------
    TypeError, ValueError
        The declaration does not hold together: a reserved name, a data type that has no text form,
        a default of another type, a computed column that names an unknown field, …
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    declared: Mapping[str, Field]
    """The fields that the author declared."""
    fields: Mapping[str, Field]
    """These, and before them the ones that every decoder of the kind has."""
    derive: Mapping[str, pl.Expr]
    schema: Mapping[str, pl.DataType]
    """The columns that `decode` gives after ``row``: the fields, then the derived columns."""

    def __init__(
        self,
        *,
        defaults: Mapping[str, object] | None = None,
        derive: Mapping[str, pl.Expr] | None = None,
        **fields: pl.DataType | DataTypeClass | Field,
    ) -> None:
        declared = {name: checked(name, given) for name, given in fields.items()}
        for name, default in (defaults or {}).items():
            if name not in declared:
                raise ValueError(f"defaults: {name!r} is not a declared field")
            field = declared[name]
            declared[name] = checked(name, Field(field.dtype, default, field.source))
        self._set(
            declared=declared, fields={**self._built_in(), **declared}, derive=dict(derive or {})
        )
        for name in self._built_in().keys() & declared.keys():
            raise ValueError(
                f"{name!r} is a field of every {type(self).__name__}: "
                f"give yours another name, my_{name}=Field(…, source={name!r})"
            )
        self._set(schema=self._resolve())

    @abstractmethod
    def extract(self, lines: Lines, rejections: Rejections) -> Mapping[str, pl.Series]:
        """Find the text of each field.

        Parameters
        ----------
        lines
            The raw beacons.
        rejections
            Where to say what is not a beacon of this kind.

        Returns
        -------
        Mapping[str, pl.Series]
            For each of `fields` a column of String, one value a line; null where it is missing. A
            column may have the field's data type already.
        """

    def options(self) -> dict[str, Json]:
        """Give the options that are not at their defaults, for the declaration."""
        return {}

    def decode(self, raw: pl.Series) -> Decoded:
        """Decode raw beacons.

        Parameters
        ----------
        raw
            Binary (or String), one beacon a row.

        Returns
        -------
        Decoded
            The rows that could be decoded, in order, and the ones that could not.
        """
        rejections = Rejections(len(raw))
        texts = self.extract(Lines.of(raw), rejections)
        number = pl.int_range(len(raw), dtype=pl.UInt32, eager=True).alias(RESERVED)
        columns = [number]
        for name, field in self.fields.items():
            text, dtype = texts[name], self.schema[name]
            values = text if text.dtype == dtype else grammar.parse(text, dtype)
            if values.null_count() > text.null_count():
                # `!=` is null where there is no text.
                rejections.add(values.is_null() & (text != ""), self._misread(name, dtype))
            if field.default is not None:
                values = values.fill_null(pl.lit(field.default, dtype))
            columns.append(values.alias(name))
        rows, reasons = pl.DataFrame(columns), rejections.reasons()
        rejected = pl.DataFrame(schema={RESERVED: pl.UInt32, "reason": pl.String})
        beacons = None if rejections.skipped is None else ~rejections.skipped
        if reasons is not None:
            rejected = pl.DataFrame([number, reasons.alias("reason")])
            bad = reasons.is_not_null()
            rejected = rejected.filter(bad if beacons is None else bad & beacons)
            beacons = ~bad if beacons is None else ~bad & beacons
        if beacons is not None:
            rows = rows.filter(beacons)
        for name, expr in self.derive.items():
            rows = rows.with_columns(expr.alias(name))
        return Decoded(rows, rejected)

    def declare(self) -> dict[str, Json]:
        """Write down everything that changes what `decode` means, and nothing else.

        Returns
        -------
        dict
            JSON-able and stable: ``kind``, ``version``, ``fields``, and ``derive`` and the options
            where there are any.

        Raises
        ------
        OpaqueExpression
            A computed column has no canonical form.

        Examples
        --------
        >>> from beaconfold.pipelines.decode import QueryString
        >>> QueryString(price=pl.Decimal(18, 6)).declare()
        {'kind': 'querystring', 'version': 1, 'fields': {'price': {'dtype': 'Decimal(18,6)'}}}
        """
        declaration: dict[str, Json] = {
            "kind": self.kind,
            "version": self.version,
            "fields": {name: declare_field(field) for name, field in self.declared.items()},
        }
        if self.derive:
            declaration["derive"] = {name: canonical(expr) for name, expr in self.derive.items()}
        return declaration | self.options()

    def __repr__(self) -> str:
        fields = (f"{name}={self.schema[name]}" for name in self.fields)
        return f"{type(self).__name__}({', '.join([*fields, *self.derive])})"

    def _set(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def _built_in(self) -> Mapping[str, Field]:
        """Give the fields that the decoder has without being told."""
        return {}

    def _sources(self) -> dict[str, str]:
        """Give each declared field's name in the beacon."""
        return {name: field.source or name for name, field in self.declared.items()}

    @staticmethod
    def _misread(name: str, dtype: pl.DataType) -> str:
        return f"{name}: not {grammar.describe(dtype)}"

    def _resolve(self) -> dict[str, pl.DataType]:
        """Find the data types of all columns, the computed ones by running them on no rows."""
        schema = {name: as_dtype(field.dtype) for name, field in self.fields.items()}
        for name, expr in self.derive.items():
            check_name(name)
            if name in schema:
                raise ValueError(f"derive {name!r}: there is a field of that name already")
            try:
                canonical(expr)
            except OpaqueExpression:
                pass  # it needs the job's version=, which is not known here
            except NotRowWise as error:
                raise ValueError(f"derive {name!r}: {error}") from None
            unknown = [column for column in expr.meta.root_names() if column not in schema]
            if unknown:
                raise ValueError(
                    f"derive {name!r} reads {unknown[0]!r}, which is not a field: "
                    f"declare it, for example {unknown[0]}=pl.String"
                )
            try:
                schema[name] = pl.DataFrame(schema=schema).select(expr.alias(name)).dtypes[0]
            except pl.exceptions.PolarsError as error:
                raise TypeError(f"derive {name!r}: {str(error).splitlines()[0]}") from None
        return schema

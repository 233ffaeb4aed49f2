"""Beacons that are lines of separated values, in columns of a fixed order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl
from polars.datatypes import DataTypeClass

from ...monoids.expression import Json
from .decoder import Decoder, Rejections
from .field import Field
from .lines import Lines, native, overlay

_BADLY_QUOTED: Final = 0  # stands for a count of fields


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Delimited(Decoder):
    r"""Decodes separated values: TSV, CSV and the like, one beacon a line.

    A line with another number of columns is rejected. A carriage return at its end is not part of
    it. Columns that are not declared as fields may hold anything.

    Parameters
    ----------
    columns
        The names of all the columns, in order.
    separator
        One ASCII character.
    header
        Whether lines may be headers: one that says ``columns`` is neither a row nor rejected.
    quote
        The character around values that hold separators, doubled within such a value (RFC 4180,
        within one line); None: no character is special.
    null_values
        Texts that stand for a missing value.
    **fields
        The declared fields, each one of the columns (by its name, or by its ``source``). See
        `Decoder` for these and for ``defaults`` and ``derive``.

    Examples
    --------
    >>> decoder = Delimited(columns=["host", "time", "bytes"], bytes=pl.Int64, null_values=["-"])
    >>> rows, rejected = decoder.decode(pl.Series([b"a\t1\t512", b"b\t2\t-", b"c\t3"]))
    >>> rows.rows(), rejected.rows()
    ([(0, 512), (1, None)], [(2, '2 fields, expected 3')])
    """

    kind = "delimited"

    columns: Sequence[str]
    separator: str
    header: bool
    quote: str | None
    null_values: Sequence[str]

    def __init__(
        self,
        *,
        columns: Sequence[str],
        separator: str = "\t",
        header: bool = False,
        quote: str | None = None,
        null_values: Sequence[str] = (),
        defaults: Mapping[str, object] | None = None,
        derive: Mapping[str, pl.Expr] | None = None,
        **fields: pl.DataType | DataTypeClass | Field,
    ) -> None:
        self._set(
            columns=tuple(columns),
            separator=separator,
            header=header,
            quote=quote,
            null_values=tuple(null_values),
        )
        if len(set(columns)) < len(columns):
            raise ValueError("columns: a name is there twice")
        for option, character in (("separator", separator), ("quote", quote)):
            special = character in {"\r", "\n"} or (option == "quote" and character == separator)
            if character is not None and (
                len(character) != 1 or not character.isascii() or special
            ):
                raise ValueError(f"{option}: {character!r} is not one ASCII character of its own")
        super().__init__(defaults=defaults, derive=derive, **fields)
        unknown = [name for name in self._sources().values() if name not in self.columns]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r}: not among the columns, which are {', '.join(self.columns)}"
            )

    def options(self) -> dict[str, Json]:
        """Give the options that are not at their defaults: see `Decoder.options`."""
        options: dict[str, Json] = {"columns": list(self.columns)}
        if self.separator != "\t":
            options["separator"] = self.separator
        if self.header:
            options["header"] = True
        if self.quote is not None:
            options["quote"] = self.quote
        if self.null_values:
            options["null_values"] = list(self.null_values)
        return options

    def extract(self, lines: Lines, rejections: Rejections) -> Mapping[str, pl.Series]:
        """Find the text of each field: see `Decoder.extract`."""
        line = lines.text.str.strip_suffix("\r")
        if self.header:
            rejections.skipped = line.is_in(self._headers())
        values = line.str.split(self.separator).alias("values")
        counts, expected = values.list.len(), len(self.columns)
        places = {name: self.columns.index(source) for name, source in self._sources().items()}
        frame = values.to_frame().select(
            pl.col("values").list.get(place, null_on_oob=True).alias(name)
            for name, place in places.items()
        )
        if self.quote is not None and (marked := line.str.contains(self.quote, literal=True)).any():
            unquoted, counts_of_marked = self._unquote(line.filter(marked), places)
            counts = overlay(counts, marked, counts_of_marked)
            rejections.add(counts == _BADLY_QUOTED, "badly quoted")
            frame = pl.DataFrame(
                [overlay(frame[name], marked, unquoted[name]).alias(name) for name in places]
            )
        if (wrong := counts != expected).any():
            rejections.add_each(
                pl.DataFrame({"count": counts, "wrong": wrong})
                .select(
                    pl.when("wrong").then(
                        pl.format("{} fields, expected {}", "count", pl.lit(expected))
                    )
                )
                .to_series()
            )
        texts = {}
        for name in places:
            texts[name], invalid = native(frame[name], lines.foreign)
            rejections.add(invalid, f"{name}: not UTF-8")
            if self.null_values:
                texts[name] = texts[name].set(texts[name].is_in(self.null_values), None)
        return texts

    def _headers(self) -> list[str]:
        """Give the texts of a header line: as it is, and with every name in quotes."""
        plain = self.separator.join(self.columns)
        if self.quote is None:
            return [plain]
        return [
            plain,
            self.separator.join(f"{self.quote}{name}{self.quote}" for name in self.columns),
        ]

    def _unquote(
        self, line: pl.Series, places: Mapping[str, int]
    ) -> tuple[pl.DataFrame, pl.Series]:
        """Read lines that hold quotes: their fields, and how many there are."""
        mark, other = (_literal(character) for character in (self.quote or "", self.separator))
        inner, plain = f"(?:[^{mark}]|{mark}{mark})*", f"[^{mark}{other}]*"
        either = f"(?:{mark}{inner}{mark}|{plain})"
        wanted = sorted(set(places.values()))
        forms = [
            f"(?:{mark}({inner}){mark}|({plain}))" if place in wanted else either
            for place in range(len(self.columns))
        ]
        pattern = f"^{other.join(forms)}$"
        groups = line.str.extract_groups(pattern).struct.unnest() if wanted else pl.DataFrame()
        columns = []
        for name, place in places.items():
            group = 2 * wanted.index(place) + 1
            within = groups[str(group)].str.replace_all(f"{mark}{mark}", self.quote or "")
            value = within.zip_with(within.is_not_null(), groups[str(group + 1)])
            columns.append(value.alias(name))
        wrong = ~line.str.contains(pattern)
        rest = line.filter(wrong)
        bare = rest.str.replace_all(f"{mark}{inner}{mark}", "").str.count_matches(other) + 1
        well = rest.str.contains(f"^{either}(?:{other}{either})*$")
        counts = pl.Series([len(self.columns)], dtype=pl.UInt32).new_from_index(0, len(line))
        bad = pl.Series([_BADLY_QUOTED], dtype=pl.UInt32).new_from_index(0, len(rest))
        return pl.DataFrame(columns), overlay(counts, wrong, bare.zip_with(well, bad))


def _literal(character: str) -> str:
    """Write a character so that it means itself in a pattern and in a class of characters."""
    return f"\\x{{{ord(character):x}}}"

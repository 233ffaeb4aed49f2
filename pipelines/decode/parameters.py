"""The parameters of a query string, found for whole columns: raw text to columns of encoded text.

Beacons of one kind are written by one program, so nearly all of them list the same names in the
same order. `parameters` bets on that: it takes the layout of the first line that is left, reads all
the lines at once with one anchored pattern made from it, and goes round again with the lines that
do not match. What is left after a few layouts is split and matched name by name, which is right for
any line and several times slower. The bet decides nothing but the time taken.

This module is the seam for a compiled pass: text in, columns of encoded text out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import polars as pl

from . import percent
from .lines import Lines, missing

LAYOUTS: Final = 8
"""How many layouts are tried."""

_LONGEST: Final = 4096  # characters of a pattern: beyond it, compiling costs more than it gains

_METHOD: Final = "^(?:GET|HEAD|POST) "
_PROTOCOL: Final = r" HTTP/[0-9]+(?:\.[0-9]+)?"
_VALUE: Final = r"[^&# \r]*"  # no space and no return, so that the pattern has one reading only
_ROW: Final = "row"


def parameters(lines: Lines, names: Sequence[str], layouts: int = LAYOUTS) -> pl.DataFrame:
    """Find the first value of each name in each line's query string.

    The query is what follows the first ``?``, if that comes before the first ``=``; else it is the
    whole line, without a method such as ``GET`` in front. It ends at ``#``, at a tail such as
    `` HTTP/1.1``, or at a carriage return that ends the line. Of a repeated name the first value
    counts, as in the WHATWG's ``URLSearchParams.get``; a name without ``=`` has an empty value.
    Names are compared after percent-decoding.

    Parameters
    ----------
    lines
        The lines.
    names
        The names to look for, distinct.
    layouts
        How many layouts to try.

    Returns
    -------
    pl.DataFrame
        A column of String for each name, one row a line: the value as it is written, still encoded
        (and seen as Latin-1 where the line is); null where the line does not have the name.

    Examples
    --------
    >>> lines = Lines.of(pl.Series(["/b.gif?a=1&b=%20&a=2", "GET /b.gif?b=x HTTP/1.1", "c"]))
    >>> parameters(lines, ["a", "b"]).rows()
    [('1', '%20'), (None, 'x'), (None, None)]
    """
    left = pl.int_range(len(lines.text), dtype=pl.UInt32, eager=True).alias(_ROW)
    text = lines.text
    found: list[pl.DataFrame] = []
    odd: list[int] = []
    for _ in range(layouts):
        if not len(text):
            break
        layout = Layout.of(text[0], names)
        if layout is None:
            odd.append(left[0])
            left, text = left[1:], text[1:]
            continue
        columns, matched = layout.read(text, names)
        if matched.all():
            found.append(columns.insert_column(0, left))
            left, text = left.clear(), text.clear()
        else:
            found.append(columns.insert_column(0, left).filter(matched))
            left, text = left.filter(~matched), text.filter(~matched)
    rest = pl.concat([pl.Series(_ROW, odd, dtype=pl.UInt32), left])
    if len(rest) or not found:
        found.append(_any_layout(lines.where(rest), names).insert_column(0, rest))
    whole = found[0] if len(found) == 1 else pl.concat(found).sort(_ROW)
    return whole.drop(_ROW)


class Layout(NamedTuple):
    """How a line is laid out, as far as the last name looked for.

    Attributes
    ----------
    pattern : str
        Matches the lines of this layout, whole or up to where nothing looked for can follow.
    groups : dict
        Which group of the pattern holds a name's value; names that the layout has not are left out.
    """

    pattern: str
    groups: dict[str, int]

    @classmethod
    def of(cls, line: str, names: Sequence[str]) -> Layout | None:
        """Take the layout of a line.

        Parameters
        ----------
        line
            A line.
        names
            The names looked for.

        Returns
        -------
        Layout or None
            None where the line is too odd to make a pattern of.

        Examples
        --------
        >>> Layout.of("/b.gif?a=1&b=2&c=3", ["b"]).groups
        {'b': 1}
        """
        before, mark, query = line.partition("?")
        marked = bool(mark) and "=" not in before and "#" not in before
        query = query if marked else line
        if not marked and re.match(_METHOD, line):
            return None
        query = re.sub(_PROTOCOL + "$", "", query.partition("#")[0].removesuffix("\r"))
        wanted = {name.encode(): name for name in names}
        parts: list[str] = []
        groups: dict[str, int] = {}
        for token in query.split("&"):
            key, equals, _ = token.partition("=")
            if not all("!" <= character <= "~" for character in key):
                return None
            name = wanted.pop(unquote_to_bytes(key.replace("+", " ")), None) if token else None
            value = _VALUE if equals else ""
            if name is not None:
                groups[name] = len(groups) + 1
                value = f"({value})"
            parts.append(re.escape(key) + equals + value)
            if not wanted:
                break  # the first value counts: what follows does not matter
        start = r"^[^?=#]*\?" if marked else "^"
        end = "#|" if wanted else "[&#]|"
        pattern = f"{start}{'&'.join(parts)}(?:{end}(?:{_PROTOCOL})?\\r?$)"
        return cls(pattern, groups) if len(pattern) <= _LONGEST else None

    def read(self, text: pl.Series, names: Sequence[str]) -> tuple[pl.DataFrame, pl.Series]:
        """Read lines with the pattern.

        Returns
        -------
        columns : pl.DataFrame
            A column for each name, null where the layout does not have it.
        matched : pl.Series
            Boolean: the lines that have this layout.
        """
        if not self.groups:
            columns, matched = pl.DataFrame(), text.str.contains(self.pattern)
        else:
            columns = text.str.extract_groups(self.pattern).struct.unnest()
            matched = columns["1"].is_not_null()
        absent = missing(len(text))
        series = [
            (columns[str(self.groups[name])] if name in self.groups else absent).alias(name)
            for name in names
        ]
        return pl.DataFrame(series), matched


def _any_layout(lines: Lines, names: Sequence[str]) -> pl.DataFrame:
    """Find the values in lines of any layout: split at ``&``, then at the first ``=``."""
    query = (
        lines.text.str.strip_suffix("\r")
        .str.replace(r"(?s)#.*$", "")
        .str.replace(_PROTOCOL + "$", "")
    )
    marked = query.str.contains(r"^[^?=]*\?")
    query = query.str.replace(r"^[^?=]*\?", "").zip_with(marked, query.str.replace(_METHOD, ""))
    count = len(query)
    tokens = (
        pl.DataFrame({_ROW: pl.int_range(count, dtype=pl.UInt32, eager=True), "token": query})
        .with_columns(pl.col("token").str.split("&"))
        .explode("token")
        .filter(pl.col("token") != "")
    )
    parts = tokens["token"].str.splitn("=", 2)
    foreign = None if lines.foreign is None else lines.foreign.gather(tokens[_ROW])
    key, _ = percent.text(parts.struct.field("field_0"), foreign)
    value = parts.struct.field("field_1").fill_null("")
    tokens = pl.DataFrame([tokens[_ROW], key.alias("key"), value.alias("value")])
    columns = []
    for name in names:
        first = tokens.filter(pl.col("key") == name).unique(_ROW, keep="first", maintain_order=True)
        columns.append(missing(count).scatter(first[_ROW], first["value"]).alias(name))
    return pl.DataFrame(columns)

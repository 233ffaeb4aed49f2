"""A frame as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import polars as pl
from rich.cells import cell_len, set_cell_size

from .display import WIDTH
from .readable import readable

NARROWEST: Final = 12
"""Text is not shortened to less than this."""


class _Column(NamedTuple):
    name: str
    cells: list[str]
    """The name, and the values below it."""
    width: int
    is_text: bool
    is_number: bool


def table(frame: pl.DataFrame, repeated: Sequence[str] = (), width: int = WIDTH) -> Iterator[str]:
    r"""Lay a frame out as text, in lines no wider than ``width``.

    Floats have six digits and instants end with the second, in UTC. Text is shortened where that
    makes everything fit, numbers never are: columns that do not fit beside each other follow in
    further blocks. What a terminal would take for a command is shown escaped.

    Parameters
    ----------
    repeated
        Columns that stand in each block.

    Examples
    --------
    >>> frame = pl.DataFrame({"publisher": ["p1", "p\x1b[2J"], "beacons": [3, 12]})
    >>> print(*table(frame), sep="\n")
    publisher  beacons
    p1               3
    p\x1b[2J        12
    """
    columns = [_column(column) for column in frame]
    for gap in ("  ", " "):
        text_width = _fitting(columns, gap, width)
        if text_width is not None:
            yield from _lines(columns, text_width, gap, width)
            return
    always = [column for column in columns if column.name in repeated]
    block = list(always)
    for column in columns:
        if column.name in repeated:
            continue
        if len(block) > len(always) and _fitting([*block, column], "  ", width) is None:
            yield from _block(block, width)
            yield ""
            block = list(always)
        block.append(column)
    yield from _block(block, width)


def shorten(text: str, width: int = WIDTH) -> str:
    """Cut a line to a width, visibly, and escape what a terminal would take for a command.

    >>> shorten("beacons", 5)
    'beac…'
    """
    text = _visible(text)
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _block(columns: list[_Column], width: int) -> Iterator[str]:
    fitting = _fitting(columns, "  ", width)
    yield from _lines(columns, NARROWEST if fitting is None else fitting, "  ", width)


def _fitting(columns: Sequence[_Column], gap: str, width: int) -> int | None:
    """Find the widest that text may be for all columns to fit; None if nothing helps."""
    left = width - len(gap) * (len(columns) - 1)
    left -= sum(column.width for column in columns if not column.is_text)
    texts = [column.width for column in columns if column.is_text]
    for most in range(max([NARROWEST, *texts]), NARROWEST - 1, -1):
        if sum(min(each, most) for each in texts) <= left:
            return most
    return None


def _lines(columns: list[_Column], text_width: int, gap: str, width: int) -> Iterator[str]:
    padded = [_padded(column, text_width) for column in columns]
    for row in zip(*padded, strict=True):
        yield shorten(gap.join(row).rstrip(), width)


def _padded(column: _Column, text_width: int) -> list[str]:
    width = min(column.width, text_width) if column.is_text else column.width
    return [_pad(cell, width, right=column.is_number) for cell in column.cells]


def _pad(text: str, width: int, *, right: bool) -> str:
    text = shorten(text, width)
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def _column(column: pl.Series) -> _Column:
    if column.dtype.is_float():
        values = [None if value is None else _number(value) for value in column]
    elif isinstance(column.dtype, pl.Datetime):
        values = _moments(column)
    else:
        values = readable(column).cast(pl.String).to_list()
    cells = ["null" if value is None else _visible(value) for value in (column.name, *values)]
    width = max(map(cell_len, cells))
    is_text = not (column.dtype.is_numeric() or column.dtype.is_temporal())
    return _Column(column.name, cells, width, is_text, column.dtype.is_numeric())


def _moments(column: pl.Series) -> list[str | None]:
    """Write instants to the second, or to the minute where that says it all."""
    whole = bool((column.dt.second() == 0).all())
    return column.dt.strftime(f"%Y-%m-%d %H:%M{'' if whole else ':%S'}").to_list()


def _number(value: float) -> str:
    """Write a float for people: six digits, or to one decimal place where that is more.

    >>> _number(2.000000004967), _number(1234567.891), _number(1.5e300)
    ('2', '1234567.9', '1.5e+300')
    """
    return f"{value:.1f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}"  # noqa: PLR2004


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

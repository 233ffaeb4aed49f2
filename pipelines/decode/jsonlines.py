"""Beacons that are JSON objects, one a line."""

from __future__ import annotations

import json
import re
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import polars as pl

from . import exact_json
from .decoder import Decoder, Rejections
from .lines import Lines, missing

_BLOCKS: Final = (8192, 512, 32)  # lines read at once; smaller blocks when that fails

_SPACE: Final = r"[ \t\r\n]*"
_SPACES: Final = " \t\r\n"

Tree: TypeAlias = "dict[str, Tree | None]"
Paths: TypeAlias = Mapping[str, Sequence[str]]


class JsonLines(Decoder):
    """Decodes JSON objects by the names of their members.

    A dotted name such as ``device.os`` reaches into nested objects. Of a repeated name the first
    value counts. ``null`` is a missing value. A number in a String field gives its own text
    (``1.10`` stays ``1.10``) and a Boolean ``true`` or ``false``; a string in any other field is
    read as text; an object or an array fits no field. Numbers are exact: a number with an exponent
    is no integer and no Decimal, and ``5.0`` is no integer. Objects nested deeper than 256 are
    rejected.

    See `Decoder` for the parameters of a decoder.

    Examples
    --------
    >>> decoder = JsonLines(**{"user": pl.String, "device.os": pl.String, "added": pl.Int64})
    >>> rows, rejected = decoder.decode(
    ...     pl.Series(['{"user": "a", "device": {"os": "x"}, "added": 36}', '{"added": 1e3}', "[]"])
    ... )
    >>> rows.rows(), rejected.rows()
    ([(0, 'a', 'x', 36)], [(1, 'added: not an int64'), (2, 'not a JSON object')])

    Notes
    -----
    Polars reads blocks of lines. Lines that it might read in another way than the rules above, or
    that it cannot read, are read one by one (see `exact_json`), so that a line's fate never depends
    on its neighbours.
    """

    kind = "jsonlines"

    def extract(self, lines: Lines, rejections: Rejections) -> Mapping[str, pl.Series]:
        """Find the text of each field: see `Decoder.extract`."""
        paths = {name: source.split(".") for name, source in self._sources().items()}
        dtypes = {name: self.schema[name] for name in paths}
        objects = lines.text.str.strip_chars(_SPACES)
        doubtful = ~(objects.str.starts_with("{") & objects.str.ends_with("}"))
        doubtful |= objects.str.contains(_doubt(paths, dtypes)) | _may_be_deep(objects)
        if lines.foreign is not None:
            doubtful |= lines.foreign
        number = pl.int_range(len(objects), dtype=pl.UInt32, eager=True).alias("row")
        frame = pl.DataFrame([number, objects.alias("object")])
        found, left = [], [number.filter(doubtful)]
        for rows, columns in _read_blocks(frame.filter(~doubtful), paths):
            if columns is None:
                left.append(rows)
            else:
                found.append(columns.insert_column(0, rows))
        rest = pl.concat(left)
        if len(rest) or not found:
            misread = {name: self._misread(name, dtype) for name, dtype in dtypes.items()}
            texts, reasons = exact_json.read(lines.where(rest).octets(), paths, misread)
            found.append(pl.DataFrame([rest, *(text.alias(name) for name, text in texts.items())]))
            rejections.add_each(missing(len(objects)).scatter(rest, reasons))
        whole = pl.concat(found)
        return (whole.sort("row") if len(rest) else whole).drop("row").to_dict()

    def _resolve(self) -> dict[str, pl.DataType]:
        _tree([source.split(".") for source in self._sources().values()])
        return super()._resolve()


def _tree(paths: Sequence[Sequence[str]]) -> Tree:
    """Nest the names that lead to the fields."""
    tree: Tree = {}
    for path in paths:
        branch = tree
        for depth, name in enumerate(path):
            inner = branch.setdefault(name, None if depth == len(path) - 1 else {})
            if (inner is None) != (depth == len(path) - 1):
                outer = ".".join(path[: depth + 1])
                raise ValueError(f"{outer!r} cannot be a field and an object with fields in it")
            branch = inner if inner is not None else {}
    return tree


def _read_blocks(
    frame: pl.DataFrame, paths: Paths
) -> Iterator[tuple[pl.Series, pl.DataFrame | None]]:
    """Read lines in blocks: row numbers with columns of text, or with None for unread ones."""
    dtype = _struct(_tree(list(paths.values())))
    blocks = [(0, block) for block in _divide(frame, _BLOCKS[0])]
    while blocks:
        level, block = blocks.pop()
        columns = _read_block(block["object"], paths, dtype)
        if columns is None and block.height > _BLOCKS[-1]:
            blocks += [(level + 1, part) for part in _divide(block, _BLOCKS[level + 1])]
        else:
            yield block["row"], columns


def _divide(frame: pl.DataFrame, size: int) -> Iterator[pl.DataFrame]:
    """Divide a frame, last part first."""
    for start in reversed(range(0, frame.height, size)):
        yield frame[start : start + size]


def _read_block(objects: pl.Series, paths: Paths, dtype: pl.Struct) -> pl.DataFrame | None:
    """Read lines at once; None if they cannot be.

    ``str.json_decode`` joins its rows with commas into one array before it reads them, so that
    ``{"a":"1`` and ``2"}`` become one object, and ``{},{}`` two. Each object therefore gets a first
    member of its own, whose name nobody can know. If all of these come back, one an object and in
    order, then each line was one whole object: an object begins where its line does, and between
    it and the next there is the joining comma only.
    """
    mark, count = secrets.token_hex(16), len(objects)
    number = pl.int_range(count, dtype=pl.Int64, eager=True)
    opened = pl.select(
        pl.concat_str(
            pl.lit(f'{{"{mark}":'),
            number.cast(pl.String),
            pl.lit(","),
            objects.str.strip_prefix("{"),
        )
    ).to_series()
    try:
        values = opened.str.json_decode(pl.Struct([pl.Field(mark, pl.Int64), *dtype.fields]))
    except pl.exceptions.PolarsError:
        return None
    if len(values) != count or not values.struct.field(mark).eq_missing(number).all():
        return None
    columns = []
    for name, path in paths.items():
        column = values
        for key in path:
            column = column.struct.field(key)
        columns.append(column.alias(name))
    return pl.DataFrame(columns)


def _struct(tree: Tree) -> pl.Struct:
    """Make the data type of an object, with every field as text."""
    return pl.Struct(
        {name: pl.String() if inner is None else _struct(inner) for name, inner in tree.items()}
    )


def _may_be_deep(objects: pl.Series) -> pl.Series:
    """Mark the lines with enough brackets to be nested too deeply."""
    long = objects.str.len_bytes() > 2 * exact_json.DEEPEST
    brackets = objects.filter(long).str.count_matches(r"[\[{]")
    return long.scatter(long.arg_true(), brackets > exact_json.DEEPEST)


def _doubt(paths: Paths, dtypes: Mapping[str, pl.DataType]) -> str:
    r"""Make the pattern of lines that Polars might read otherwise than `exact_json`.

    Polars turns a number with a fraction or an exponent into a float and that into text, which
    keeps 15 digits but not the way they were written; it makes ``-0`` into ``0``, and lone
    surrogates into zeros. A name is found by its text, so it must not be spelled in escapes either.
    """
    plain = all(re.fullmatch(r"[ !#-.0-\[\]-~]+", key) for path in paths.values() for key in path)
    patterns = [r"\\u(?:[dD][89a-fA-F]|00[0-7])" if plain else r"\\"]
    by_risk = defaultdict(set)
    for name, path in paths.items():
        by_risk[_risk(dtypes[name])].add(path[-1])
        for outer in path[:-1]:
            by_risk[r"[^{n \t\r\n]"].add(outer)
    for risk, keys in by_risk.items():
        names = [re.escape(json.dumps(key, ensure_ascii=False)) for key in sorted(keys)]
        patterns.append(f"(?:{'|'.join(names)}){_SPACE}:{_SPACE}(?:{risk})")
    return "|".join(patterns)


def _risk(dtype: pl.DataType) -> str:
    """Make the pattern of the values whose text Polars may change or must not give."""
    match dtype:
        case pl.String():
            return r"[-0-9\[{]"
        case pl.Decimal():
            number = rf"[0-9]{{19}}|[0-9.]{{17}}|[0-9]+\.[0-9]{{{dtype.scale + 1}}}|[0-9.]+[eE]"
        case pl.Float64():
            number = "[0-9.]{20}|[0-9.]+[eE]"
        case pl.Float32():
            number = "[0-9.]{17}|[0-9.]+[eE]"
        case _:
            number = "[0-9]{19}|[0-9]+[.eE]"
    return rf"-?(?:{number})|-0[^0-9.]|[\[{{]"

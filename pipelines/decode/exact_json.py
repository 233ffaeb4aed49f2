"""One JSON object at a time, exactly: numbers as they are written, a reason for each failure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import polars as pl

DEEPEST: Final = 256
"""How deep objects and arrays may be nested, so that no line can exhaust the stack."""

_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS: Final = re.compile(r"[\[\]{}]")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER: Final = json.JSONDecoder(
    parse_float=str,
    parse_int=str,
    parse_constant=_refuse,
    object_pairs_hook=lambda pairs: dict(reversed(pairs)),  # the first of a repeated name counts
)


def read(
    lines: pl.Series, paths: Mapping[str, Sequence[str]], misread: Mapping[str, str]
) -> tuple[dict[str, pl.Series], pl.Series]:
    """Read objects one by one.

    Parameters
    ----------
    lines
        Binary, without nulls.
    paths
        The names that lead to each field, from the outermost object inwards.
    misread
        The reason to give for a field that holds an object or an array.

    Returns
    -------
    texts : dict
        For each field a column of String: the text of a string, of a number or of a Boolean; null
        where it is null or missing, or the line has a reason.
    reasons : pl.Series
        String: why a line cannot be read; null where it can.

    Examples
    --------
    >>> texts, reasons = read(
    ...     pl.Series([b'{"a": {"b": 1.50}}', b'{"a": 1}', b"1", b"{"]), {"x": ["a", "b"]}, {}
    ... )
    >>> texts["x"].to_list()
    ['1.50', None, None, None]
    >>> reasons.to_list()
    [None, 'x: not in an object', 'not a JSON object', 'not JSON']
    """
    nothing = [None] * len(paths)
    texts: list[Sequence[str | None]] = []
    reasons: list[str | None] = []
    for line in lines:
        try:
            document = _parse(line)
            found = [
                _text(_reach(document, path, name), name, misread) for name, path in paths.items()
            ]
        except _Unreadable as error:
            texts.append(nothing)
            reasons.append(str(error))
        else:
            texts.append(found)
            reasons.append(None)
    columns = zip(*texts, strict=True) if texts else ([] for _ in paths)
    series = (pl.Series(column, dtype=pl.String) for column in columns)
    return dict(zip(paths, series, strict=True)), pl.Series(reasons, dtype=pl.String)


class _Unreadable(Exception):
    """Why a line cannot be read."""


def _parse(line: bytes) -> dict[str, Any]:
    # Bytes that are not UTF-8 become lone surrogates, which only matter in a declared field.
    text = line.decode("utf-8", "surrogateescape")
    if _is_too_deep(text):
        raise _Unreadable("nested too deeply")
    try:
        document = _DECODER.decode(text)
    except ValueError:
        raise _Unreadable("not JSON") from None
    if not isinstance(document, dict):
        raise _Unreadable("not a JSON object")
    return document


def _is_too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            return True
    return False


def _reach(document: dict[str, Any], path: Sequence[str], name: str) -> object:
    value: object = document
    for key in path:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise _Unreadable(f"{name}: not in an object")
        value = value.get(key)
    return value


def _text(value: object, name: str, misread: Mapping[str, str]) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise _Unreadable(misread[name])
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Unreadable(f"{name}: not UTF-8") from None
    return value

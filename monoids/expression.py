"""Polars expressions in a form of our own, so that a definition can be compared for years.

Polars' serialised expressions change with its version. `canonical` walks one and writes down what
it means in plain JSON, node by node from a list of nodes it knows. What is not on the list cannot
be compared, and the job that holds it must carry an explicit ``version=``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

import polars as pl

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class OpaqueExpression(ValueError):
    """An expression holds a node that has no canonical form."""


class NotRowWise(ValueError):
    """An expression looks at other rows than its own, so its value would depend on the batch."""


def canonical(expr: pl.Expr) -> Json:
    """Write an expression as JSON that does not depend on the version of Polars.

    Parameters
    ----------
    expr
        An expression that is evaluated row by row.

    Returns
    -------
    Json
        Nested lists ``[node, …]``; equal for expressions written alike.

    Raises
    ------
    OpaqueExpression
        A node (a Python function, say) is not on the list of known ones; see `opaque_as`.
    NotRowWise
        An aggregation, a window or a shift: its value would depend on the batch.

    Examples
    --------
    >>> canonical(pl.col("beaconType") == "click")
    ['eq', ['column', 'beaconType'], ['literal', 'String', 'click']]
    """
    try:
        return _walk(json.loads(_serialized(expr)))
    except OpaqueExpression:
        if (version := _version.get()) is None:
            raise
        return ["opaque", version]


@contextmanager
def opaque_as(version: str | None) -> Iterator[None]:
    """Let the author's version stand for the expressions that cannot be compared.

    Parameters
    ----------
    version
        What to write in their place; None: they are errors.

    Examples
    --------
    >>> with opaque_as("2"):
    ...     canonical(pl.col("a").hash())
    ['opaque', '2']
    """
    token = _version.set(version)
    try:
        yield
    finally:
        _version.reset(token)


_version: ContextVar[str | None] = ContextVar("version", default=None)


def _serialized(expr: pl.Expr) -> str:
    try:
        return expr.meta.serialize(format="json")
    except pl.exceptions.ComputeError as error:
        # Polars refuses to write some Python functions as JSON: those are opaque by nature.
        raise OpaqueExpression(f"cannot be written down: {expr}") from error


_BINARY: Final = {
    "Eq": "eq", "EqValidity": "eq_missing", "NotEq": "ne", "NotEqValidity": "ne_missing",
    "Lt": "lt", "LtEq": "le", "Gt": "gt", "GtEq": "ge",
    "Plus": "add", "Minus": "sub", "Multiply": "mul", "TrueDivide": "div",
    "FloorDivide": "floordiv", "Modulus": "mod",
    "And": "and", "LogicalAnd": "and", "Or": "or", "LogicalOr": "or", "Xor": "xor",
}  # fmt: skip

# Polars' name of a function → ours, and its parameters in the order we write them.
_FUNCTIONS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "Abs": ("abs", ()), "Ceil": ("ceil", ()), "Floor": ("floor", ()), "Negate": ("neg", ()),
    "Coalesce": ("coalesce", ()), "FillNull": ("fill_null", ()), "Pow.Generic": ("pow", ()),
    "MinHorizontal": ("min_horizontal", ()), "MaxHorizontal": ("max_horizontal", ()),
    "Clip": ("clip", ("has_min", "has_max")), "Round": ("round", ("decimals", "mode")),
    "Boolean.IsNull": ("is_null", ()), "Boolean.IsNotNull": ("is_not_null", ()),
    "Boolean.Not": ("not", ()), "Boolean.IsNan": ("is_nan", ()),
    "Boolean.IsNotNan": ("is_not_nan", ()), "Boolean.IsFinite": ("is_finite", ()),
    "Boolean.IsInfinite": ("is_infinite", ()), "Boolean.AnyHorizontal": ("any", ()),
    "Boolean.AllHorizontal": ("all", ()), "Boolean.IsBetween": ("is_between", ("closed",)),
    "Boolean.IsIn": ("is_in", ("nulls_equal",)),
    "StringExpr.Lowercase": ("lower", ()), "StringExpr.Uppercase": ("upper", ()),
    "StringExpr.StartsWith": ("starts_with", ()), "StringExpr.EndsWith": ("ends_with", ()),
    "StringExpr.Contains": ("contains", ("literal", "strict")),
    "StringExpr.CountMatches": ("count_matches", ("literal",)),
    "StringExpr.Split": ("split", ("inclusive",)), "StringExpr.Slice": ("slice", ()),
    "StringExpr.Head": ("head", ()), "StringExpr.Tail": ("tail", ()),
    "StringExpr.LenChars": ("len_chars", ()), "StringExpr.LenBytes": ("len_bytes", ()),
    "StringExpr.StripChars": ("strip", ()), "StringExpr.StripCharsStart": ("strip_start", ()),
    "StringExpr.StripCharsEnd": ("strip_end", ()), "StringExpr.ZFill": ("zfill", ()),
    "StringExpr.StripPrefix": ("strip_prefix", ()), "StringExpr.StripSuffix": ("strip_suffix", ()),
    "StringExpr.Extract": ("extract", ("group",)),
    "StringExpr.Replace": ("replace", ("n", "literal")),
    "StringExpr.ConcatHorizontal": ("concat", ("delimiter", "ignore_nulls")),
    "StringExpr.Format": ("format", ("format", "insertions")),
    "StringExpr.JsonPathMatch": ("json_path_match", ()),
    "StringExpr.ToInteger": ("to_integer", ("dtype", "strict")),
    "ListExpr.Get": ("list_get", ("null_on_oob",)), "ListExpr.Length": ("list_len", ()),
    "ListExpr.Contains": ("list_contains", ("nulls_equal",)),
    "StructExpr.FieldByName": ("field", ("name",)),
    "TemporalExpr.Year": ("year", ()), "TemporalExpr.Month": ("month", ()),
    "TemporalExpr.Day": ("day", ()), "TemporalExpr.Hour": ("hour", ()),
    "TemporalExpr.Minute": ("minute", ()), "TemporalExpr.Second": ("second", ()),
    "TemporalExpr.WeekDay": ("weekday", ()), "TemporalExpr.Date": ("date", ()),
    "TemporalExpr.Truncate": ("truncate", ()), "TemporalExpr.TimeStamp": ("epoch", ("unit",)),
    "TemporalExpr.ConvertTimeZone": ("convert_time_zone", ("zone",)),
}  # fmt: skip

_NOT_ROW_WISE: Final = frozenset({
    "Agg", "Over", "Rolling", "Sort", "SortBy", "Gather", "Filter", "Slice", "Explode", "Len",
})  # fmt: skip
_NOT_ROW_WISE_FUNCTIONS: Final = ("Shift", "Random", "Cum", "Rank", "Diff", "IsFirst", "IsLast")


def _walk(node: Any) -> Json:  # noqa: PLR0911 - one return a node
    match node:
        case {"Column": str(name)}:
            return ["column", name]
        case {"Alias": [inner, str()]}:
            return _walk(inner)
        case {"Literal": literal}:
            return _literal(literal)
        case {"BinaryExpr": {"left": left, "op": str(op), "right": right}} if op in _BINARY:
            return [_BINARY[op], _walk(left), _walk(right)]
        case {"Ternary": {"predicate": when, "truthy": then, "falsy": otherwise}}:
            return ["when", _walk(when), _walk(then), _walk(otherwise)]
        case {"Cast": {"expr": inner, "dtype": {"Literal": dtype}, "options": str(options)}}:
            return ["cast", _walk(inner), _plain(dtype), options == "Strict"]
        case {"Function": {"input": list(inputs), "function": function}}:
            return [*_function(function), *map(_walk, inputs)]
        case dict() if len(node) == 1 and next(iter(node)) in _NOT_ROW_WISE:
            raise NotRowWise(_not_row_wise(next(iter(node))))
    raise OpaqueExpression(f"no canonical form for the expression node {_name_of(node)}")


def _function(function: Any) -> list[Json]:
    path, parameters = "", function
    while isinstance(parameters, Mapping) and len(parameters) == 1:
        ((name, inner),) = parameters.items()
        if path and path in _FUNCTIONS:
            break
        path, parameters = f"{path}.{name}" if path else name, inner
    if isinstance(parameters, str) and path not in _FUNCTIONS:
        path, parameters = f"{path}.{parameters}" if path else parameters, None
    if any(part.startswith(_NOT_ROW_WISE_FUNCTIONS) for part in path.split(".")):
        raise NotRowWise(_not_row_wise(path))
    if path not in _FUNCTIONS:
        raise OpaqueExpression(f"no canonical form for the expression node {path}")
    name, expected = _FUNCTIONS[path]
    if not expected and parameters is None:
        return [name]
    if isinstance(parameters, Mapping) and set(parameters) == set(expected):
        return [name, *(_plain(parameters[key]) for key in expected)]
    if len(expected) == 1:
        return [name, _plain(parameters)]
    raise OpaqueExpression(f"unknown parameters of the expression node {path}")


def _literal(literal: Any) -> Json:
    match literal:
        case {"Dyn": {"Int": value} | {"Float": value} | {"Str": value}}:
            return ["literal", value]
        case {"Scalar": {"List": list(ipc)}}:
            values = pl.read_ipc_stream(io.BytesIO(bytes(ipc))).to_series()
            return ["literal", "List", [_plain_value(value) for value in values.to_list()]]
        case {"Scalar": dict(scalar)} if len(scalar) == 1:
            ((dtype, value),) = scalar.items()
            return ["literal", dtype, None if dtype == "Null" else _plain(value)]
    raise OpaqueExpression(f"no canonical form for the literal {_name_of(literal)}")


def _plain(value: Any) -> Json:
    """Keep JSON as it is, less the wrappers that Polars puts around a time zone's name."""
    if isinstance(value, Mapping):
        if set(value) == {"inner"}:
            return _plain(value["inner"])
        return {str(key): _plain(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value  # type: ignore[no-any-return]


def _plain_value(value: object) -> Json:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return [type(value).__name__, str(value)]


def _name_of(node: Any) -> str:
    return str(next(iter(node))) if isinstance(node, Mapping) and node else str(node)[:60]


def _not_row_wise(name: str) -> str:
    return f"{name} looks at other rows than its own: a where= or derive= is evaluated row by row"

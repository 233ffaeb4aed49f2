"""The parameters in a source's URL."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl


def read_parameters(
    query: str, known: Mapping[str, Callable[[str], Any]], source: str
) -> dict[str, Any]:
    """Read the query string of a source's URL.

    Parameters
    ----------
    query
        What follows the question mark.
    known
        How to read each parameter that there is.
    source
        The source's kind, for messages.

    Raises
    ------
    ValueError
        A parameter is unknown, is given twice, or has a value that cannot be read.

    Examples
    --------
    >>> read_parameters("rate=10", {"rate": float, "seed": int}, "synthetic")
    {'rate': 10.0}
    >>> read_parameters("sed=1", {"rate": float, "seed": int}, "synthetic")
    Traceback (most recent call last):
    ...
    ValueError: a synthetic source has no parameter 'sed'; it has: rate, seed
    """
    values: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            have = ", ".join(sorted(known)) or "none"
            raise ValueError(f"a {source} source has no parameter {name!r}; it has: {have}")
        if name in values:
            raise ValueError(f"the parameter {name!r} of the {source} source is given twice")
        try:
            values[name] = known[name](text)
        except ValueError as error:
            raise ValueError(f"{name}={text} of the {source} source: {error}") from error
    return values


def one_of(*choices: str) -> Callable[[str], str]:
    """Read a parameter that is one of a few words.

    >>> one_of("content", "path")("path")
    'path'
    """

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"use {' or '.join(choices)}")
        return text

    return read


def number(
    least: float, kind: type[int | float] = int, *, most: float = math.inf
) -> Callable[[str], Any]:
    """Read a parameter that is a number between two others, both allowed.

    >>> number(1)("20")
    20
    """

    def read(text: str) -> int | float:
        value = kind(text)
        if not least <= value <= most:
            between = f"from {least} on" if math.isinf(most) else f"from {least} to {most}"
            raise ValueError(f"use a number {between}")
        return value

    return read

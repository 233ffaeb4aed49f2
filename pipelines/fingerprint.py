"""A job's identity: what its author declared, hashed in a form of our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

DIGITS = 16
"""Hexadecimal digits of a fingerprint: 64 bits of SHA-256."""


def fingerprint(definition: Mapping[str, Any]) -> str:
    """Hash a definition.

    The same definition has the same fingerprint on every machine and with every version of the
    libraries; one that would give another answer has another.

    Parameters
    ----------
    definition
        Plain JSON.

    Returns
    -------
    str
        16 hexadecimal digits.

    Examples
    --------
    >>> fingerprint({"key": ["publisher"], "window_us": 60_000_000})
    '291392565bbf4634'
    """
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def differences(old: object, new: object, path: str = "") -> Iterator[str]:
    """Name what differs between two definitions.

    Yields
    ------
    str
        ``path: old → new``, a line for each difference.

    Examples
    --------
    >>> list(differences({"window_us": 1, "key": {"a": 1}}, {"window_us": 2, "key": {"a": 1}}))
    ['window_us: 1 → 2']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            inner = f"{path}.{name}" if path else str(name)
            yield from differences(old.get(name), new.get(name), inner)
    elif old != new:
        yield f"{path}: {_brief(old)} → {_brief(new)}"


def _brief(value: object, most: int = 60) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"

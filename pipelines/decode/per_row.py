"""Beacons decoded by a Python function, one at a time: the talk's own form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from ...monoids.dtypes import as_dtype, dtype_name
from ...monoids.expression import Json
from .decoder import RESERVED, Decoded, Decoder, Rejections
from .lines import Lines

VALUE = "value"
"""The column of encoded values."""


class PerRow(Decoder):
    """Decodes each beacon by a Python function that gives its ``(key, value)`` pairs.

    A Python call for each beacon: orders of magnitude slower than the other decoders.

    Parameters
    ----------
    map
        From a beacon's bytes to pairs; a key of several columns is a tuple. A beacon for which it
        raises is rejected, with the exception as the reason.
    encode
        From a value to bytes.
    key
        The names and data types of the key's columns.

    Examples
    --------
    >>> decoder = PerRow(lambda raw: [(raw[:1].decode(), len(raw))], encode=str.encode,
    ...                  key={"letter": pl.String})
    >>> PerRow(lambda raw: [("a", "1")], encode=str.encode, key={"k": pl.String}).decode(
    ...     pl.Series([b"x", b"y"])
    ... ).rows.rows()
    [(0, 'a', b'1'), (1, 'a', b'1')]
    """

    kind = "per_row"

    def __init__(
        self,
        map: Callable[[bytes], Iterable[tuple[Any, Any]]],  # noqa: A002 - the talk's word
        *,
        encode: Callable[[Any], bytes],
        key: Mapping[str, pl.DataType | type[pl.DataType]],
    ) -> None:
        keys = {name: as_dtype(dtype) for name, dtype in key.items()}
        self._set(map=map, encode=encode, key=keys, fields={}, declared={}, derive={})
        self._set(schema={**keys, VALUE: pl.Binary()})

    map: Callable[[bytes], Iterable[tuple[Any, Any]]]
    encode: Callable[[Any], bytes]
    key: Mapping[str, pl.DataType]

    def extract(self, lines: Lines, rejections: Rejections) -> Mapping[str, pl.Series]:
        """Is not used: the function sees the whole beacon."""
        raise NotImplementedError

    def decode(self, raw: pl.Series) -> Decoded:
        """Call the function on each beacon; see `Decoder.decode`."""
        rows: list[tuple[Any, ...]] = []
        rejected: list[tuple[int, str]] = []
        for number, beacon in enumerate(raw.cast(pl.Binary)):
            try:
                pairs = [(self._keys(key), self.encode(value)) for key, value in self.map(beacon)]
            except Exception as error:  # noqa: BLE001 - whatever the user's function raises
                rejected.append((number, f"map raised {type(error).__name__}: {error}"))
            else:
                rows.extend((number, *key, value) for key, value in pairs)
        number_of = {RESERVED: pl.UInt32()}
        return Decoded(
            pl.DataFrame(rows, schema={**number_of, **self.schema}, orient="row"),
            pl.DataFrame(rejected, schema={**number_of, "reason": pl.String}, orient="row"),
        )

    def declare(self) -> dict[str, Json]:
        """Write down the key; the function is what the job's ``version=`` stands for."""
        key: dict[str, Json] = {name: dtype_name(dtype) for name, dtype in self.key.items()}
        return {"kind": self.kind, "version": self.version, "key": key}

    def _keys(self, key: Any) -> tuple[Any, ...]:
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) != len(self.key):
            raise ValueError(f"the key {key!r} has {len(keys)} columns, not {', '.join(self.key)}")
        return keys

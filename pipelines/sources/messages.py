"""Messages to beacons: a message may hold one, lines of them, or a JSON array of them."""

from __future__ import annotations

import json
from typing import Final, Literal, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from ..decode.lines import overlay
from ..decode.octets import Octets
from .parameters import one_of
from .source import ARRIVING

Batching: TypeAlias = Literal["one", "lines", "json"]
"""What a message holds: a beacon, lines, or a JSON array of objects or strings."""

read_batching: Final = one_of("one", "lines", "json")
"""Reads the parameter ``batch`` of a source's URL."""

Positions: TypeAlias = npt.NDArray[np.int64]
_LF, _CR = b"\n"[0], b"\r"[0]
_QUOTE, _BACKSLASH, _COMMA = b'"'[0], b"\\"[0], b","[0]
_BLANKS: Final = np.isin(np.arange(256), list(b" \t\n\r"))
_DEPTHS: Final = np.zeros(256, np.int64)
_DEPTHS[list(b"[{")], _DEPTHS[list(b"]}")] = 1, -1


def to_beacons(
    bodies: pl.Series,
    offsets: pl.Series | Positions,
    message_ids: pl.Series | None = None,
    *,
    batch: Batching = "one",
) -> pl.DataFrame:
    r"""Take the beacons out of messages; those of one message have its offset and its id.

    Parameters
    ----------
    bodies
        Binary, without nulls.
    offsets
        Int64, the messages' offsets.
    message_ids
        Binary, null where there is none.
    batch
        ``one``: each message is a beacon. ``lines``: each line is one; it ends with ``\n`` or
        ``\r\n``, and empty ones are skipped. ``json``: each element of an array is one: the text of
        a string, all else as JSON without blanks; a message that is no JSON array is a beacon as it
        is, for the quarantine to show.

    Returns
    -------
    DataFrame
        Columns as `ARRIVING`.

    Examples
    --------
    >>> bodies = pl.Series([b'[{"p": 1.50}, "p=2"]', b"[", b"[]"])
    >>> to_beacons(bodies, pl.Series([7, 8, 9]), batch="json").select("raw", "offset").rows()
    [(b'{"p":1.50}', 7), (b'p=2', 7), (b'[', 8)]
    >>> to_beacons(pl.Series([b"a\r\nb", b""]), pl.Series([7, 8]), batch="lines")["raw"].to_list()
    [b'a', b'b']
    """
    if batch == "one":
        rows, raw = None, bodies
    else:
        rows, raw = (_lines if batch == "lines" else _elements)(bodies)
    columns = {
        "raw": raw.cast(pl.Binary),
        "offset": pl.Series(offsets, dtype=pl.Int64),
        "message_id": pl.Series([None], dtype=pl.Binary).new_from_index(0, len(bodies))
        if message_ids is None
        else message_ids.cast(pl.Binary),
    }
    if rows is not None:
        taken = pl.Series(rows, dtype=pl.UInt32)
        columns |= {name: columns[name].gather(taken) for name in ("offset", "message_id")}
    return pl.DataFrame(columns).select(ARRIVING.names())


def pieces(text: bytes | npt.NDArray[np.uint8], starts: Positions, ends: Positions) -> pl.Series:
    """Cut pieces, in order and none over another, out of a text, without copying it first.

    Examples
    --------
    >>> pieces(b"a=1&b=2", np.array([0, 4]), np.array([3, 7])).to_list()
    [b'a=1', b'b=2']
    """
    if not starts.size:
        return pl.Series(dtype=pl.Binary)
    # Arrow's values lie side by side: every second one is what lies between two pieces.
    bounds = np.empty(2 * starts.size, np.int64)
    bounds[0::2], bounds[1::2] = starts, ends
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), bounds.size - 1, [None, pa.py_buffer(bounds), pa.py_buffer(text)]
    )
    return pl.Series("raw", array).gather_every(2)


def _lines(bodies: pl.Series) -> tuple[Positions, pl.Series]:
    data, bounds = Octets.of(bodies)
    feeds = np.flatnonzero(data == _LF)
    starts, ends, rows = _split(bounds, feeds)
    ends = ends - _at(data, ends - 1, _CR) * (ends > starts)
    filled = ends > starts
    return rows[filled], pieces(data, starts[filled], ends[filled])


def _elements(bodies: pl.Series) -> tuple[Positions, pl.Series]:
    """Split arrays at their outermost commas; leave other messages as they are."""
    whole = np.fromiter((not _is_array(body) for body in bodies), bool, len(bodies))
    arrays = np.flatnonzero(~whole)
    rows, raw = _split_arrays(bodies.gather(arrays))
    if not whole.any():
        return rows, raw
    rows = np.concatenate([arrays[rows], np.flatnonzero(whole)])
    order = np.argsort(rows, kind="stable")
    return rows[order], pl.concat([raw, bodies.filter(whole)]).gather(order)


def _split_arrays(bodies: pl.Series) -> tuple[Positions, pl.Series]:
    data, bounds = Octets.of(bodies)
    inside = _in_strings(data)
    kept = inside | ~_BLANKS[data]
    data, inside = data[kept], inside[kept]
    bounds = np.concatenate([[0], np.cumsum(kept)])[bounds]
    # What is left of a message has its brackets as its first and its last byte.
    depth = np.cumsum(np.where(inside, 0, _DEPTHS[data]))
    commas = np.flatnonzero((data == _COMMA) & ~inside & (depth == 1))
    brackets = np.stack([bounds[:-1] + 1, bounds[1:] - 1])
    starts = np.sort(np.concatenate([brackets[0], commas + 1]))
    ends = np.sort(np.concatenate([brackets[1], commas]))
    rows = np.searchsorted(bounds, starts, side="right") - 1
    filled = ends > starts
    starts, ends, rows = starts[filled], ends[filled], rows[filled]
    strings = _at(data, starts, _QUOTE)
    raw = pieces(data, starts + strings, ends - strings)
    escaped = pl.Series(strings) & (raw.bin.contains(b"\\"))
    if not escaped.any():
        return rows, raw
    texts = [json.loads(b'"' + text + b'"') for text in raw.filter(escaped)]
    read = pl.Series([text.encode("utf-8", "surrogatepass") for text in texts], dtype=pl.Binary)
    return rows, overlay(raw, escaped, read)


def _in_strings(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Mark what is within quotes, the opening one included, in JSON texts end to end."""
    quotes = data == _QUOTE
    slashes = np.flatnonzero(data == _BACKSLASH)
    if slashes.size:
        # Of a run of backslashes every second one is escaped; an odd run escapes what follows.
        first = np.concatenate([[True], np.diff(slashes) > 1])
        begins = slashes[first][np.cumsum(first) - 1]
        escaping = slashes[(slashes - begins) % 2 == 0]
        quotes[np.minimum(escaping + 1, data.size - 1)] = False
    within: npt.NDArray[np.bool_] = (np.cumsum(quotes) % 2).astype(bool) | quotes
    return within


def _is_array(body: bytes) -> bool:
    if body.lstrip(b" \t\n\r")[:1] != b"[":
        return False
    try:
        _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_float=len, parse_int=len, parse_constant=_refuse)


def _split(bounds: Positions, cuts: Positions) -> tuple[Positions, Positions, Positions]:
    """Cut messages at single bytes, which go: where the pieces start and end, and of which one."""
    starts = np.sort(np.concatenate([bounds[:-1], cuts + 1]), kind="stable")
    ends = np.sort(np.concatenate([cuts, bounds[1:]]), kind="stable")
    counts = np.bincount(np.searchsorted(bounds, cuts, "right") - 1, minlength=bounds.size - 1)
    return starts, ends, np.repeat(np.arange(bounds.size - 1), counts + 1)


def _at(data: npt.NDArray[np.uint8], where: Positions, byte: int) -> npt.NDArray[np.bool_]:
    if not data.size:
        return np.zeros(where.size, bool)
    found: npt.NDArray[np.bool_] = data[np.clip(where, 0, data.size - 1)] == byte
    return found

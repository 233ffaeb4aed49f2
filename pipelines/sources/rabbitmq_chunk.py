"""Chunks of a RabbitMQ stream: what the broker delivers at once, taken apart."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from rstream.schema import Deliver

from .amqp_message import bodies_and_ids
from .messages import Positions
from .source import SourceUnreadable

_GZIP = 1
_CODECS: Final = {3: "lz4", 4: "zstd"}
_ENTRY, _SIZE = struct.Struct(">HII"), struct.Struct(">I").unpack_from


class Messages(NamedTuple):
    """The messages of some chunks, in order.

    Attributes
    ----------
    bodies
        Binary.
    ids
        Binary, the messages' ids; None if none has one.
    offsets
        int64, increasing.
    """

    bodies: pl.Series
    ids: pl.Series | None
    offsets: Positions


def messages_of(chunks: Sequence[Deliver], at_least: int) -> Messages:
    """Take the messages out of chunks: those of an offset and above, as chunks come whole.

    Raises
    ------
    SourceUnreadable
        A chunk holds entries that are compressed in a way that cannot be read.
    """
    texts, starts, ends, offsets = [], [], [], []
    base = 0
    for chunk in chunks:
        text, begins, sizes = _entries(chunk)
        texts.append(text)
        starts.append(np.array(begins, np.int64) + base)
        ends.append(starts[-1] + np.array(sizes, np.int64))
        offsets.append(np.arange(len(begins), dtype=np.int64) + chunk.chunk_first_offset)
        base += len(text)
    data = np.frombuffer(texts[0] if len(texts) == 1 else b"".join(texts), np.uint8)
    numbers = np.concatenate(offsets)
    wanted = slice(int(np.searchsorted(numbers, at_least)), None)
    bodies, ids = bodies_and_ids(data, np.concatenate(starts)[wanted], np.concatenate(ends)[wanted])
    return Messages(bodies, ids, numbers[wanted])


def _entries(chunk: Deliver) -> tuple[bytes, list[int], list[int]]:
    """Find the messages: each one's length says where the next one is."""
    text, at = bytes(chunk.data), 0
    starts: list[int] = []
    sizes: list[int] = []
    for entry in range(chunk.num_entries):
        if text[at] & 0x80:
            return _with_sub_entries(chunk, text, entry, at, starts, sizes)
        (size,) = _SIZE(text, at)
        starts.append(at + 4)
        sizes.append(size)
        at += 4 + size
    return text, starts, sizes


def _with_sub_entries(
    chunk: Deliver, text: bytes, entry: int, at: int, starts: list[int], sizes: list[int]
) -> tuple[bytes, list[int], list[int]]:
    """Go on where an entry holds many messages, perhaps compressed: each has its own offset."""
    plain = [text]
    length = len(text)
    for _ in range(entry, chunk.num_entries):
        kind = text[at]
        if not kind & 0x80:
            (size,) = _SIZE(text, at)
            starts.append(at + 4)
            sizes.append(size)
            at += 4 + size
            continue
        count, whole, size = _ENTRY.unpack_from(text, at + 1)
        at += 1 + _ENTRY.size
        inner = _decompressed(kind >> 4 & 7, text[at : at + size], whole)
        at += size
        within = 0
        for _ in range(count):
            (size,) = _SIZE(inner, within)
            starts.append(length + within + 4)
            sizes.append(size)
            within += 4 + size
        plain.append(inner)
        length += len(inner)
    order = np.argsort(starts, kind="stable")
    if (order != np.arange(order.size)).any():  # plain entries after others: lay them in order
        text = b"".join(plain)
        cut = [text[start : start + size] for start, size in zip(starts, sizes, strict=True)]
        ends = np.cumsum(sizes).tolist()
        return b"".join(cut), [0, *ends[:-1]], sizes
    return b"".join(plain), starts, sizes


def _decompressed(codec: int, content: bytes, size: int) -> bytes:
    if codec == 0:
        return content
    if codec == _GZIP:
        return gzip.decompress(content)
    if codec not in _CODECS:
        raise SourceUnreadable(
            f"messages are compressed with codec {codec}: none, gzip, lz4 and zstd can be read"
        )
    return bytes(pa.decompress(content, size, codec=_CODECS[codec], asbytes=True))

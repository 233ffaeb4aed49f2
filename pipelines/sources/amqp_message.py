"""AMQP 1.0 messages, as RabbitMQ streams hold them: their bodies, and their ids."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from .messages import Positions, pieces

_DATA, _VALUE, _PROPERTIES = 0x75, 0x77, 0x73
_SMALL, _LARGE = 0xA0, 0xB0
_SIZES: Final = {4: 0, 5: 1, 6: 2, 7: 4, 8: 8, 9: 16}
"""Bytes of a value, by the first half of its constructor; the others carry their size."""


def encode(body: bytes) -> bytes:
    r"""Write a message of one section of data, which is what every client understands.

    >>> encode(b"a=1")
    b'\x00Su\xa0\x03a=1'
    """
    size = len(body)
    if size < 256:  # noqa: PLR2004 - what a byte holds
        return b"\0Su\xa0%c%b" % (size, body)
    return b"\0Su\xb0" + size.to_bytes(4, "big") + body


def bodies_and_ids(
    data: npt.NDArray[np.uint8], starts: Positions, ends: Positions
) -> tuple[pl.Series, pl.Series | None]:
    r"""Read messages that lie in a text.

    Parameters
    ----------
    data
        The text.
    starts, ends
        Where each message begins and ends, in order.

    Returns
    -------
    bodies : pl.Series
        Binary. What is not AMQP 1.0 is a body as it is: some clients publish so.
    ids : pl.Series or None
        Binary: the property ``message-id``, null where there is none; None if no message has one.

    Examples
    --------
    >>> text = encode(b"a=1") + b"a=2"
    >>> data = np.frombuffer(text, np.uint8)
    >>> bodies, ids = bodies_and_ids(data, np.array([0, 8]), np.array([8, 11]))
    >>> bodies.to_list(), ids
    ([b'a=1', b'a=2'], None)
    """
    head = np.lib.stride_tricks.sliding_window_view(np.pad(data, (0, 8)), 8)[starts]
    sizes = ends - starts
    sections = (head[:, 0] == 0) & (head[:, 1] == ord("S")) & (head[:, 2] >> 4 == 7) & (sizes > 3)  # noqa: PLR2004
    is_data = sections & (head[:, 2] == _DATA)
    small = is_data & (head[:, 3] == _SMALL) & (sizes - 5 == head[:, 4])
    length = head[:, 4:8].astype(np.int64) @ (1 << np.array([24, 16, 8, 0], np.int64))
    large = is_data & (head[:, 3] == _LARGE) & (sizes - 8 == length)
    bodies = pieces(data, starts + 5 * small + 8 * large, ends)
    if not (others := np.flatnonzero(sections & ~small & ~large)).size:
        return bodies, None
    read = [_read(data[starts[row] : ends[row]].tobytes()) for row in others]
    replaced = dict(zip(others.tolist(), read, strict=True))
    texts = bodies.to_list()
    ids: list[bytes | None] = [None] * len(texts)
    for row, (body, identity) in replaced.items():
        texts[row], ids[row] = body, identity
    identities = pl.Series(ids, dtype=pl.Binary)
    return pl.Series(texts, dtype=pl.Binary), identities if identities.count() else None


def _read(message: bytes) -> tuple[bytes, bytes | None]:
    """Read the sections of a message one by one; one that is broken is its own body."""
    at, body, identity = 0, b"", None
    try:
        while at < len(message):
            if message[at : at + 2] != b"\0S":
                return message, None
            section, at = message[at + 2], at + 3
            value, end = _value(message, at)
            if section in (_DATA, _VALUE):
                body += value
            elif section == _PROPERTIES and value:
                first = 1 if message[at] == 0xC0 else 4  # noqa: PLR2004 - list8, or list32
                identity = _value(value, first)[0] or None
            at = end
    except (IndexError, struct.error):
        return message, None
    return body, identity


def _value(message: bytes, at: int) -> tuple[bytes, int]:
    """Give the bytes of the value at a position, and where it ends."""
    constructor, at = message[at], at + 1
    kind = constructor >> 4
    if kind in _SIZES:
        size = _SIZES[kind]
    elif kind % 2 == 0:  # 0xA_, 0xC_ and 0xE_ have a size of one byte
        size, at = message[at], at + 1
    else:
        (size,) = struct.unpack_from(">I", message, at)
        at += 4
    if at + size > len(message):
        raise IndexError
    return message[at : at + size], at + size

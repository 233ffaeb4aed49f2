"""Frames on the wire: pickled as Arrow IPC, because Polars' own way can hang.

Polars pickles a frame (seen in 2.1) with the interpreter's lock held while it waits for its thread
pool; a thread of the pool that has to free a buffer of Python's then waits for that lock for ever,
and with it the whole worker. Writing IPC lets go of the lock first. Importing this module makes
every frame be pickled so; another process needs it only to read them.
"""

from __future__ import annotations

import copyreg
import io
from collections.abc import Callable

import polars as pl


def packed(frame: pl.DataFrame) -> tuple[Callable[[bytes], pl.DataFrame], tuple[bytes]]:
    """Reduce a frame to bytes and what reads them, as pickle wants it.

    Examples
    --------
    >>> import pickle
    >>> frame = pl.DataFrame({"sum": [2**100]}, schema={"sum": pl.Int128})
    >>> pickle.loads(pickle.dumps(frame)).equals(frame)
    True
    """
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compat_level=pl.CompatLevel.newest())
    return unpacked, (buffer.getvalue(),)


def unpacked(data: bytes) -> pl.DataFrame:
    """Read what `packed` wrote."""
    return pl.read_ipc_stream(data)


copyreg.pickle(pl.DataFrame, packed)

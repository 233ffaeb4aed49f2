"""Binary columns as flat bytes, so that NumPy works on every value of a column at once."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Offsets: TypeAlias = NDArray[np.int64]


class Octets(NamedTuple):
    """A Binary column laid flat.

    Attributes
    ----------
    data : Bytes
        uint8, all the values end to end.
    offsets : Offsets
        int64, one more than there are values; value ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
    """

    data: Bytes
    offsets: Offsets

    @classmethod
    def of(cls, values: pl.Series) -> Octets:
        """Lay a column flat; nothing is copied, so the arrays are read-only.

        Parameters
        ----------
        values
            String or Binary, without nulls.

        Examples
        --------
        >>> Octets.of(pl.Series([b"ab", b"", b"c"])).offsets.tolist()
        [0, 2, 2, 3]
        """
        if not len(values):
            return cls(np.empty(0, np.uint8), np.zeros(1, np.int64))
        array = values.cast(pl.Binary).to_arrow()
        _, offsets_buffer, data_buffer = array.buffers()
        offsets = np.frombuffer(offsets_buffer, np.int64)[array.offset :][: len(array) + 1]
        data = np.frombuffer(data_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
        return cls(data, offsets - offsets[0])

    def restore(self) -> pl.Series:
        """Make the Binary column again.

        Examples
        --------
        >>> Octets.of(pl.Series([b"ab", b"", b"c"])).restore().to_list()
        [b'ab', b'', b'c']
        """
        count = len(self.offsets) - 1
        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.data)]
        array = pa.LargeBinaryArray.from_buffers(pa.large_binary(), count, buffers)
        restored = pl.from_arrow(array)
        assert isinstance(restored, pl.Series)  # noqa: S101 - what an array becomes
        return restored

    def rows_of(self, positions: Offsets) -> Offsets:
        """Tell in which value each of the byte positions lies.

        Examples
        --------
        >>> Octets.of(pl.Series([b"ab", b"", b"c"])).rows_of(np.array([0, 1, 2])).tolist()
        [0, 0, 2]
        """
        return np.searchsorted(self.offsets, positions, side="right") - 1

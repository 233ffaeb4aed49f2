"""Ids of messages that were seen before, within a while: a few bytes each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash as plh

_SEED: Final = 9001


@dataclass(frozen=True)
class _Block:
    """Some ids, as hashes of 128 bits in order of their first half, and when the last one came."""

    first: npt.NDArray[np.uint64]
    second: npt.NDArray[np.uint64]
    at: float

    def __len__(self) -> int:
        return int(self.first.size)

    def plus(self, other: _Block) -> _Block:
        first = np.concatenate([self.first, other.first])
        second = np.concatenate([self.second, other.second])
        order = np.argsort(first, kind="stable")
        return _Block(first[order], second[order], max(self.at, other.at))

    def holds(
        self, first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.bool_]:
        where = np.minimum(np.searchsorted(self.first, first), len(self) - 1)
        found: npt.NDArray[np.bool_] = (self.first[where] == first) & (self.second[where] == second)
        return found


class Seen:
    """Remembers ids for some time, and no more than so many: then the oldest are forgotten.

    Parameters
    ----------
    seconds
        How long.
    most
        How many, about; an id takes 16 bytes.

    Examples
    --------
    >>> seen = Seen(seconds=60, most=1000)
    >>> seen.fresh(pl.Series([b"a", b"b", b"a", None, None]), now=0).to_list()
    [True, True, False, True, True]
    >>> seen.fresh(pl.Series([b"b", b"c"]), now=59).to_list()
    [False, True]
    >>> seen.fresh(pl.Series([b"b", b"c"]), now=100).to_list()
    [True, False]
    """

    def __init__(self, seconds: float, most: int = 5_000_000) -> None:
        self._seconds, self._most = seconds, most
        self._blocks: list[_Block] = []

    def __len__(self) -> int:
        return sum(len(block) for block in self._blocks)

    def fresh(self, ids: pl.Series, now: float) -> pl.Series:
        """Tell which ids are new, and remember them; null is always new.

        Parameters
        ----------
        ids
            Binary.
        now
            The time of their coming, in seconds; does not go back.
        """
        self._forget(now)
        fresh = ids.is_null() | ids.is_first_distinct()
        if ids.null_count() == len(ids):
            return fresh
        first, second = _hashes(ids.fill_null(b""))
        known = np.zeros(len(ids), bool)
        for block in self._blocks:
            known |= block.holds(first, second)
        fresh &= pl.Series(~known) | ids.is_null()
        new = (fresh & ids.is_not_null()).to_numpy()
        if new.any():
            order = np.argsort(first[new], kind="stable")
            self._add(_Block(first[new][order], second[new][order], now))
        return fresh

    def _add(self, block: _Block) -> None:
        """Keep blocks few: each is more than twice as long as the next, up to a fair share."""
        while self._blocks and len(self._blocks[-1]) < min(2 * len(block), self._most // 16):
            block = self._blocks.pop().plus(block)
        self._blocks.append(block)

    def _forget(self, now: float) -> None:
        while self._blocks and (
            self._blocks[0].at <= now - self._seconds or len(self) > self._most + self._most // 16
        ):
            self._blocks.pop(0)


def _hashes(ids: pl.Series) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    half = pl.lit(1 << 64, dtype=pl.UInt128)
    hashed = plh.col("id").nchash.murmur128(seed=_SEED)
    frame = pl.DataFrame({"id": ids}).select(hashed.alias("hash"))
    halves = frame.select(
        (pl.col("hash") % half).cast(pl.UInt64).alias("first"),
        (pl.col("hash") // half).cast(pl.UInt64).alias("second"),
    )
    return halves["first"].to_numpy(), halves["second"].to_numpy()

"""Made-up beacons that look real: seeded, and the same for the same row whoever makes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

CHUNK: Final = 8192
KINDS: Final = ("impression", "view", "click", "conversion")
_KIND_SHARES: Final = (0.80, 0.12, 0.06, 0.02)
_LATE_SHARE: Final = 0.001
_LATE: Final = (60.0, 3600.0)
FLAWS: Final = ("none", "bad escape", "no time", "price", "escaped bytes", "not text")
_NOT_TEXT: Final = b"/b.gif?beaconType=click&publisher=p\xff\xfe&user=\xc3\x28"


@dataclass(frozen=True)
class Beacons:
    """Beacons as a publisher network sends them; a row depends on its number and the seed alone.

    Publishers and users follow Zipf's law. Most events are a little late, up to ``disorder``; one
    in a thousand by a minute to an hour. Malformed ones have a bad percent escape, no time, a price
    that is no number, an escaped or a raw byte sequence that is not UTF-8.

    Parameters
    ----------
    seed
        Another seed gives other beacons.
    publishers, users
        How many there are.
    malformed
        Share of beacons that a job is to set aside, 0 to 1.
    disorder
        Seconds; 0 for events in order.

    Examples
    --------
    >>> times = np.array([1_700_000_000_000_000])
    >>> Beacons(seed=1, malformed=0).rows(0, times)[0][:42]
    b'/b.gif?beaconType=impression&publisher=p18'
    """

    seed: int = 0
    publishers: int = 100
    users: int = 10_000
    malformed: float = 0.01
    disorder: float = 5.0

    def rows(self, first: int, times: npt.NDArray[np.int64]) -> pl.Series:
        """Make as many beacons as there are times, all of one chunk.

        Parameters
        ----------
        first
            Number of the first one.
        times
            When each would have happened, in microseconds since 1970, but for the disorder.

        Returns
        -------
        Series
            ``raw``: Binary.

        Raises
        ------
        ValueError
            They cross the border of a chunk of 8192 rows.
        """
        chunk, begin = divmod(first, CHUNK)
        if begin + times.size > CHUNK:
            raise ValueError(f"rows {first} to {first + times.size} are not of one chunk")
        parts = _chunk(self, chunk).slice(begin, times.size)
        ts = pl.Series("ts", times) - parts["late"]
        time = pl.when(flaw="no time").then(pl.lit("")).otherwise("&ts=" + pl.col("ts"))
        text = pl.concat_str("head", time, "tail").cast(pl.Binary)
        raw = pl.when(flaw="not text").then(pl.lit(_NOT_TEXT)).otherwise(text)
        frame = parts.with_columns(ts=(ts // 1000).cast(pl.String))
        return frame.select(raw=raw).to_series()

    def chunk(self, number: int) -> pl.DataFrame:
        """Make a chunk's ``head``, ``tail``, ``late`` (µs) and ``flaw``: all but the times."""
        draw = np.random.default_rng([self.seed, number]).random((10, CHUNK))
        late = draw[0] ** 3 * self.disorder * 1e6
        if self.disorder:
            low, high = _LATE
            late += np.where(draw[1] < _LATE_SHARE, (low + (high - low) * draw[2]) * 1e6, 0.0)
        flaws = np.where(draw[3] < self.malformed, 1 + draw[4] * (len(FLAWS) - 1), 0)
        frame = pl.DataFrame(
            {
                "kind": pl.Series(KINDS).gather(_pick(np.cumsum(_KIND_SHARES), draw[5])),
                "publisher": self._publishers.gather(_pick(self._publisher_shares, draw[6])),
                "user": self._users.gather(_pick(self._user_shares, draw[7])),
                "price": (1 + draw[8] ** 2 * 300).astype(np.int64),
                "page": (draw[9] * 100_000).astype(np.int64),
                "late": late.astype(np.int64),
                "flaw": pl.Series(FLAWS).gather(flaws.astype(np.int64)),
            }
        )
        return frame.select(_HEAD.alias("head"), _TAIL.alias("tail"), "late", "flaw")

    @cached_property
    def _publishers(self) -> pl.Series:
        return pl.select("p" + (pl.int_range(self.publishers) + 1).cast(pl.String)).to_series()

    @cached_property
    def _users(self) -> pl.Series:
        # Odd multipliers permute the 32-bit integers, so every user has a name of their own.
        scattered = (np.arange(self.users, dtype=np.uint64) * np.uint64(2654435761)) % 2**32
        digits = scattered.astype(">u4").tobytes().hex().encode()
        return pl.Series(np.frombuffer(digits, "S8").astype("U8"))

    @cached_property
    def _publisher_shares(self) -> npt.NDArray[np.float64]:
        return _zipf(self.publishers, 1.1)

    @cached_property
    def _user_shares(self) -> npt.NDArray[np.float64]:
        return _zipf(self.users, 1.05)


@lru_cache(maxsize=4)
def _chunk(beacons: Beacons, number: int) -> pl.DataFrame:
    """Keep the last chunks: a slow source takes many small slices of each."""
    return beacons.chunk(number)


def _flawed(flaw: str, value: str, otherwise: pl.Expr) -> pl.Expr:
    return pl.when(flaw=flaw).then(pl.lit(value)).otherwise(otherwise)


_PAGE = pl.col("page")
_HEAD: Final = pl.concat_str(
    pl.lit("/b.gif?beaconType="),
    "kind",
    pl.lit("&publisher="),
    _flawed("bad escape", "%zz", pl.col("publisher")),
    pl.lit("&user="),
    _flawed("escaped bytes", "%ff%fe", pl.col("user")),
)
_TAIL: Final = pl.concat_str(
    pl.lit("&price="),
    _flawed("price", "abc", "0." + pl.col("price").cast(pl.String).str.zfill(4)),
    pl.lit("&url=https%3A%2F%2Fexample"),
    (_PAGE % 97).cast(pl.String),
    pl.lit(".com%2Fsection%2F"),
    _PAGE.cast(pl.String),
    pl.lit("%3Fref%3Dhome"),
)


def _zipf(count: int, exponent: float) -> npt.NDArray[np.float64]:
    """Return the cumulative shares of ranks 1 to count, where rank r's is as r**-exponent."""
    shares: npt.NDArray[np.float64] = np.cumsum(np.arange(1.0, count + 1) ** -exponent)
    shares /= shares[-1]
    return shares


def _pick(shares: npt.NDArray[np.float64], draw: npt.NDArray[np.float64]) -> pl.Series:
    """Find the rank that each number of [0, 1) falls into."""
    ranks = np.searchsorted(shares, draw, side="right")
    return pl.Series(np.minimum(ranks, shares.size - 1))

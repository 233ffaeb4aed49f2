"""Horizons: from which instant on a shard keeps windows of each width."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final, Self

import polars as pl

from .times import EPOCH

BEGINNING: Final = -(2**63)
"""Before every window: the horizon of a width of which nothing was given up."""

_UNITS: Final = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}


@dataclass(frozen=True, slots=True)
class Horizons:
    """For each width of a window, the instant before which its windows are no longer kept.

    Windows that start before ``until[0]`` are merged into wider ones, of ``widths[1]``, those
    before ``until[1]`` into yet wider ones; those before the last horizon are expired. Each horizon
    is aligned to the next width (the last one to its own) and not after the one before it, so the
    width of a stored window follows from its start. Horizons only ever advance.

    Parameters
    ----------
    widths
        In µs, finest first, each a multiple of the one before. None at all: everything is kept as
        it was merged.
    until
        In µs since 1970, one for each width; `BEGINNING` where nothing was given up.

    Examples
    --------
    >>> horizons = Horizons((1, 10, 100), (500, 200, 100))
    >>> horizons.place(pl.DataFrame({"window": [512, 487, 137, 99]}))["window"].to_list()
    [512, 480, 100]
    """

    widths: tuple[int, ...] = ()
    until: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would not tell a window's width from its start."""
        for instant, width in zip(self.until, self.alignments, strict=True):
            if instant != BEGINNING and instant % width:
                raise ValueError(f"horizon {instant} is not aligned to windows of {width} µs")
        if any(finer < wider for finer, wider in pairwise(self.until)):
            raise ValueError(f"horizons of wider windows come after those of finer: {self.until}")

    @property
    def alignments(self) -> tuple[int, ...]:
        """What each horizon is a multiple of, in µs: the next wider width, the widest its own."""
        return (*self.widths[1:], *self.widths[-1:])

    @property
    def advanced(self) -> bool:
        """Whether any window was given up."""
        return any(instant > BEGINNING for instant in self.until)

    def extended(self, widths: tuple[int, ...]) -> Self:
        """Add wider windows at the end.

        What has expired stays expired: where that ends within one of the new windows, all of this
        window does.

        Raises
        ------
        ValueError
            If the widths do not begin with those that there are.
        """
        if not self.advanced:
            return type(self)(widths, (BEGINNING,) * len(widths))
        if widths[: len(self.widths)] != self.widths:
            raise ValueError(
                f"windows have been rolled up to {_listed(self.widths)}: a retention may keep them "
                f"for another time and add wider ones, but not have {_listed(widths)}"
            )
        if widths == self.widths:
            return self
        last = self.until[-1]
        if last > BEGINNING:
            last = -(-last // widths[-1]) * widths[-1]
        added = (last,) * (len(widths) - len(self.widths))
        return type(self)(widths, (*(max(each, last) for each in self.until), *added))

    def __or__(self, other: Self) -> Self:
        """Advance to the later of both at each width; the wider windows of either are kept."""
        if not (self.advanced and other.advanced):
            return self if self.advanced else other
        widths = max(self.widths, other.widths, key=len)
        left, right = self.extended(widths), other.extended(widths)
        return type(self)(widths, tuple(map(max, left.until, right.until)))

    def raised(self, level: int, instant: int) -> Self:
        """Advance the horizon of one width, or leave it where it is if that is further."""
        until = list(self.until)
        until[level] = max(until[level], instant)
        return type(self)(self.widths, tuple(until))

    def finest(self, since: int | None) -> int | None:
        """Return the finest width in µs at which all is kept that starts from ``since`` on.

        What has expired does not count. None if no window was ever given up.
        """
        if not self.advanced:
            return None
        first = max(BEGINNING if since is None else since, self.until[-1])
        return next(
            width for width, until in zip(self.widths, self.until, strict=True) if until <= first
        )

    def place(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Move rows to the windows that are kept, and leave those out that have expired.

        Parameters
        ----------
        rows
            ``window: Int64`` and any other columns. Several rows may come to one window.
        """
        if not self.advanced:
            return rows
        start = pl.col("window") // self.width * self.width
        return rows.with_columns(start).filter(pl.col("window").is_not_null())

    @property
    def width(self) -> pl.Expr:
        """The width in µs of the stored window that ``window`` lies in; null if it has expired."""
        width = pl.lit(None, dtype=pl.Int64)
        for each, until in reversed(list(zip(self.widths, self.until, strict=True))):
            width = pl.when(pl.col("window") >= until).then(pl.lit(each, pl.Int64)).otherwise(width)
        return width

    def to_json(self) -> list[list[int | None]]:
        """Write the horizons as pairs of width and instant, null for `BEGINNING`."""
        return [
            [width, None if until == BEGINNING else until]
            for width, until in zip(self.widths, self.until, strict=True)
        ]

    @classmethod
    def from_json(cls, pairs: list[list[int | None]]) -> Self:
        """Read what `to_json` wrote."""
        widths = tuple(width for width, _ in pairs if width is not None)
        return cls(widths, tuple(BEGINNING if until is None else until for _, until in pairs))

    def __str__(self) -> str:
        kept = zip(map(duration_text, self.widths), map(instant, self.until), strict=True)
        return ", ".join(f"{width} from {until}" for width, until in kept) or "all as merged"


def place(rows: pl.DataFrame, horizons: Mapping[int, Horizons]) -> pl.DataFrame:
    """Move rows of several shards to the windows that each keeps, and leave out the expired.

    Parameters
    ----------
    rows
        ``shard: Int64``, ``window: Int64`` and any other columns.
    horizons
        By shard; rows of other shards stay as they are.
    """
    by_horizons: dict[Horizons, list[int]] = {}
    for shard, each in horizons.items():
        if each.advanced:
            by_horizons.setdefault(each, []).append(shard)
    placed = []
    for each, shards in by_horizons.items():
        among = pl.col("shard").is_in(shards)
        placed.append(each.place(rows.filter(among)))
        rows = rows.filter(~among)
    return pl.concat([rows, *placed])


def duration_text(microseconds: int) -> str:
    """Write a duration as a person would.

    Examples
    --------
    >>> duration_text(60_000_000), duration_text(5_400_000_000), duration_text(1500)
    ('1m', '90m', '1500us')
    """
    for unit, size in _UNITS.items():
        if microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return f"{microseconds}us"


def instant(microseconds: int) -> str:
    """Write an instant in UTC.

    Examples
    --------
    >>> instant(0), instant(BEGINNING)
    ('1970-01-01T00:00:00Z', 'the beginning')
    """
    if microseconds == BEGINNING:
        return "the beginning"
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")


def _listed(widths: tuple[int, ...]) -> str:
    return ", ".join(map(duration_text, widths))

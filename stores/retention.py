"""Retention: how long windows of each width are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Self

from .horizons import BEGINNING, Horizons, duration_text
from .times import EPOCH, parse_duration


@dataclass(frozen=True, slots=True)
class Retention:
    """For each width of a window, how long it is kept before it goes into the next wider one.

    Parameters
    ----------
    widths
        In µs, finest first, each a multiple of the one before; the first is the job's own window.
    kept
        In µs, each longer than the one before; None, at the end only, is for ever.

    Examples
    --------
    >>> retention = Retention.parse({"1m": "7d", "1h": "90d", "1d": None})
    >>> print(retention.horizons(datetime(2026, 3, 31, 12, 34)))
    1m from 2026-03-24T12:00:00Z, 1h from 2025-12-31T00:00:00Z, 1d from the beginning
    >>> retention.to_json()
    {'1m': '7d', '1h': '90d', '1d': None}
    """

    widths: tuple[int, ...]
    kept: tuple[int | None, ...]

    @classmethod
    def parse(cls, retention: "Mapping[str, str | timedelta | None] | Retention") -> "Retention":
        """Read ``{"1m": "7d", "1h": "90d", "1d": None}``: width → how long it is kept.

        Raises
        ------
        ValueError
            If a text is no duration, widths or times do not increase, or one width is no multiple
            of the one before.
        """
        if isinstance(retention, Retention):
            return retention
        return cls(
            tuple(map(parse_duration, retention)),
            tuple(None if kept is None else parse_duration(kept) for kept in retention.values()),
        )

    def __post_init__(self) -> None:
        """Refuse what cannot be kept."""
        if not self.widths:
            raise ValueError("a retention names at least one width: {'1m': '7d'}")
        for finer, wider in pairwise(self.widths):
            if wider <= finer or wider % finer:
                raise ValueError(
                    "each width of a retention is a multiple of the one before: "
                    f"{duration_text(wider)} after {duration_text(finer)} is not"
                )
        for (width, kept), (wider, longer) in pairwise(zip(self.widths, self.kept, strict=True)):
            if kept is None or (longer is not None and longer <= kept):
                raise ValueError(
                    f"retention: {duration_text(wider)} must be kept longer than "
                    f"{duration_text(width)}, which is kept {_time(kept)}, not {_time(longer)}"
                )

    def check(self, window: int | None) -> Self:
        """Refuse another window than the finest one that is kept; returns the retention.

        Parameters
        ----------
        window
            The job's own, in µs, or None.
        """
        if window is None:
            raise ValueError("a job without windows has no retention: it keeps one state a key")
        if self.widths[0] != window:
            raise ValueError(
                f"a retention begins with the job's own window, {duration_text(window)}, "
                f"not with {duration_text(self.widths[0])}"
            )
        return self

    def horizons(self, now: datetime) -> Horizons:
        """Return how far windows of each width are given up at an instant (UTC if it is naive)."""
        elapsed = now.replace(tzinfo=now.tzinfo or EPOCH.tzinfo) - EPOCH
        instant = elapsed // timedelta(microseconds=1)
        alignments = (*self.widths[1:], self.widths[-1])
        return Horizons(
            self.widths,
            tuple(
                BEGINNING if kept is None else (instant - kept) // width * width
                for kept, width in zip(self.kept, alignments, strict=True)
            ),
        )

    def to_json(self) -> dict[str, str | None]:
        """Write what `parse` reads, in one form for equal retentions."""
        return {
            duration_text(width): None if kept is None else duration_text(kept)
            for width, kept in zip(self.widths, self.kept, strict=True)
        }


def _time(kept: int | None) -> str:
    return "for ever" if kept is None else duration_text(kept)

"""The windows that a query asks for: even ones, and those of a calendar in a time zone."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

import polars as pl

from .cells import WINDOW
from .times import microseconds, parse_duration

DAY: Final = 86_400_000_000
MONDAY: Final = date(1970, 1, 5)

_GAPS: Final = tuple(timedelta(minutes=each) for each in (0, 30, 60, 24 * 60))
"""How long after a midnight that a clock skips the day begins; a whole day was skipped as well."""


class Step(NamedTuple):
    """The length of a window: microseconds, or days, weeks or months of a calendar."""

    amount: int
    unit: str

    @classmethod
    def parse(cls, text: str | timedelta) -> "Step":
        """Read a duration, or a number of days, weeks, months or years: ``1d 1w 3mo 1y``.

        Raises
        ------
        ValueError
            If the text is neither, or not longer than zero.

        Examples
        --------
        >>> Step.parse("5m"), Step.parse("1y")
        (Step(amount=300000000, unit='us'), Step(amount=12, unit='months'))
        """
        match = re.fullmatch(r"(\d+)(d|w|mo|y)", text) if isinstance(text, str) else None
        if match is None:
            return cls(parse_duration(text), "us")
        amount, unit = int(match[1]), match[2]
        if amount == 0:
            raise ValueError(f"the duration {text!r} is not longer than zero")
        if unit == "y":
            return cls(12 * amount, "months")
        return cls(amount, {"d": "days", "w": "weeks", "mo": "months"}[unit])

    def smallest(self, tz: str | None) -> "Step":
        """Write weeks as days, and days as microseconds where no time zone makes them differ."""
        step = Step(7 * self.amount, "days") if self.unit == "weeks" else self
        return Step(step.amount * DAY, "us") if tz is None and step.unit == "days" else step


class Grid(ABC):
    """Adjacent windows, numbered from one that begins about 1970."""

    @abstractmethod
    def number(self, instant: pl.Expr) -> pl.Expr:
        """Tell the number of the window in which an instant lies (``Int64``, µs since 1970)."""

    @abstractmethod
    def start(self, number: pl.Expr) -> pl.Expr:
        """Tell the instant at which a window starts (``Int64``, µs since 1970)."""

    def at(self, instant: int) -> int:
        """Return the number of the window in which one instant lies."""
        found: int = pl.select(self.number(pl.lit(instant, dtype=pl.Int64))).item()
        return found

    def starts(self, number: int) -> int:
        """Return the instant at which one window starts."""
        found: int = pl.select(self.start(pl.lit(number, dtype=pl.Int64))).item()
        return found

    def next_start(self, instant: int) -> int:
        """Return the first start of a window that is not before an instant."""
        return self.starts(self.at(instant - 1) + 1)


@dataclass(frozen=True)
class EvenGrid(Grid):
    """Windows of one width in µs, aligned to 1970-01-01T00:00Z."""

    width: int

    def number(self, instant: pl.Expr) -> pl.Expr:
        """Divide."""
        return instant // self.width

    def start(self, number: pl.Expr) -> pl.Expr:
        """Multiply."""
        return number * self.width


@dataclass(frozen=True)
class CalendarGrid(Grid):
    """Windows of some days or months, which begin at midnight in a time zone.

    Where clocks skip midnight a day begins when they go on, where they show it twice at the first
    time. Several days are counted from 1970-01-01, whole weeks from Monday 1970-01-05, months from
    January 1970.

    Examples
    --------
    >>> days = CalendarGrid(Step(1, "days"), "Europe/Berlin")
    >>> [days.starts(number) // 3_600_000_000 for number in (0, 1)]
    [-1, 23]
    """

    step: Step
    tz: str

    def number(self, instant: pl.Expr) -> pl.Expr:
        """Look at the calendar."""
        day = instant.cast(WINDOW).dt.convert_time_zone(self.tz).dt.date()
        if self.step.unit == "months":
            months = (day.dt.year().cast(pl.Int64) - 1970) * 12 + day.dt.month() - 1
            return months // self.step.amount
        first, days = self._days
        return (day - pl.lit(first)).dt.total_days() // days

    def start(self, number: pl.Expr) -> pl.Expr:
        """Find midnight."""
        if self.step.unit == "months":
            months = number * self.step.amount
            day = pl.date(1970 + months // 12, months % 12 + 1, 1)
        else:
            first, days = self._days
            day = pl.lit(first) + pl.duration(days=number * days)
        return instants(day.cast(pl.Datetime("us")), self.tz)

    @property
    def _days(self) -> tuple[date, int]:
        """Where days are counted from, and how many make a window."""
        weeks = self.step.unit == "weeks"
        return (MONDAY, 7 * self.step.amount) if weeks else (date(1970, 1, 1), self.step.amount)


def grid(step: Step, tz: str | None) -> Grid:
    """Choose the windows of a length: those of a calendar for weeks, months and days in a zone."""
    even = step if step.unit == "weeks" else step.smallest(tz)
    return EvenGrid(even.amount) if even.unit == "us" else CalendarGrid(step, tz or "UTC")


def count(period: Step, every: Step, tz: str | None) -> int | None:
    """Tell how many windows make a longer one, or None if no whole number does."""
    period, every = period.smallest(tz), every.smallest(tz)
    if period.unit != every.unit or period.amount % every.amount:
        return None
    return period.amount // every.amount


def instants(local: pl.Expr, tz: str) -> pl.Expr:
    """Tell when clocks in a time zone showed a time, first if twice; in µs since 1970.

    For a time that they skipped it is when they went on.
    """
    shown = (
        (local + gap).dt.replace_time_zone(tz, ambiguous="earliest", non_existent="null")
        for gap in _GAPS
    )
    return pl.coalesce(*shown).dt.epoch("us")


def known_zone(tz: str) -> str:
    """Return the name of a time zone.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    try:
        pl.select(pl.lit(0, dtype=pl.Int64).cast(WINDOW).dt.convert_time_zone(tz))
    except (pl.exceptions.PolarsError, TypeError):
        raise ValueError(f"no time zone {tz!r}: name one as Europe/Berlin or UTC") from None
    return tz


def bound(text: datetime | str | None, tz: str | None) -> int | None:
    """Read an instant as µs since 1970; without an offset it is in the time zone, or UTC.

    Examples
    --------
    >>> bound("1970-01-01T01:00", "Europe/Berlin"), bound("1970-01-01T01:00", None)
    (0, 3600000000)
    """
    found = microseconds(text)
    if found is None or tz is None:
        return found
    local = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    if local.tzinfo is not None:
        return found
    return int(pl.select(instants(pl.lit(local, dtype=pl.Datetime("us")), tz)).item())

"""Tumbling windows over event time, aligned to the epoch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

WINDOW: Final = pl.Datetime("us", "UTC")
"""The dtype of a window's start."""

_MICROSECONDS: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}


def parse_duration(text: str | timedelta) -> int:
    """Read a duration as microseconds.

    Parameters
    ----------
    text
        A whole number and a unit (``us ms s m h d w``), or a `timedelta`.

    Raises
    ------
    ValueError
        The text is no duration, or it is not longer than zero.

    Examples
    --------
    >>> parse_duration("1m"), parse_duration("500ms"), parse_duration(timedelta(seconds=2))
    (60000000, 500000, 2000000)
    """
    if isinstance(text, timedelta):
        microseconds = text // timedelta(microseconds=1)
    elif match := re.fullmatch(r"(\d+)(us|ms|[smhdw])", text):
        microseconds = int(match[1]) * _MICROSECONDS[match[2]]
    else:
        raise ValueError(f"{text!r} is not a duration: write a number and a unit, as 500ms 1m 12h")
    if microseconds <= 0:
        raise ValueError(f"the duration {text!r} is not longer than zero")
    return microseconds


def parse_instant(text: str | datetime) -> datetime:
    """Read an instant: ISO 8601 text or a `datetime`; without an offset it is UTC.

    Raises
    ------
    ValueError
        The text is no instant.

    Examples
    --------
    >>> parse_instant("2015-09-12T01:30").isoformat()
    '2015-09-12T01:30:00+00:00'
    """
    try:
        instant = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an instant: write 2015-09-12T01:30 or add Z") from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class TumblingWindow:
    """Windows of one width, side by side, one of them starting at 1970-01-01T00:00Z.

    Source: "fixed windows" of Akidau et al., The Dataflow Model (VLDB 2015).

    Parameters
    ----------
    width
        In microseconds.

    Examples
    --------
    >>> before_the_epoch = pl.Series([-1], dtype=pl.Int64).cast(pl.Datetime("ms", "UTC"))
    >>> window = TumblingWindow(parse_duration("1m"))
    >>> pl.select(window.start(pl.lit(before_the_epoch))).item().isoformat()
    '1969-12-31T23:59:00+00:00'
    """

    width: int

    def start(self, event_time: pl.Expr) -> pl.Expr:
        """Give the start of each instant's window.

        Parameters
        ----------
        event_time
            A ``Datetime`` of any unit (naive ones are UTC) or a ``Date``; see `check_event_time`.

        Returns
        -------
        pl.Expr
            ``Datetime("us", "UTC")``, null where the instant is null.
        """
        # Integer division floors, so windows before the epoch are right too.
        return (event_time.dt.epoch("us") // self.width * self.width).cast(WINDOW)


def check_event_time(name: str, dtype: pl.DataType) -> None:
    """Refuse an event time that no window can be made of.

    Raises
    ------
    TypeError
        The column is neither a ``Datetime`` in milli- or microseconds nor a ``Date``.
    """
    if dtype == pl.Date or (isinstance(dtype, pl.Datetime) and dtype.time_unit != "ns"):
        return
    raise TypeError(
        f"event_time={name!r} is {dtype}: declare it as pl.Datetime('ms', 'UTC'), or as 'us'"
    )

"""Tumbling windows over event time, aligned to the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

WINDOW: Final = pl.Datetime("us", "UTC")
"""The dtype of a window's start."""


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
    >>> from beaconfold.stores.times import parse_duration
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

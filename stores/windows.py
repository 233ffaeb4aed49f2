"""The windows of a query's result, and how stored windows go into them."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from .cells import WINDOW
from .generation import Generation
from .grid import EvenGrid, Grid, Step, bound, count, grid, known_zone
from .horizons import Horizons, duration_text, instant


class Misfit(ValueError):
    """A stored window lies across the border of windows that were asked for."""


@dataclass(frozen=True)
class Windows:
    """The windows of one result.

    Parameters
    ----------
    own
        Width of the job's own windows in µs.
    grid
        The tumbling windows; None for the job's own, as they are stored.
    length
        How many of them make a hop; None for no hops.
    since, until
        Bounds of what is asked for, in µs.
    text
        What was asked, for messages.
    """

    own: int
    grid: Grid | None = None
    length: int | None = None
    since: int | None = None
    until: int | None = None
    text: str = ""

    @classmethod
    def asked(
        cls,
        generation: Generation,
        horizons: Horizons,
        since: datetime | str | None,
        until: datetime | str | None,
        every: str | None,
        period: str | None,
        tz: str | None,
    ) -> "Windows | None":
        """Understand the words of a query; None for a job without windows.

        Parameters
        ----------
        generation
            Whose states are read.
        horizons
            The furthest of any of its shards.
        since, until, every, period, tz
            As `beaconfold.stores.query.query` takes them.

        Raises
        ------
        ValueError
            If they make no sense.
        """
        own = generation.window
        if own is None:
            if any(word is not None for word in (since, until, every, period, tz)):
                raise ValueError(
                    f"{generation.job} has no windows: leave out since, until, every, period and tz"
                )
            return None
        if tz is not None:
            known_zone(tz)
        start, stop = bound(since, tz), bound(until, tz)
        if every is None:
            if period is not None:
                raise ValueError(f"period={period!r} needs every=: how far apart windows start")
            width = horizons.finest(start) or own
            tumbling = None if width == own else EvenGrid(width)
            return cls(own, tumbling, None, start, stop, f"every={duration_text(width)!r}")
        step = Step.parse(every)
        length = None if period is None else count(Step.parse(period), step, tz)
        if period is not None and length is None:
            raise ValueError(f"period={period!r} is not a whole number of every={every!r}")
        asked = grid(step, tz)
        if isinstance(asked, EvenGrid) and asked.width % own:
            raise ValueError(
                f"every={every!r} is not a multiple of the window of {generation.job}, "
                f"{own / 1e6:g} s"
            )
        text = f"every={every!r}" + (f" in {tz}" if tz else "")
        if isinstance(asked, EvenGrid) and asked.width == own and length is None:
            return cls(own, None, None, start, stop, text)
        return cls(own, asked, length, start, stop, text)

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The bounds of the stored windows to read, in µs."""
        if self.grid is None or self.length is None:
            return self.since, self.until
        since, until = self.since, self.until
        if since is not None:
            since = self._next(since)
        if until is not None:
            until = self.grid.starts(self.grid.at(until - 1) + self.length)
        return since, until

    def place(self, rows: pl.DataFrame, horizons: Horizons) -> pl.DataFrame:
        """Move stored rows to the windows in which theirs lie.

        Parameters
        ----------
        rows
            ``window: Int64`` and any other columns.
        horizons
            Those under which the rows were read.

        Returns
        -------
        pl.DataFrame
            ``window: Datetime("us", "UTC")`` and the others; several rows may come to one window.

        Raises
        ------
        Misfit
            If a stored window lies across a border.
        """
        start = pl.col("window").cast(WINDOW)
        if self.grid is None:
            if horizons.finest(self.since) not in (None, self.own):
                self._check(rows, horizons)
            return rows.with_columns(start)
        starts = self._check(rows, horizons)
        placed = rows.join(starts, on="window", how="left", maintain_order="left")
        return placed.with_columns(pl.col("start").cast(WINDOW).alias("window")).drop("start")

    def _check(self, rows: pl.DataFrame, horizons: Horizons) -> pl.DataFrame:
        """Return each stored ``window`` with the ``start`` of the one that it lies in."""
        asked = self.grid or EvenGrid(self.own)
        width = horizons.width if horizons.advanced else pl.lit(self.own, dtype=pl.Int64)
        number = asked.number(pl.col("window"))
        starts = rows.select(pl.col("window").unique()).with_columns(
            width.alias("width"), asked.start(number).alias("start"),
            asked.start(number + 1).alias("stop"),
        )  # fmt: skip
        across = starts.filter(pl.col("window") + pl.col("width") > pl.col("stop"))
        if across.height:
            raise self._misfit(horizons, **across.sort("window").row(-1, named=True))
        return starts.select("window", "start")

    def _misfit(self, horizons: Horizons, window: int, width: int, start: int, stop: int) -> Misfit:
        """Say which window does not fit, and what would."""
        del start
        text = (
            f"{self.text} does not fit the stored windows: that of {instant(window)} is "
            f"{duration_text(width)} long and lies across {instant(stop)}"
        )
        if width == self.own:
            return Misfit(text)
        since = instant(horizons.until[horizons.widths.index(width) - 1])
        coarsest = duration_text(horizons.finest(self.since) or self.own)
        instead = f"ask since={since!r}, or every={coarsest!r}"
        return Misfit(f"{text}; finer ones are kept from {since} on: {instead}")

    def within(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep the hops that start within the bounds; other windows were read within them."""
        if self.length is None:
            return rows
        start = pl.col("window").to_physical()
        if self.since is not None:
            rows = rows.filter(start >= self.since)
        return rows if self.until is None else rows.filter(start < self.until)

    def _next(self, instant: int) -> int:
        """Return the first start of a window that is not before an instant."""
        assert self.grid is not None  # noqa: S101
        number = self.grid.at(instant)
        start = self.grid.starts(number)
        return start if start == instant else self.grid.starts(number + 1)

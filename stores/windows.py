"""The windows of a query's result, and how stored windows go into them."""

from dataclasses import dataclass, replace
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
    wide
        Width in µs of the windows that are kept at ``since``, if they were rolled up.
    """

    own: int
    grid: Grid | None = None
    length: int | None = None
    since: int | None = None
    until: int | None = None
    text: str = ""
    wide: int | None = None

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
        if generation.window is None:
            if any(word is not None for word in (since, until, every, period, tz)):
                raise ValueError(
                    f"{generation.job} has no windows: leave out since, until, every, period and tz"
                )
            return None
        if tz is not None:
            known_zone(tz)
        bounds = bound(since, tz), bound(until, tz)
        if every is not None:
            wanted = cls._wanted(generation, every, period, tz, *bounds)
            return replace(wanted, wide=horizons.finest(bounds[0]))
        if period is not None:
            raise ValueError(f"period={period!r} needs every=: how far apart windows start")
        return cls._kept(generation.window, horizons, *bounds)

    @classmethod
    def _kept(cls, own: int, horizons: Horizons, since: int | None, until: int | None) -> "Windows":
        """Choose the finest windows at which all is kept that starts from an instant on."""
        width = horizons.finest(since) or own
        text = f"every={duration_text(width)!r}"
        if width == own:
            return cls(own, None, None, since, until, text)
        # Whole windows, as those of some shards may not be rolled up yet.
        wide = EvenGrid(width)
        since = None if since is None else wide.next_start(since)
        until = None if until is None else wide.next_start(until)
        return cls(own, wide, None, since, until, text)

    @classmethod
    def _wanted(
        cls,
        generation: Generation,
        every: str,
        period: str | None,
        tz: str | None,
        since: int | None,
        until: int | None,
    ) -> "Windows":
        """Choose the windows that were named."""
        own = generation.window
        assert own is not None  # noqa: S101 - the caller has checked it
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
        as_stored = asked == EvenGrid(own) and length is None
        text = f"every={every!r}" + (f" in {tz}" if tz else "")
        return cls(own, None if as_stored else asked, length, since, until, text)

    @property
    def first(self) -> int | None:
        """The start of the first stored window that counts, in µs."""
        if self.grid is None or self.length is None or self.since is None:
            return self.since
        return self.grid.next_start(self.since)

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The bounds of the stored windows to read, in µs: also of a wide one that began before."""
        since, until = self.first, self.until
        if since is not None and self.wide is not None:
            since -= since % self.wide
        if self.grid is None or self.length is None or until is None:
            return since, until
        return since, self.grid.starts(self.grid.at(until - 1) + self.length)

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
        counts = pl.lit(True) if self.first is None else pl.col("window") >= self.first
        if self.grid is None:
            if horizons.finest(self.since) not in (None, self.own):
                self._check(rows, horizons)
            return rows.filter(counts).with_columns(start)
        starts = self._check(rows, horizons)
        rows = rows.filter(counts)
        placed = rows.join(starts, on="window", how="left", maintain_order="left")
        return placed.with_columns(pl.col("start").cast(WINDOW).alias("window")).drop("start")

    def _check(self, rows: pl.DataFrame, horizons: Horizons) -> pl.DataFrame:
        """Return each stored ``window`` with the ``start`` of the one that it lies in."""
        asked = self.grid or EvenGrid(self.own)
        width = horizons.width if horizons.advanced else pl.lit(self.own, dtype=pl.Int64)
        number = asked.number(pl.col("window"))
        starts = rows.select(pl.col("window").unique()).with_columns(
            width.alias("width"),
            asked.start(number).alias("start"),
            asked.start(number + 1).alias("stop"),
        )
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

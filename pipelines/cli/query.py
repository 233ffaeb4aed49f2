"""``beacons query``: results from a store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click
import polars as pl

from ...stores import Generation
from ...stores.times import parse_instant
from . import options
from .errors import Command, Failure
from .output import write, written
from .places import existing_store


@click.command(cls=Command)
@options.jobname
@options.store
@options.between("Windows that start", options.instant_text, "in --tz, else UTC")
@click.option(
    "--every",
    metavar="DURATION",
    help="Roll windows up: 1h, 1d, …, a multiple of the job's own; or 1w, 1mo, 1y.",
)
@click.option(
    "--period",
    metavar="DURATION",
    help="Hopping windows of this length, one starting with each --every.",
)
@click.option("--tz", metavar="ZONE", help="Days of the calendar in this time zone: Europe/Berlin.")
@click.option("--top", metavar="N", type=click.IntRange(min=1), help="Only the N largest …")
@click.option("--by", metavar="COLUMN", help="… by this column, largest first.")
@click.option(
    "--where",
    metavar="KEY=VALUE",
    multiple=True,
    help="Only rows with this value of a key column; may be repeated.",
)
@written
def query(
    jobname: str,
    store: str,
    since: str | None,
    until: str | None,
    every: str | None,
    period: str | None,
    tz: str | None,
    top: int | None,
    by: str | None,
    where: tuple[str, ...],
    form: str,
    output: Path | None,
) -> None:
    r"""Show the results of a job: its keys, the window's start, and its aggregates.

    Windows are rolled up by the monoid, so that daily uniques come from a store of minutes.
    JOBNAME is the name of any job that the store holds: its definition is not needed.

    CSV and JSON hold every digit; a table rounds floats to six.

    For example:
      beacons query publisher-traffic --store sqlite:///beacons.db --every 1h --top 10 --by users
      beacons query publisher-traffic --store sqlite:///beacons.db --where publisher=p1 \
          --from 2015-09-12 --every 1d --tz Europe/Berlin --format csv
    """
    place = existing_store(store)
    generation = place.live(jobname)
    if top is not None and by is None:
        raise Failure("--top of what? Say --by COLUMN")
    result = place.query(
        jobname,
        since=since,
        until=until,
        every=every,
        period=period,
        tz=tz,
        where=conditions(where, generation),
        top=top,
        by=by,
    )
    write(result, form, output, repeated=generation.group)


def conditions(texts: Sequence[str], generation: Generation) -> dict[str, list[Any]] | None:
    """Read the values of key columns; of one that is given twice, either will do.

    Raises
    ------
    Failure
        A text is not ``KEY=VALUE``, a column is unknown, or a value is not of its dtype.
    """
    wanted: dict[str, list[Any]] = defaultdict(list)
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise Failure(f"--where {text}: write KEY=VALUE")
        if name not in generation.keys:
            known = ", ".join(generation.keys)
            raise Failure(f"--where {text}: no key column {name!r}; there are: {known}")
        dtype = generation.keys[name]
        try:
            wanted[name].append(typed(value, dtype))
        except (ValueError, InvalidOperation) as error:
            raise Failure(f"--where {text}: {name} is {dtype}, and {value!r} is not") from error
    return wanted or None


def typed(text: str, dtype: pl.DataType) -> Any:
    """Read a key's value.

    Raises
    ------
    ValueError, InvalidOperation
        It is none of that dtype.

    Examples
    --------
    >>> typed("7", pl.Int64()), typed("2015-09-12", pl.Date()), typed("p1", pl.String())
    (7, datetime.date(2015, 9, 12), 'p1')
    """
    if isinstance(dtype, pl.Datetime):
        instant = parse_instant(text)
        return instant if dtype.time_zone else instant.replace(tzinfo=None)
    readers: dict[Any, Callable[[str], Any]] = {
        pl.String: str,
        pl.Binary: str.encode,
        pl.Boolean: _boolean,
        pl.Date: date.fromisoformat,
        pl.Decimal: Decimal,
    }
    return readers.get(dtype.base_type(), int)(text)


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(text)
    return text == "true"

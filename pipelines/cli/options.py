"""Options that several commands share; each falls back to its setting in Dask's configuration."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click
import dask

from ...stores.times import parse_duration, parse_instant
from .errors import Failure
from .job_name import find_job, name_of

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def setting(name: str) -> Callable[[], str | None]:
    """Look up, when it is needed, what Dask's configuration says of an option.

    ``beacons.store`` is read from any of Dask's files, or from the environment variable
    ``DASK_BEACONS__STORE``.

    Examples
    --------
    >>> with dask.config.set({"beacons.store": "sqlite:///beacons.db"}):
    ...     setting("store")()
    'sqlite:///beacons.db'
    """

    def look_up() -> str | None:
        value = dask.config.get(f"beacons.{name}", None)
        return None if value is None else str(value)

    return look_up


def duration(text: str) -> str:
    """Check a duration: a whole number and a unit.

    Raises
    ------
    Failure
        It is none.
    """
    _checked(parse_duration, text)
    return text


def instant(text: str) -> datetime:
    """Read an instant in ISO 8601; it is UTC unless it says otherwise.

    Raises
    ------
    Failure
        It is none.
    """
    return _checked(parse_instant, text)


def instant_text(text: str) -> str:
    """Check an instant, and leave it as it is: it may be meant in another time zone.

    Raises
    ------
    Failure
        It is none.
    """
    instant(text)
    return text


def _checked(read: Callable[[str], T], text: str) -> T:
    # Of a ValueError click would show the value only, not the message.
    try:
        return read(text)
    except ValueError as error:
        raise Failure(str(error)) from error


def seconds(text: str | None) -> float | None:
    """Turn a duration into seconds.

    >>> seconds("500ms")
    0.5
    """
    return None if text is None else parse_duration(text) / 1e6


def _place(name: str, text: str, *, required: bool = True) -> Callable[[F], F]:
    """Make an option for a URL that may also be set in Dask's configuration."""

    def present(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        # Click takes a default of None for a value.
        if value is None and required and not context.resilient_parsing:
            raise Failure(
                f"{parameter.opts[0]} is missing; it can also be set as beacons.{name} in Dask's "
                f"configuration, or as DASK_BEACONS__{name.upper()} (see {context.command_path} "
                "--help)"
            )
        return value

    required_text = f"{text}  [required]" if required else text
    return click.option(
        f"--{name}", metavar="URL", default=setting(name), callback=present, help=required_text
    )


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Apply several decorators as one, the first of them outermost."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


job = click.argument("job", type=find_job)
jobname = click.argument("jobname", type=name_of)

archive = _place("archive", "Folder of the archive, as a path or a file:// URL.")
store = _place(
    "store",
    "Store of the results: sqlite:///beacons.db (a relative path), redis://host, "
    "postgresql://user@host/database; with ?namespace=NAME for one of several on a server.",
)
source = _place("source", "Where beacons come from: a path, or a URL.")
optional_archive = _place("archive", "Folder of the archive: to show beacons.", required=False)
optional_source = _place(
    "source",
    "Where beacons come from: a path, or a URL. Without one, follow the archive.",
    required=False,
)

receiving = together(
    click.option(
        "--partition",
        metavar="DURATION",
        type=duration,
        help="Publish a segment when its first beacon is this old (1s; 200ms for http://) …",
    ),
    click.option(
        "--max-rows",
        metavar="N",
        type=click.IntRange(min=1),
        default=100_000,
        show_default=True,
        help="… or when it holds this many.",
    ),
)

scheduler = click.option(
    "--scheduler",
    metavar="ADDRESS",
    default=setting("scheduler"),
    help="Receive on the workers of this Dask cluster, tcp://host:8786; else in this process.",
)

computing = together(
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        default=setting("scheduler"),
        help="A running Dask cluster, tcp://host:8786; else one is started on this machine.",
    ),
    click.option(
        "--workers",
        metavar="N",
        type=click.IntRange(min=0),
        default=setting("workers"),
        help="Processes of the cluster on this machine: one a core unless given; 0: no cluster.",
    ),
)


def between(what: str, read: Callable[[str], Any] = instant, zone: str = "UTC") -> Callable[[F], F]:
    """Make the options ``--from`` and ``--to``."""
    return together(
        click.option(
            "--from",
            "since",
            metavar="INSTANT",
            type=read,
            help=f"{what} from 2015-09-12T01:30 on: {zone}, unless it says otherwise.",
        ),
        click.option(
            "--to", "until", metavar="INSTANT", type=read, help="… and before this instant."
        ),
    )

"""The command line: ``beacons``, and the same as ``dask beacons``."""

from __future__ import annotations

import click

from ..jobs import READY
from .archive import archive
from .demo import demo
from .errors import Group, debug_option
from .generate import generate
from .ingest import ingest
from .quarantine import quarantine
from .query import query
from .replay import replay
from .run import run
from .verify import verify

__all__ = ["main"]

_READY = "\n".join(f"  {name}" for name in READY)

_HELP = f"""Map → Aggregate → Store for beacons: a job is written once and run anywhere.

\b
  source ── ingest ──> archive ── run, replay ──> store ── query ──> results
            (or run)   of segments      verify

A job says how beacons are decoded, keyed, windowed and aggregated. Receivers make beacons durable
in the archive; a run merges into the store whatever it lacks of the archive, each segment once,
whoever crashes; a replay gives the same states to the byte.

\b
Ready jobs:
{_READY}
Your own is module:attribute, as in my_jobs:clicks for a file my_jobs.py in this folder.

\b
Examples:
  beacons demo
  beacons run publisher-traffic --source beacons.log.gz \\
      --archive archive --store sqlite:///beacons.db
  beacons query publisher-traffic --store sqlite:///beacons.db --every 1h --top 10 --by users

Options may also be set in Dask's configuration, as beacons.store, or in the environment, as
DASK_BEACONS__STORE. Results go to standard output, progress and errors to standard error.
"""

_COMMANDS = (demo, run, ingest, generate, replay, verify, query, archive, quarantine)


@click.group(
    "beacons",
    cls=Group,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(None, "--version", package_name="beaconfold", message="beacons %(version)s")
def main() -> None:
    """Run the command that is named next."""


main.params.append(debug_option())
for command in _COMMANDS:
    main.add_command(command)

"""``beacons demo``: the whole house in twenty seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from distributed import Client

from ...stores import MergeableStore
from ..archive import Archive
from ..cluster import local_cluster
from ..generation import open_generation
from ..jobs import publisher_traffic as job
from ..platforms import replay, run_archive, stream, verify
from . import options
from .display import Status, logging_to, standard_error
from .ending import Ending
from .errors import Command
from .places import store_at
from .run import summarise, watch
from .signals import stop_on_signals
from .table import table


@click.command(cls=Command)
@click.option(
    "--folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the archive and the stores there; else they are deleted at the end.",
)
@click.option(
    "--for",
    "during",
    metavar="DURATION",
    type=options.duration,
    default="10s",
    show_default=True,
    help="How long to receive.",
)
@click.option(
    "--rate",
    metavar="N",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Beacons a second.",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Processes of the Dask cluster.",
)
def demo(folder: Path | None, during: str, rate: int, workers: int) -> None:
    """See it work: made-up beacons, live on a Dask cluster, then replayed and compared.

    Runs publisher-traffic for a few seconds into an archive in a folder and a SQLite store, shows
    the results, replays the archive into a second store and a third time into memory, and says
    whether all three agree byte for byte: exit status 0 only if they do.

    For example:
      beacons demo
      beacons demo --folder demo --for 1m --rate 50000
    """
    console = standard_error()
    with (
        stop_on_signals() as stop,
        logging_to(console),
        Status(console) as status,
        _place(folder) as place,
    ):
        status.show("starting workers …")
        with local_cluster(workers) as client:
            status.say(f"dashboard: {client.dashboard_link}")
            archive = Archive.open(place / "archive")
            live = store_at(f"sqlite:///{place.absolute()}/beacons.db")
            source = f"synthetic://?rate={rate}&seed=1"
            run_live(source, archive, live, client, Ending(stop, options.seconds(during)), status)
            show_results(live)
            agree = compare(archive, live, place, client, status)
        if folder is not None:
            show_what_next(folder)
    raise click.exceptions.Exit(0 if agree else 1)


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="beacons-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)


def run_live(
    source: str,
    archive: Archive,
    store: MergeableStore,
    client: Client,
    end: Ending,
    status: Status,
) -> None:
    """Receive, fold and merge until it is time."""
    status.say(f"live: {job.name} from {source}")
    with stream(job, source=source, archive=archive, store=store, client=client) as run:
        progress = watch(run, end, status, follows=False)
    summarise(progress, archive, store, open_generation(job, store))


def show_results(store: MergeableStore) -> None:
    """Print the ten publishers with the most users."""
    result = store.query(job.name, every="1d", top=10, by="users")
    click.echo("\nThe ten publishers with the most users, windows rolled up to a day:\n")
    for line in table(result.drop("first")):
        click.echo(line)
    click.echo()


def compare(
    archive: Archive, live: MergeableStore, place: Path, client: Client, status: Status
) -> bool:
    """Compute the same twice more, another way each, and say whether all agree."""
    status.show("replaying the archive into a second store …")
    replayed = store_at(f"sqlite:///{place.absolute()}/replayed.db")
    done = replay(job, archive=archive, store=replayed, client=client)
    click.echo(
        f"replayed into a second store: {done.segments} segments, "
        f"{done.done.num_input_rows:,} beacons in {done.seconds:.1f} s"
    )

    status.show("running the job once more in memory …")
    memory = store_at("memory://")
    memory.merge(open_generation(job, memory), run_archive(job, archive))

    digests = [store.digest(open_generation(job, store)) for store in (live, replayed, memory)]
    checked = verify(job, archive=archive, store=live, client=client)
    agree = bool(checked) and len(set(digests)) == 1
    if agree:
        click.echo(
            f"live and replay agree byte for byte, and so does the job in memory: "
            f"{checked.cells:,} cells\nSHA-256 of the states: {digests[0]}"
        )
    else:
        for name, digest in zip(("live", "replayed", "in memory"), digests, strict=True):
            click.echo(f"SHA-256 of the states, {name + ':':<10} {digest}")
        click.echo(f"live and replay DIFFER: {checked}")
        for line in table(checked.differing.head(20), repeated=job.by):
            click.echo(line)
    return agree


def show_what_next(folder: Path) -> None:
    """Name commands to go on with."""
    places = f"--archive {folder}/archive --store sqlite:///{folder}/beacons.db"
    click.echo(
        f"\nGo on with:\n"
        f"  beacons query {job.name} --store sqlite:///{folder}/beacons.db --top 5 --by revenue\n"
        f"  beacons verify {job.name} {places}"
    )

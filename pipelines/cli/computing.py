"""Where the work is done: on a cluster of our own, on a running one, or in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client

from ..cluster import connect, local_cluster
from .display import Status
from .errors import Failure


@contextmanager
def cluster(
    scheduler: str | None, workers: int | None, store: str, status: Status
) -> Iterator[Client | None]:
    """Start or join a cluster, and tell where its dashboard is.

    Parameters
    ----------
    scheduler
        Address of a running one; None: start one on this machine.
    workers
        Processes of the one to start: None: one a core; 0: no cluster, but this process.
    store
        URL of the store that the workers are to merge into.

    Raises
    ------
    Failure
        Workers could not reach a store in memory.
    """
    if workers == 0 and scheduler is None:
        yield None
        return
    if store.startswith("memory:"):
        raise Failure(
            "a memory:// store is gone when this command ends, and no worker can reach it: "
            "give --store sqlite:///beacons.db"
        )
    if scheduler is not None:
        with connect(scheduler) as client:
            status.say(f"dashboard: {client.dashboard_link}")
            yield client
    else:
        status.show("starting workers …")
        with local_cluster(workers) as client:
            status.say(f"dashboard: {client.dashboard_link}")
            yield client

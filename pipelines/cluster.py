"""The Dask cluster: one of our own, or a running one that is checked before the first beacon."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar, cast

import dask
from distributed import Client, LocalCluster

from ..stores import MergeableStore
from .archive import Archive
from .receiver_thread import find_partition
from .shipping import ShippedJob

T = TypeVar("T")

PACKAGES = ("beaconfold", "polars", "polars_hash", "numpy", "pyarrow", "streamz")
"""Whose version must be the same everywhere, besides Python's, Dask's and distributed's."""


class WorkersDiffer(RuntimeError):
    """A worker runs other versions, or sees other files, than this process does."""


@contextmanager
def local_cluster(
    workers: int | None = None, memory_limit: str = "auto", dashboard: str = ":0"
) -> Iterator[Client]:
    """Start workers on this machine, a process each, that share its cores between them.

    Parameters
    ----------
    workers
        Processes; one a core unless given.
    memory_limit
        Of each worker, as ``"2GB"``.
    dashboard
        Address of Dask's dashboard; by default some free port.

    Yields
    ------
    Client
        Connected; closed with its workers at the end.
    """
    cores = os.cpu_count() or 1
    workers = workers or cores
    # Polars reads this when it is imported: without it every worker would use every core.
    environ = {"distributed.nanny.pre-spawn-environ.POLARS_MAX_THREADS": max(1, cores // workers)}
    with (
        dask.config.set(environ),
        _out_of_reach(
            LocalCluster,
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=memory_limit,
            dashboard_address=dashboard,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _out_of_reach(start: Callable[..., T], **settings: Any) -> T:
    """Start processes that no Ctrl-C reaches: a terminal sends it to all, but the driver drains.

    Threads and processes inherit the blocked signal from the thread that starts them.
    """
    resource_tracker.ensure_running()  # which unblocks the signal in the thread that comes first
    block = signal.SIG_BLOCK, {signal.SIGINT}
    with ThreadPoolExecutor(1, initializer=signal.pthread_sigmask, initargs=block) as thread:
        return thread.submit(start, **settings).result()


def connect(address: str, timeout: str = "10s") -> Client:
    """Connect to a running scheduler.

    Raises
    ------
    ConnectionError
        Nothing answers at the address.
    """
    try:
        return Client(address, timeout=timeout)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no Dask scheduler answers at {address}") from error


def check_workers(
    client: Client, archive: Archive, *stores: MergeableStore, shipped: ShippedJob
) -> None:
    """Find out before the first beacon whether the workers can do the work.

    Raises
    ------
    WorkersDiffer
        There is no worker, one has other versions, or cannot see the archive or the store, or
        cannot import what the job imports.
    ValueError
        The store is in this process's memory.
    """
    if any(store.url.startswith("memory:") for store in stores):
        raise ValueError(
            "a memory:// store is in this process, where workers cannot reach it: "
            "use sqlite:///beacons.db, or no cluster"
        )
    _check_versions(client)
    # A worker that cannot even open what it is sent answers with the error itself.
    for worker, problem in client.run(_probe, archive, stores, shipped, on_error="return").items():
        if problem is not None:
            raise WorkersDiffer(
                f"worker {worker} cannot do the work: {problem}; every worker has to see the "
                "archive and the store, and to have what the job imports"
            )


def check_receivers(client: Client, archive: Archive, url: str, partitions: Sequence[str]) -> None:
    """Find out before the first beacon whether every worker can receive a source's partitions.

    Raises
    ------
    WorkersDiffer
        There is no worker, one has other versions, or cannot see the archive or the source.
    """
    _check_versions(client)
    found = client.run(_probe_source, archive, url, partitions, on_error="return")
    for worker, problem in found.items():
        if problem is not None:
            raise WorkersDiffer(
                f"worker {worker} cannot receive: {problem}; every worker has to see the archive "
                "and the source"
            )


def _check_versions(client: Client) -> None:
    versions = cast("dict[str, Any]", client.get_versions(packages=list(PACKAGES)))
    if not versions["workers"]:
        raise WorkersDiffer("the cluster has no worker: start one with `dask worker ADDRESS`")
    here = _flat(versions["client"])
    for worker, info in versions["workers"].items():
        there = _flat(info)
        differing = [
            f"{name} {there.get(name) or 'missing'} (here {here[name]})"
            for name in here
            if there.get(name) != here[name]
        ]
        if differing:
            raise WorkersDiffer(f"worker {worker} has other versions: {', '.join(differing)}")


def _flat(info: dict[str, Any]) -> dict[str, str | None]:
    packages = dict(info["packages"])
    # A patch release of Python changes nothing on the wire.
    packages["python"] = ".".join(packages["python"].split(".")[:2])
    return {name: packages.get(name) for name in ("python", "dask", "distributed", *PACKAGES)}


def _probe(archive: Archive, stores: Sequence[MergeableStore], shipped: ShippedJob) -> None:
    """Look, on a worker, at what the driver looks at; the job is unpacked by then."""
    del shipped
    archive.check()
    for store in stores:
        store.generations()


def _probe_source(archive: Archive, url: str, partitions: Sequence[str]) -> None:
    """Look, on a worker, for the partitions that the driver has found."""
    for partition in partitions:
        find_partition(url, partition, archive)

"""A running cluster is checked before the first beacon, and needs nothing of the user's."""

import importlib
import os
import subprocess
import sys
import time

import pytest
from distributed import Client, LocalCluster

from beaconfold import Archive, open_store, replay, stream
from beaconfold.pipelines.cluster import WorkersDiffer, connect
from beaconfold.pipelines.jobs import beacon_counts

BEACONS = "synthetic://?count=2000&rate=0&seed=3&malformed=0"

USERS_MODULE = """
import polars as pl
from beaconfold import Count, Job, QueryString
import helper_of_mine

def upper(raw):
    return [(helper_of_mine.kind(raw), 1)]

class Total(helper_of_mine.Monoid):
    zero = 0
    def plus(self, left, right):
        return left + right

shouted = Job.per_row(name="shouted", version="1", map=upper, monoid=Total())
"""
USERS_HELPER = """
from beaconfold import Monoid

def kind(raw):
    return raw.partition(b"beaconType=")[2].partition(b"&")[0].decode().upper()
"""


@pytest.fixture(scope="module")
def scheduler():
    """Give the address of a scheduler without workers."""
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def worker(scheduler, tmp_path):
    """Start a worker as an operator would: elsewhere, perhaps with other packages installed."""
    started = []

    def start(**versions):
        installed = tmp_path / "installed"
        for name, version in versions.items():
            metadata = installed / f"{name}-{version}.dist-info" / "METADATA"
            metadata.parent.mkdir(parents=True)
            metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--no-dashboard",
                 "--nthreads", "1", "--no-nanny"],
                cwd="/", env={**os.environ, "PYTHONPATH": str(installed)},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
        client = connect(scheduler)
        client.wait_for_workers(1, timeout=60)
        return client

    yield start
    for process in started:
        process.kill()
        process.wait()
    with Client(scheduler) as client:
        while client.scheduler_info()["workers"]:
            time.sleep(0.01)


def test_the_users_own_modules_are_shipped(worker, tmp_path, monkeypatch):
    (tmp_path / "job_of_mine.py").write_text(USERS_MODULE)
    (tmp_path / "helper_of_mine.py").write_text(USERS_HELPER)
    monkeypatch.syspath_prepend(tmp_path)
    job = importlib.import_module("job_of_mine").shouted
    with worker() as client:
        store = open_store(f"sqlite:///{tmp_path}/beacons.db")
        archive = str(tmp_path / "archive")
        with stream(job, source=BEACONS, archive=archive, store=store, client=client) as run:
            run.drain()
    generation = store.live("shouted")
    found = job.present(store.states(generation.with_product(job.product)))
    assert found["value"].sum() == 2_000
    assert "CLICK" in found["key"].to_list()


def test_an_installed_module_that_workers_lack_is_named(worker, tmp_path, monkeypatch):
    distribution = tmp_path / "only_here-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: only-here\nVersion: 1.0\n")
    (distribution / "top_level.txt").write_text("only_here\n")
    module = USERS_MODULE.replace("import helper_of_mine", USERS_HELPER)
    (tmp_path / "only_here.py").write_text(module.replace("helper_of_mine.", ""))
    monkeypatch.syspath_prepend(tmp_path)
    job = importlib.import_module("only_here").shouted
    archive = Archive.open(tmp_path / "archive")
    with worker() as client, pytest.raises(WorkersDiffer, match="No module named 'only_here'"):
        replay(job, archive=archive, store=f"sqlite:///{tmp_path}/beacons.db", client=client)


@pytest.mark.parametrize("name", ["beaconfold", "polars"])
def test_another_version_is_named(worker, tmp_path, name):
    with worker(**{name: "9.9.9"}) as client:
        with pytest.raises(WorkersDiffer, match=rf"{name} 9\.9\.9 \(here "):
            stream(
                beacon_counts,
                source=BEACONS,
                archive=str(tmp_path / "archive"),
                store=f"sqlite:///{tmp_path}/beacons.db",
                client=client,
            )
        assert not Archive.open(tmp_path / "archive").segments()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_path_that_workers_cannot_see_is_found_before_the_first_beacon(
    worker, tmp_path, monkeypatch
):
    # The same path, and yet for each process another folder: as a disk that only we have mounted.
    monkeypatch.chdir(tmp_path)
    only_here = "/proc/self/cwd"
    with worker() as client:
        for archive, store in (
            (f"{only_here}/archive", f"sqlite:///{tmp_path}/beacons.db"),
            (f"{tmp_path}/archive", f"sqlite:///{only_here}/beacons.db"),
        ):
            with pytest.raises(WorkersDiffer, match=f"cannot do the work: .*{only_here}"):
                stream(beacon_counts, source=BEACONS, archive=archive, store=store, client=client)
            assert not Archive.open(archive).segments()


def test_no_workers_and_no_scheduler(scheduler, tmp_path):
    Archive.open(tmp_path / "archive")
    with Client(scheduler) as client, pytest.raises(WorkersDiffer, match="dask worker"):
        replay(
            beacon_counts,
            archive=str(tmp_path / "archive"),
            store=f"sqlite:///{tmp_path}/beacons.db",
            client=client,
        )
    with pytest.raises(ConnectionError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        connect("tcp://127.0.0.1:9", timeout="1s")


def test_a_store_in_memory_cannot_be_shared(scheduler, tmp_path):
    with Client(scheduler) as client, pytest.raises(ValueError, match="memory://"):
        stream(beacon_counts, archive=str(tmp_path), store="memory://", client=client)

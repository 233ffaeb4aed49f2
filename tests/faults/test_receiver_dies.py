"""A receiver that is killed, or silent, is replaced; what it received is in the store once."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from distributed import LocalCluster

from beaconfold import Archive, local_cluster, open_store, stream, verify
from beaconfold.pipelines.jobs import beacon_counts

COUNT = 60_000
BEACONS = f"synthetic://?rate=20000&count={COUNT}&seed=11&malformed=0"


def wait_until(true):
    late = time.monotonic() + 60
    while not true():
        assert time.monotonic() < late, "it has not come true"
        time.sleep(0.02)


@contextmanager
def running(tmp_path, client, source=BEACONS):
    store = open_store(f"sqlite:///{tmp_path}/beacons.db")
    archive = str(tmp_path / "archive")
    with stream(
        beacon_counts,
        source=source,
        archive=archive,
        store=store,
        client=client,
        partition="100ms",
        poll=1000,  # announcements wake the run up
    ) as run:
        yield run


def receiver(run):
    (status,) = run.progress().receivers
    return status


def check(tmp_path, count=COUNT):
    """Every beacon is in the archive once and in order, and in the store once."""
    archive = Archive.open(tmp_path / "archive")
    offsets = [n for ref in archive.segments() for n in archive.read(ref)["offset"]]
    assert offsets == list(range(count))
    store = open_store(f"sqlite:///{tmp_path}/beacons.db")
    assert store.query("beacon-counts")["beacons"].sum() == count
    assert verify(beacon_counts, archive=archive.url, store=store)
    return archive


def test_a_receiver_killed_with_its_worker(tmp_path):
    with local_cluster(workers=2) as client, running(tmp_path, client) as run:
        wait_until(lambda: run.progress().merged.num_input_rows > 5000)
        first = receiver(run)
        assert (first.state, first.restarts) == ("receiving", 0)
        pids = client.run(os.getpid)
        os.kill(pids[first.worker], signal.SIGKILL)
        wait_until(lambda: receiver(run).restarts == 1 and receiver(run).state == "receiving")
        assert receiver(run).worker != first.worker
        assert run.drain().backlog == 0
        assert receiver(run).state == "finished"
    assert len(check(tmp_path).seals()) == 2


def test_a_silent_receiver_that_wakes_up_cannot_add_a_segment(tmp_path):
    with local_cluster(workers=2) as client, running(tmp_path, client) as run:
        run.source.supervisor.silence = 1.5
        wait_until(lambda: run.progress().received > 5000)
        silent = receiver(run).worker
        pid = client.run(os.getpid)[silent]
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: receiver(run).restarts and receiver(run).state == "receiving")
            assert receiver(run).worker != silent
            archive = Archive.open(tmp_path / "archive")
            wait_until(lambda: {ref.id.epoch for ref in archive.segments()} == {1, 2})
        finally:
            os.kill(pid, signal.SIGCONT)
        (sealed,) = (seal for seal in archive.seals() if seal.epoch == 1)
        run.drain()
        wait_until(lambda: not receiving_on(client, silent))
    assert sealed in check(tmp_path).seals()


def receiving_on(client, worker):
    """Name the threads of a worker that receive."""

    def threads():
        import threading

        return [each.name for each in threading.enumerate() if each.name.startswith("receiver-")]

    return client.run(threads, workers=[worker])[worker]


@pytest.fixture
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


def test_a_killed_driver_leaves_no_receiver_behind_and_is_started_again(tmp_path, cluster):
    command = {
        "args": [
            sys.executable, "-m", "beaconfold", "run", "beacon-counts", "--source", BEACONS,
            "--archive", "archive", "--store", "sqlite:///beacons.db",
            "--scheduler", cluster.scheduler_address, "--partition", "100ms",
        ],
        "cwd": tmp_path,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }  # fmt: skip
    with subprocess.Popen(**command) as driver:
        segments = (tmp_path / "archive").glob
        wait_until(lambda: driver.poll() is not None or len([*segments("segments/*/*/*")]) > 5)
        driver.send_signal(signal.SIGKILL)
    archive = Archive.open(tmp_path / "archive")
    (partition,) = archive.sources()
    wait_until(lambda: archive.lease(partition) is None)
    again = subprocess.run(**command, timeout=100, check=False)
    assert again.returncode == 0, again.stderr
    assert len(check(tmp_path).seals()) == 2

"""A worker that is killed in the middle of a live run costs time, not beacons."""

import os
import signal
import threading

from counted import check_all_once, counted, write

from beaconfold import local_cluster, open_store, stream, verify

ROWS = 200_000


def test_the_totals_are_exact_whichever_worker_dies(tmp_path):
    write(tmp_path / "beacons.log", ROWS)
    store = open_store(f"sqlite:///{tmp_path}/beacons.db")
    archive = str(tmp_path / "archive")
    merged, enough = [], threading.Event()

    def on_progress(batch):
        merged.append(batch)
        if len(merged) in {2, 6}:
            enough.set()

    with (
        local_cluster(workers=2) as client,
        stream(
            counted,
            source=str(tmp_path / "beacons.log"),
            archive=archive,
            store=store,
            client=client,
            max_rows=2_000,
            partition="1h",
            on_progress=on_progress,
        ) as run,
    ):
        for _ in range(2):
            assert enough.wait(60)
            enough.clear()
            pids = client.run(os.getpid)
            os.kill(next(iter(pids.values())), signal.SIGKILL)
        progress = run.drain()
    assert progress.received == ROWS
    assert not progress.merged.poison
    check_all_once(store, ROWS)
    assert verify(counted, archive=archive, store=store)

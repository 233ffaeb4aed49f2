"""RabbitMQ to Redis on a Dask cluster, while everything on the way is killed: exact totals."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import counted
from redis_servers import free_port, fresh

from beaconfold import open_store
from beaconfold.pipelines.publishers import open_publisher

ROWS = 150_000
BATCH = 1000


def wait_until(true):
    late = time.monotonic() + 120
    while not true():
        assert time.monotonic() < late, "it has not come true"
        time.sleep(0.05)


class Programs:
    """The processes of a deployment, each with its output in a file of its own."""

    def __init__(self, folder, cleanup):
        self.folder, self.cleanup = folder, cleanup
        support = str(Path(counted.__file__).parent)
        self.environ = {**os.environ, "PYTHONPATH": support, "PYTHONUNBUFFERED": "1"}

    def start(self, name, *arguments):
        with (self.folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *map(str, arguments)],
                cwd=self.folder,
                env=self.environ,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.cleanup.callback(process.wait)
        self.cleanup.callback(process.kill)
        return process


def publish(url, lines, pace):
    """Publish all beacons, in order, and as fast as they are let."""
    with open_publisher(url) as publisher:
        for start in range(0, len(lines), BATCH):
            assert publisher.send(lines[start : start + BATCH]) == len(lines[start : start + BATCH])
            pace.wait(0.2)


def test_every_confirmed_beacon_is_counted_once(tmp_path, rabbitmq_server, redis_server):
    counted.write(tmp_path / "beacons.log", ROWS)
    lines = (tmp_path / "beacons.log").read_bytes().splitlines()
    url, place = rabbitmq_server.stream_url("everything-dies"), fresh(redis_server)
    scheduler = f"tcp://127.0.0.1:{free_port()}"
    pace = threading.Event()
    with ExitStack() as cleanup:
        programs = Programs(tmp_path, cleanup)
        programs.start(
            "scheduler", "distributed.cli.dask_scheduler", "--no-dashboard",
            "--host", "127.0.0.1", "--port", scheduler.rpartition(":")[2],
        )  # fmt: skip
        worker = ("distributed.cli.dask_worker", scheduler, "--no-dashboard", "--nthreads", 1,
                  "--no-nanny")  # fmt: skip
        workers = [programs.start(f"worker-{number}", *worker) for number in range(2)]
        run = ("beaconfold", "run", "counted:counted", "--source", url, "--archive", "archive",
               "--store", place, "--scheduler", scheduler, "--partition", "200ms")  # fmt: skip
        publisher = threading.Thread(target=publish, args=(url, lines, pace), daemon=True)
        publisher.start()
        driver = programs.start("driver", *run)
        store = open_store(place)

        def merged():
            held = store.generations("counted")
            return store.query("counted")["beacons"].sum() if held else 0

        def goes_on():
            before = merged()
            # A receiver that is replaced late may find all that will ever be published.
            wait_until(lambda: merged() > before or merged() == ROWS)

        goes_on()
        workers[0].kill()
        workers.append(programs.start("worker-2", *worker))
        goes_on()
        redis_server.kill()
        redis_server.start()
        goes_on()
        rabbitmq_server.kill()
        workers[1].kill()  # whichever held the receiver, it is gone by now
        rabbitmq_server.start()
        goes_on()
        driver.kill()
        driver.wait()
        driver = programs.start("driver", *run)
        pace.set()
        publisher.join(120)
        assert not publisher.is_alive()
        wait_until(lambda: merged() >= ROWS)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(60) == 0, (tmp_path / "driver.log").read_text()[-3000:]
        counted.check_all_once(store, ROWS)
        assert "pass%20word" not in (tmp_path / "driver.log").read_text()

"""A driver that is killed is started again and goes on; once more, and there is nothing to do."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from counted import check_all_once, counted, write

from beaconfold import open_store, verify

ROWS = 300_000


@pytest.fixture
def command(tmp_path):
    """Give the command that streams the file live, one small segment after the other."""
    write(tmp_path / "beacons.log", ROWS)
    support = str(Path(sys.modules["counted"].__file__).parent)
    return {
        "args": [
            sys.executable, "-m", "beaconfold", "run", "counted:counted",
            "--source", "beacons.log", "--archive", "archive", "--store", "sqlite:///beacons.db",
            "--max-rows", "2000", "--workers", "1", "--until-idle",
        ],
        "cwd": tmp_path,
        "env": {**os.environ, "PYTHONPATH": support},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }  # fmt: skip


def wait_for_segments(process, store_path, folder, count):
    """Wait until the run has published that many segments, by looking at the archive."""
    while process.poll() is None:
        if sum(1 for _ in folder.glob("segments/*/*/*.arrow")) >= count and store_path.exists():
            return
        # The folder is watched, not the clock: a slow machine only takes longer.
        os.sched_yield()
    pytest.fail(f"the run ended early: {process.communicate()}")


def test_it_goes_on_where_it_was(command, tmp_path):
    for published in (5, 60):
        with subprocess.Popen(**command, start_new_session=True) as driver:
            wait_for_segments(driver, tmp_path / "beacons.db", tmp_path / "archive", published)
            driver.send_signal(signal.SIGKILL)

    last = subprocess.run(**command, timeout=120, check=False)
    assert last.returncode == 0, last.stderr
    store = open_store(f"sqlite:///{tmp_path}/beacons.db")
    check_all_once(store, ROWS)
    before = store.digest(store.live("counted"))
    assert verify(counted, archive=str(tmp_path / "archive"), store=store)

    again = subprocess.run(**command, timeout=120, check=False)
    assert again.returncode == 0, again.stderr
    assert re.search("nothing", again.stdout + again.stderr)
    assert store.digest(store.live("counted")) == before

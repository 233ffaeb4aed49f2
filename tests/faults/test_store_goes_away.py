"""A store that goes away in the middle of a run is waited for, and nothing is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from counted import check_all_once, write
from redis_servers import fresh

from beaconfold import open_store

ROWS = 200_000


@pytest.fixture(params=["redis_server", "postgres_server"])
def server(request):
    return request.getfixturevalue(request.param)


def test_a_live_run_goes_on_when_it_is_back(server, tmp_path):
    write(tmp_path / "beacons.log", ROWS)
    url = server.namespace() if hasattr(server, "namespace") else fresh(server)
    command = [
        sys.executable, "-m", "beaconfold", "run", "counted:counted", "--source", "beacons.log",
        "--archive", "archive", "--store", url, "--max-rows", "1000", "--workers", "0",
        "--until-idle",
    ]  # fmt: skip
    support = str(Path(sys.modules["counted"].__file__).parent)
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": support},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        store = open_store(url)
        while not (jobs := store.generations()) or not store.segments(jobs[0]).partitions:
            assert run.poll() is None, run.communicate()
        server.kill()
        said = ""
        while "trying again" not in said:
            said += run.stderr.readline()
        server.start()
        _, rest = run.communicate(timeout=120)
    assert run.returncode == 0, rest
    assert "StoreUnavailable" in said
    assert "pass-word" not in said + rest
    check_all_once(store, ROWS)

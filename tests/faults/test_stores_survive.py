"""Eight processes merge into the same keys and roll them up; they and the server are killed."""

import random
import subprocess
import sys

import merging
import pytest
from redis_servers import fresh

from beaconfold.stores import Ledger, open_store
from beaconfold.stores.testing import declaration

PROCESSES = 8
DOOMED = 6
"""Processes that die at a step of their own, spread over a merge; each has a successor."""


@pytest.fixture(scope="module")
def clean():
    store = open_store("memory://")
    where = store.register(declaration())
    store.apply(where, merging.SEGMENTS, merging.of(merging.SEGMENTS))
    merging.roll_up(store, where)
    return store.dump(where)


def start(url, seed, fraction=None):
    command = [sys.executable, merging.__file__, url, str(seed)]
    command += [] if fraction is None else [str(fraction)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def survives(url, clean, server=None):
    dice = random.Random(7)
    steps = [(number + dice.random()) / DOOMED for number in range(DOOMED)]
    doomed = [start(url, seed, step) for seed, step in enumerate(steps)]
    others = [start(url, DOOMED + seed) for seed in range(PROCESSES - DOOMED)]
    assert others[0].stdout.readline() == "ready\n"
    others[0].stdout.readline()
    if server is not None:
        server.kill()
        server.start()
    killed = [each.wait(120) for each in doomed]
    others[0].kill()  # at random
    others[0].wait()
    others += [start(url, 100 + seed) for seed in range(2)]
    for each in others[1:]:
        output, errors = each.communicate(timeout=120)
        assert each.returncode == 0, errors
        assert output.endswith("0\n")
    assert killed.count(-9) == DOOMED, killed
    store = open_store(url)
    where = store.live("clicks")
    assert store.segments(where) == Ledger().add(merging.SEGMENTS)
    assert store.dump(where) == clean


def test_sqlite(clean, tmp_path):
    survives(f"sqlite:///{tmp_path}/beacons.db", clean)


def test_redis(clean, redis_server):
    survives(fresh(redis_server), clean, redis_server)


def test_postgres(clean, postgres_server):
    survives(postgres_server.namespace(), clean, postgres_server)

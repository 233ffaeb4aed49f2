"""Processes that merge into the same cells of a SQLite file, and are killed, lose nothing."""

import random
import subprocess
import sys

import polars as pl

from beaconfold.stores import Ledger, SegmentId, open_store
from beaconfold.stores.testing import declaration, fold

COUNT = 30
SEGMENTS = [SegmentId("a", "p", 1, number) for number in range(COUNT)]

WORKER = """
import random, sys
from test_processes import SEGMENTS, of
from beaconfold.stores import open_store
from beaconfold.stores.testing import declaration

store, dice = open_store(sys.argv[1]), random.Random(int(sys.argv[2]))
where, todo = store.register(declaration()), list(SEGMENTS)
dice.shuffle(todo)
while todo:
    batch, todo = todo[:3], todo[3:]
    applied = store.apply(where, batch, of(batch))
    for shard, lacking in applied.missing.items():
        store.apply(where, lacking, of(lacking), shards=[shard])
    print(len(todo), flush=True)
"""


def of(segments):
    """Give each segment 100 cells, of which it shares most with the others."""
    return fold(
        (f"p{key}", key % 3, segment.sequence * key, f"u{segment.sequence % 7}")
        for segment in segments
        for key in range(segment.sequence, segment.sequence + 100)
    )


def start(url, seed, folder):
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, url, str(seed)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def test_processes_killed_in_the_middle_lose_nothing(tmp_path, request):
    url, dice = f"sqlite:///{tmp_path}/beacons.db", random.Random(1)
    workers = [start(url, seed, request.path.parent) for seed in range(4)]
    doomed = workers[:2]
    for worker in doomed:
        for _ in range(dice.randint(2, 4)):
            assert worker.stdout.readline()
        worker.kill()  # SIGKILL, most likely within the next merge
        worker.wait()
    workers = [start(url, 9, request.path.parent), *workers[2:]]
    for worker in workers:
        output, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0
        assert output.endswith("0\n")
    store, clean = open_store(url), open_store("memory://")
    where = store.live("clicks")
    clean.apply(clean.register(declaration()), SEGMENTS, of(SEGMENTS))
    assert store.segments(where) == Ledger().add(SEGMENTS)
    assert pl.concat(store.scan(where))["n"].sum() == COUNT * 100
    assert store.dump(where) == clean.dump(where)

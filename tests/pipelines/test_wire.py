"""Frames cross processes whole, and without hanging."""

import pickle
import subprocess
import sys

import cloudpickle
import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

DTYPES = [pl.UInt32(), pl.Int64(), pl.Int128(), pl.Binary(), pl.String(), pl.Decimal(38, 6)]

BUSY = """
import os, pickle, queue, threading
from beaconfold.pipelines.jobs import publisher_traffic as job
from beaconfold.pipelines.sources import open_source

(source,) = open_source("synthetic://?rate=max&count=4000").partitions()
raw = next(source.read(0)).frame
parts = [raw.slice(begin, 1000) for begin in range(0, 4000, 1000)]
frames = queue.Queue(4)

def fold():
    while True:
        frames.put(job.plus(*map(job.fold, parts)))

threading.Thread(target=fold, daemon=True).start()
for _ in range(40):
    frame = frames.get()
    assert pickle.loads(pickle.dumps(frame)).equals(frame)
print("done", flush=True)
os._exit(0)
"""


@given(dataframes(allowed_dtypes=DTYPES, max_cols=5))
@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_frames_come_back_as_they_were(library, frame):
    assert_frame_equal(pickle.loads(library.dumps(frame)), frame)


def test_a_thread_can_pickle_while_another_folds():
    """Polars' own pickling hangs here within the first few frames."""
    done = subprocess.run(
        [sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "done\n", done.stderr

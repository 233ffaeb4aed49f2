"""A process that merges segments into a store and rolls windows up; told so, it dies in the middle.

Run as ``python merging.py URL SEED FRACTION``: with a fraction, the process first counts the calls
that the store's code makes in one merge, and then kills itself (SIGKILL) later, once it has made
that fraction of them: in the middle of whatever it is doing.
"""

import logging
import os
import random
import signal
import sys
from collections import defaultdict
from contextlib import nullcontext
from datetime import UTC, datetime

import polars as pl

from beaconfold.pipelines.retry import Retry
from beaconfold.stores import SegmentId, open_store
from beaconfold.stores.testing import declaration, generation

KEYS = 20_000
SEGMENTS = [SegmentId("a", "p", 1, number) for number in range(16)]
PRODUCT = generation().product


def of(segments):
    """Fold segments: each has a beacon for every key, in one of three minutes."""
    numbers = pl.DataFrame({"segment": [segment.sequence for segment in segments]})
    beacons = pl.DataFrame({"key": range(KEYS)}).join(numbers, how="cross")
    key, segment = pl.col("key"), pl.col("segment")
    return PRODUCT.fold(
        beacons.select(
            publisher="p" + key.cast(pl.String),
            window=(key % 3 * 60_000_000).cast(pl.Datetime("us", "UTC")),
            price=(segment + 1) * key,
            user="u" + (key * segment % 11).cast(pl.String),
        ),
        ["publisher", "window"],
    )


def apply(store, where, segments, shards=None):
    """Merge as a driver does: what some shards lack is folded again for them."""
    partly = defaultdict(list)
    for shard, lacking in store.apply(where, segments, of(segments), shards=shards).missing.items():
        partly[lacking].append(shard)
    for lacking, shards_of in partly.items():
        apply(store, where, lacking, shards_of)


def roll_up(store, where):
    """Merge all minutes into one window: those that come later too."""
    store.expire(where, {"1m": "1m", "3m": None}, now=datetime(1970, 1, 1, 0, 4, tzinfo=UTC))


class Calls:
    """Counts the calls of C functions that the store's backend makes, and may stop at one."""

    def __init__(self, last=None):
        self.count, self.last = 0, last

    def __call__(self, frame, event, _function):
        if event == "c_call" and "/stores/" in frame.f_code.co_filename:
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)

    def __enter__(self):
        sys.setprofile(self)
        return self

    def __exit__(self, *failure):
        sys.setprofile(None)


def main(url, seed, fraction=None):
    logging.basicConfig(level=logging.WARNING)
    dice = random.Random(int(seed))
    retry = Retry(first=0.05, most=0.5)
    store = open_store(url)
    where = retry("register", lambda: store.register(declaration()))
    todo = list(SEGMENTS)
    dice.shuffle(todo)
    print("ready", flush=True)
    calls = Calls() if fraction is not None else nullcontext()
    while todo:
        batch, todo = todo[:2], todo[2:]
        with calls:
            retry("merge", lambda batch=batch: apply(store, where, batch))
        if fraction is not None:
            calls.last = calls.last or calls.count + max(1, int(float(fraction) * calls.count))
        if len(todo) == len(SEGMENTS) // 2:
            with calls:
                retry("roll-up", lambda: roll_up(store, where))
        print(len(todo), flush=True)
    if fraction is not None:
        os.kill(os.getpid(), signal.SIGKILL)  # the others have done it all


if __name__ == "__main__":
    main(*sys.argv[1:])

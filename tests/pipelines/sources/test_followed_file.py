"""Files that grow: read on, rotated, truncated, compressed; each line once, whatever happens."""

import gzip
import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from beaconfold.pipelines.archive import Archive
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources import SourceUnreadable, open_source
from beaconfold.pipelines.sources.file_partition import PREFIX
from beaconfold.pipelines.sources.followed_file import LINGER, QUIET, SETTLED
from beaconfold.pipelines.sources.listing import to_receive
from beaconfold.pipelines.testing import SourceContract
from beaconfold.stores.clock import ManualClock

LONG = b"".join(b"/b.gif?n=%05d\n" % n for n in range(1000))


class TestFollowedFile(SourceContract):
    bad_urls = ("file:///a.log?follow=yes", "file:///a.log?follow=true&identity=path")

    @pytest.fixture
    def source_url(self, tmp_path):
        return f"file://{tmp_path}/beacons.log?follow=true"

    @pytest.fixture
    def publish(self, tmp_path):
        def append(bodies):
            with (tmp_path / "beacons.log").open("ab") as file:
                file.writelines(body + b"\n" for body in bodies)

        return append


class Follower:
    """Receives what a pattern has, as a run does: lists the files again, and steps each."""

    def __init__(self, url, archive, clock=None):
        self.source = open_source(str(url), clock=clock)
        self.archive, self.clock = archive, clock
        self.receivers = {}

    def listed(self):
        return self.source.partitions(self.archive.sources())

    def look(self):
        received = [name for name, each in self.receivers.items() if not each.done]
        for each in to_receive(self.source, self.archive, received):
            self.receivers[each.identity] = Receiver(
                each, self.archive, age="20ms", clock=self.clock
            )
        for receiver in self.live():
            receiver.step()

    def live(self):
        return [each for each in self.receivers.values() if not each.done]

    def until(self, true):
        late = time.monotonic() + 60
        while not true():
            assert time.monotonic() < late, "it has not come true"
            self.look()

    def has(self, lines):
        self.until(lambda: held(self.archive) >= len(lines))
        assert sorted(stored(self.archive)) == sorted(lines)

    def stop(self):
        for receiver in self.live():
            receiver.stop()
            receiver.run()


def held(archive):
    return sum(archive.header(ref).rows for ref in archive.segments())


def stored(archive):
    return [raw for ref in archive.segments() for raw in archive.read(ref)["raw"]]


def claims(archive):
    return sum(len(archive._listing.claims(name)) for name in archive.sources())


def append(path, text):
    with path.open("ab") as file:
        file.write(text)


@pytest.fixture
def archive(tmp_path):
    return Archive.open(tmp_path / "archive")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "logs"
    made.mkdir()
    return made


@pytest.fixture
def log(folder):
    return folder / "access.log"


@pytest.fixture
def follower(folder, archive, clock):
    return Follower(f"file://{folder}/access.log*?follow=true", archive, clock)


class TestGrowing:
    def test_what_comes_later_is_received(self, follower, log):
        append(log, LONG)
        follower.has(LONG.splitlines())
        append(log, b"a=1\nb=")
        follower.has([*LONG.splitlines(), b"a=1"])
        append(log, b"2\n")
        follower.has([*LONG.splitlines(), b"a=1", b"b=2"])

    def test_files_may_come_later(self, follower, folder, log):
        assert follower.listed() == []
        append(log, b"a=1\n")
        follower.has([b"a=1"])
        append(folder / "access.log.new", b"b=1\n")
        follower.has([b"a=1", b"b=1"])

    def test_a_folder_that_is_not_there_is_an_error(self, folder):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            open_source(f"{folder}/nowhere/*.log?follow=true").partitions()

    def test_a_run_that_is_started_again_goes_on(self, follower, log, archive, clock):
        append(log, LONG)
        follower.has(LONG.splitlines())
        append(log, b"a=1\n")
        again = Follower(f"{log}*?follow=true", archive, clock)
        again.has([*LONG.splitlines(), b"a=1"])

    def test_an_unfinished_line_is_left_until_the_file_is_quiet(self, follower, log, clock):
        append(log, LONG + b"a=")
        follower.has(LONG.splitlines())
        clock.advance(QUIET)
        follower.has([*LONG.splitlines(), b"a="])

    def test_a_short_file_is_recorded_again_as_it_grows(self, follower, log, archive, clock):
        append(log, b"a=1\n")
        follower.has([b"a=1"])
        append(log, b"a=2\n")
        follower.has([b"a=1", b"a=2"])
        clock.advance(SETTLED)
        follower.until(lambda: [about["prefix"] for about in archive.sources().values()] == [8])
        for _ in range(20):
            follower.look()
            clock.advance(SETTLED)
        assert claims(archive) == 2


class TestRotation:
    def test_by_renaming(self, follower, folder, log, clock):
        append(log, LONG)
        follower.has(LONG.splitlines())
        with log.open("ab") as writer:
            log.rename(folder / "access.log.1")
            append(log, b"b=1\n")
            follower.has([*LONG.splitlines(), b"b=1"])
            writer.write(b"late=1\nlast=")  # the writer has not opened the new one yet
            writer.flush()
            follower.has([*LONG.splitlines(), b"b=1", b"late=1"])
        clock.advance(LINGER)
        follower.has([*LONG.splitlines(), b"b=1", b"late=1", b"last="])
        follower.until(lambda: len(follower.live()) == 1)

    def test_by_renaming_out_of_the_pattern(self, folder, log, archive, clock):
        follower = Follower(f"{folder}/*.log?follow=true", archive, clock)
        append(log, LONG)
        follower.has(LONG.splitlines())
        log.rename(folder / "access.log.1")
        append(folder / "access.log.1", b"late=1\n")
        append(log, b"b=1\n")
        follower.has([*LONG.splitlines(), b"late=1", b"b=1"])

    @pytest.mark.parametrize("first", [b"a=1\n", LONG], ids=["short", "long"])
    def test_by_copying_and_truncating(self, follower, folder, log, first, clock):
        append(log, first)
        follower.has(first.splitlines())
        append(log, b"unread=1\n")
        (folder / "access.log.1").write_bytes(log.read_bytes())
        for _ in range(30):
            follower.look()
            clock.advance(SETTLED)
        os.truncate(log, 0)
        append(log, b"b=1\n" * 2000)
        follower.has([*first.splitlines(), b"unread=1", *[b"b=1"] * 2000])

    @pytest.mark.parametrize("first", [b"a=1\n", LONG], ids=["short", "long"])
    def test_what_is_compressed_later_is_not_read_again(
        self, follower, folder, log, archive, clock, first
    ):
        append(log, first)
        follower.has(first.splitlines())
        append(log, b"more=1\n")
        rotated = folder / "access.log.1"
        log.rename(rotated)
        follower.has([*first.splitlines(), b"more=1"])
        for _ in range(5):
            clock.advance(LINGER)
            follower.look()
        packed = gzip.compress(rotated.read_bytes())
        target = folder / "access.log.2.gz"
        target.write_bytes(packed[:40])  # in the making, beside what it is made of
        follower.look()
        target.write_bytes(packed)
        follower.look()
        rotated.unlink()
        epochs = claims(archive)
        for _ in range(5):
            follower.look()
        assert claims(archive) == epochs
        append(log, b"b=1\n")
        follower.has([*first.splitlines(), b"more=1", b"b=1"])

    def test_what_was_compressed_before_it_was_read_is_read_from_there(
        self, follower, folder, log, archive, clock
    ):
        append(log, LONG)
        follower.has(LONG.splitlines())
        follower.stop()
        (folder / "access.log.1.gz").write_bytes(gzip.compress(LONG + b"a=1\n"))
        log.unlink()
        again = Follower(f"{folder}/*?follow=true", archive, clock)
        again.has([*LONG.splitlines(), b"a=1"])

    def test_one_in_the_making_is_waited_for(self, follower, folder, log, archive):
        packed = gzip.compress(LONG)
        (folder / "access.log.1.gz").write_bytes(packed[:-9])
        assert follower.listed() == []
        (folder / "access.log.1.gz").write_bytes(packed)
        follower.has(LONG.splitlines())


class TestAlike:
    def test_a_copy_is_read_once(self, follower, folder, log):
        append(log, LONG + b"a=1\n")
        append(folder / "access.log.copy", LONG)
        (one,) = follower.listed()
        assert one.path == log

    def test_two_that_differ_later_are_refused(self, follower, folder, log):
        append(log, LONG + b"a=1\n")
        append(folder / "access.log.other", LONG + b"a=2\n")
        with pytest.raises(ValueError, match="begin alike"):
            follower.listed()

    def test_one_that_is_cut_is_refused(self, follower, log):
        append(log, LONG)
        (partition,) = follower.listed()
        with pytest.raises(SourceUnreadable, match="was read up to 20000 before"):
            next(partition.read(20_000))


def test_thousands_that_are_finished_need_no_receiver(folder, archive, clock):
    for n in range(100):
        (folder / f"{n}.log").write_bytes(b"n=%d\n" % n)
    follower = Follower(f"{folder}?follow=true", archive, clock)
    follower.until(lambda: held(archive) == 100)
    follower.stop()
    again = Follower(f"{folder}?follow=true", archive, clock)
    again.look()
    assert again.receivers == {}


WRITER = """
import os, sys, time
path, mode = sys.argv[1:]
n = 0

def write(log, times):
    global n
    for _ in range(times):
        lines = b"".join(b"/b.gif?n=%06d\\n" % i for i in range(n, n + 50))
        n += 50
        half = len(lines) // 2 + 3
        log.write(lines[:half])
        log.write(lines[half:])
        time.sleep(0.001)

for turn in range(6):
    with open(path, "ab", buffering=0) as log:
        write(log, 30)
        sys.stdin.readline()
        write(log, 30)
    if mode == "rename":
        os.rename(path, f"{path}.{turn}")
    else:
        with open(path, "rb") as log, open(f"{path}.{turn}", "wb") as copy:
            copy.write(log.read())
        os.truncate(path, 0)
    if turn:
        os.system(f"gzip {path}.{turn - 1}")
print(n)
"""


@pytest.mark.parametrize("mode", ["rename", "copytruncate"])
def test_under_a_writer_that_rotates_nothing_is_lost_or_read_twice(folder, log, archive, mode):
    follower = Follower(f"{log}*?follow=true", archive)
    command = [sys.executable, "-c", WRITER, str(log), mode]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as writer:
        turns = 0
        while writer.poll() is None:
            follower.look()
            known = sum(about["prefix"] == PREFIX for about in archive.sources().values())
            if turns < known <= 6:  # it knows what is there now by its whole beginning
                turns += 1
                writer.stdin.write("\n")
                writer.stdin.flush()
        count = int(writer.stdout.read())
    follower.until(lambda: held(archive) >= count)
    follower.stop()
    assert Counter(stored(archive)) == Counter(b"/b.gif?n=%06d" % n for n in range(count))

"""Files that are followed from the command line: new ones, rotated ones, and a clean end."""

import gzip
import signal
import time

import pytest

from beaconfold import open_store
from beaconfold.pipelines.archive import Archive

from .conftest import beacons, ended, lines, process


@pytest.fixture
def logs(tmp_path):
    made = tmp_path / "logs"
    made.mkdir()
    return made


def held(place):
    archive = Archive.open(place)
    return sum(archive.header(ref).rows for ref in archive.segments())


def wait_for(count, place):
    late = time.monotonic() + 60
    while held(place) < count:
        assert time.monotonic() < late, f"{held(place)} of {count}"
        time.sleep(0.05)


def append(path, some):
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in some)


def test_files_come_and_are_rotated_while_it_runs(logs, tmp_path):
    place, log, all_lines = tmp_path / "archive", logs / "access.log", lines(3000)
    args = ("--source", f"{logs}/access.log*?follow=true", "--archive", str(place))
    started = process("ingest", *args, "--partition", "100ms")
    append(log, all_lines[:1000])
    wait_for(1000, place)
    rotated = log.rename(logs / "access.log.1")
    append(log, all_lines[1000:2000])
    wait_for(2000, place)
    packed = gzip.compress(rotated.read_bytes())
    (logs / "access.log.2.gz").write_bytes(packed)
    rotated.unlink()
    append(log, all_lines[2000:])
    wait_for(3000, place)
    started.send_signal(signal.SIGINT)
    out, _ = ended(started)
    assert out.startswith("received 3,000 beacons in ")
    again = beacons("ingest", *args, "--for", "2s")
    assert again.stdout == "received nothing that was not there, from 0 source partitions\n"
    archive = Archive.open(place)
    raw = [beacon for ref in archive.segments() for beacon in archive.read(ref)["raw"]]
    assert sorted(raw) == sorted(line.encode() for line in all_lines)


def test_a_run_follows_and_merges(logs, tmp_path):
    place, log = tmp_path / "archive", logs / "access.log"
    store = f"sqlite:///{tmp_path}/store.db"
    args = ("--source", f"{logs}?follow=true", "--archive", str(place), "--store", store)
    started = process("run", "beacon-counts", *args, "--workers", "0", "--partition", "100ms")
    append(log, lines(500))
    wait_for(500, place)
    append(log, lines(700)[500:])
    wait_for(700, place)
    started.send_signal(signal.SIGINT)
    out, _ = ended(started)
    assert "700 beacons" in out
    opened = open_store(store)
    assert opened.query("beacon-counts")["beacons"].sum() == 693  # every hundredth has no time
    opened.close()

"""Receivers as real processes that fence one another: every row once, in order."""

import subprocess
import sys

from beaconfold.pipelines.archive import Archive
from beaconfold.stores.segments import Seal

RECEIVER = """
import sys
from datetime import UTC, datetime
import polars as pl
from beaconfold.pipelines.archive import RAW, Archive, Fenced

archive = Archive.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(12):  # reigns
    epoch = archive.claim("numbers")
    archive.seal_before("numbers", epoch)
    at = archive.position("numbers") or 0
    try:
        for sequence in range(6):
            frame = pl.DataFrame(
                {"raw": [str(at).encode()], "received": datetime.now(UTC), "offset": at,
                 "message_id": None}, schema=RAW)
            archive.publish("numbers", epoch, sequence, frame, position=at + 1)
            at += 1
    except Fenced:
        print("fenced", flush=True)
"""


def test_processes_that_fence_one_another(tmp_path):
    command = [sys.executable, "-c", RECEIVER, str(tmp_path / "archive")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    said = []
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        said += process.communicate(timeout=60)[0].split()
        assert process.returncode == 0
    archive = Archive.open(tmp_path / "archive", create=False)
    archive.seal_before("numbers", archive.claim("numbers"))
    refs = archive.segments()
    offsets = [archive.read(ref)["offset"].item() for ref in refs]
    assert offsets == list(range(len(offsets)))
    lengths = [sum(ref.id.epoch == epoch for ref in refs) for epoch in range(1, 37)]
    sealed = [Seal(archive.id, "numbers", epoch, lengths[epoch - 1]) for epoch in range(1, 37)]
    assert archive.seals() == sealed
    assert "fenced" in said or lengths == [6] * 36

"""``beacons ingest``: on the workers of a cluster, and beside another process."""

import threading
from datetime import UTC, datetime, timedelta

from click.testing import CliRunner

from beaconfold import Archive
from beaconfold.pipelines.archive import Lease
from beaconfold.pipelines.cli import main
from beaconfold.pipelines.sources import open_source

SOURCE = "synthetic://?rate=0&count=3000&seed=8"


def ingest(archive, *more):
    args = ["ingest", "--source", SOURCE, "--archive", str(archive), *more]
    return CliRunner().invoke(main, args)


def test_on_the_workers_of_a_cluster(client, tmp_path):
    result = ingest(tmp_path / "archive", "--scheduler", client.scheduler.address)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "received 3,000 beacons in 1 segments, from 1 source partitions\n"
    assert len(Archive.open(tmp_path / "archive").segments()) == 1


def test_what_another_process_receives_is_taken_over_when_that_one_is_gone(tmp_path):
    archive = Archive.open(tmp_path / "archive")
    (partition,) = open_source(SOURCE).partitions()
    until = datetime.now(UTC) + timedelta(hours=1)
    archive.claim(partition.identity)
    archive.renew(Lease(partition.identity, 1, "elsewhere", 1, until))
    gone = threading.Timer(0.5, archive.release, (partition.identity, 1))
    gone.start()
    result = ingest(tmp_path / "archive")
    gone.join()
    assert result.exit_code == 0, result.stderr
    assert "received by another process: standing by" in result.stderr
    assert result.stdout.startswith("received 3,000 beacons")

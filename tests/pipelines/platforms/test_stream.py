"""The live stream: intake goes on whatever becomes of the folds, and a close is bounded."""

import errno
import sys
import threading

import pytest

from beaconfold import Archive, Job, Monoid, open_store, stream
from beaconfold.pipelines.archive.local import LocalFolder
from beaconfold.pipelines.jobs import beacon_counts


class Total(Monoid[int]):
    commutative, idempotent, zero = True, False, 0

    def plus(self, left, right):
        return left + right


def test_a_fold_that_stands_still_does_not_stop_intake(tmp_path):
    folding, go_on = threading.Event(), threading.Event()

    def count(_raw):
        folding.set()
        assert go_on.wait(60)
        return [("all", 1)]

    job, store = Job.per_row(name="n", version="1", map=count, monoid=Total()), "memory://"
    url, archive = "synthetic://?rate=0&count=5000", Archive.open(tmp_path / "archive")
    with stream(
        job, source=url, archive=archive, store=store, max_rows=100, window=1, poll=0.01
    ) as run:
        assert folding.wait(60)
        assert run.source.supervisor.join(60)
        progress = run.progress()
        assert (progress.received, progress.merged.merged_segments) == (5000, 0)
        assert len(archive.segments()) == 50
        go_on.set()
        assert run.drain().merged.num_input_rows == 5000


class FullDisk(LocalFolder):
    """A folder whose disk is full."""

    full = True

    def create(self, name, data, check=bool):
        if self.full and name.startswith("segments") and data:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().create(name, data, check)


def test_a_close_does_not_wait_for_ever_for_a_full_disk(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sys.modules["beaconfold.pipelines.platforms.stream"], "CLOSE", 0.2)
    opened = Archive.open(tmp_path / "archive")
    disk = FullDisk(opened.folder.root)
    archive = Archive(disk, opened.id)
    run = stream(
        beacon_counts, source="synthetic://?rate=1000", archive=archive, store="memory://",
        partition="10ms",
    )  # fmt: skip
    (receiver,) = run.source.receivers
    while receiver.status.state != "retrying":
        pass
    assert receiver.status.ailing
    assert "No space left on device" in str(run.progress())
    run.close()
    (left,) = [record.getMessage() for record in caplog.records if "not published" in record.msg]
    assert receiver.name in left
    assert "No space left on device" in left
    assert receiver.post._receiver.join(30)
    disk.full = False
    assert opened.segments() == []
    # The next run receives it again.
    with stream(
        beacon_counts, source="synthetic://?rate=1000", archive=opened, store="memory://"
    ) as again:
        assert not again.source.followed
        while again.progress().received == 0 and not again.finished:
            pass


def test_standard_input_is_received_here_though_there_is_a_cluster(client, tmp_path, monkeypatch):
    lines = tmp_path / "piped"
    lines.write_text("/b.gif?beaconType=click&ts=1\n" * 100)
    store = open_store(f"sqlite:///{tmp_path}/beacons.db")
    with lines.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with stream(
            beacon_counts,
            source="stdin://",
            archive=str(tmp_path / "archive"),
            store=store,
            client=client,
        ) as run:
            run.drain()
            (status,) = run.progress().receivers
    assert (status.state, status.worker) == ("finished", None)
    assert store.query("beacon-counts")["beacons"].sum() == 100


@pytest.mark.parametrize("url", ["synthetic://?rate=0&count=3000", "beacons.log"])
def test_receivers_are_on_workers_where_there_is_a_cluster(client, tmp_path, monkeypatch, url):
    (tmp_path / "beacons.log").write_text("/b.gif?beaconType=click&ts=1\n" * 3000)
    monkeypatch.chdir(tmp_path)  # which the workers know nothing of
    store = open_store(f"sqlite:///{tmp_path}/beacons.db")
    with stream(beacon_counts, source=url, archive="archive", store=store, client=client) as run:
        assert run.drain().received == 3000
        (status,) = run.progress().receivers
    assert status.worker in client.scheduler_info()["workers"]

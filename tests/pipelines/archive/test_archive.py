"""The archive: its identity, its epochs and their fencing, and what it lists and reads."""

import json
import pickle
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beaconfold.pipelines.archive import (
    RAW,
    Archive,
    ArchiveChanged,
    ArchiveLayoutError,
    Fenced,
    Lease,
    SegmentUnreadable,
)
from beaconfold.stores.clock import ManualClock
from beaconfold.stores.segments import Seal, SegmentId

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def archive(tmp_path):
    return Archive.open(tmp_path / "archive")


def beacons(*raw, received=NOON):
    return pl.DataFrame(
        {"raw": raw, "received": received, "offset": range(len(raw)), "message_id": None},
        schema=RAW,
    )


def publish(archive, epoch, sequence, *, partition="clicks", position=None, raw=None):
    frame = beacons(raw or f"{epoch}/{sequence}".encode())
    return archive.publish(partition, epoch, sequence, frame, position=position)


def names(archive):
    return [ref.id[1:] for ref in archive.segments()]


class TestIdentity:
    def test_is_made_once_and_kept(self, tmp_path):
        first = Archive.open(tmp_path / "a b")
        assert Archive.open(first.url).id == first.id
        assert Archive.open(tmp_path / "a b", create=False).id == first.id
        assert Archive.open(tmp_path / "c").id != first.id
        assert json.loads((tmp_path / "a b/archive.json").read_text()) == {
            "id": first.id,
            "layout": 1,
        }

    def test_url_is_absolute(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert Archive.open("here").url == f"{tmp_path.as_uri()}/here"

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"^no archive at .*nowhere$"):
            Archive.open(tmp_path / "nowhere", create=False)
        assert not (tmp_path / "nowhere").exists()

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b'{"id": "a", "layout": 2}', "has layout 2"), (b"{}", "is no archive's"), (b"", "is no")],
    )
    def test_of_another_layout(self, tmp_path, content, message):
        (tmp_path / "archive.json").write_bytes(content)
        with pytest.raises(ArchiveLayoutError, match=message):
            Archive.open(tmp_path)

    @pytest.mark.parametrize("url", ["s3://user:secret@bucket/x", "file://host/x", "redis://h"])
    def test_url_of_another_kind(self, url):
        with pytest.raises(ValueError, match="file:///absolute/path") as caught:
            Archive.open(url)
        assert "secret" not in str(caught.value)

    def test_a_file_in_the_way(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError, match="file is a file"):
            Archive.open(tmp_path / "file")

    def test_travels_by_url_and_id(self, archive):
        ref = publish(archive, archive.claim("clicks"), 0)
        travelled, ref_there = pickle.loads(pickle.dumps((archive, ref)))
        assert (travelled.id, travelled.url) == (archive.id, archive.url)
        assert travelled.read(ref_there)["raw"].to_list() == [b"1/0"]
        assert len(pickle.dumps(ref)) < 400

    def test_of_a_folder_that_is_gone_is_not_an_archive_without_segments(self, archive):
        publish(archive, archive.claim("clicks"), 0, position=7)
        root = archive.folder.root
        root.rename(root.parent / "away")
        for action in (
            lambda: archive.position("clicks"),
            lambda: archive.last("clicks"),
            lambda: archive.lease("clicks"),
            lambda: archive.seal("clicks", 1),
            lambda: archive.claim("clicks"),
            archive.segments,
            archive.seals,
            archive.sources,
        ):
            with pytest.raises(FileNotFoundError, match="no archive at"):
                action()
        assert not root.exists()
        (root.parent / "away").rename(root)
        assert archive.position("clicks") == 7

    def test_of_a_folder_made_anew_is_another(self, archive):
        ref = publish(archive, archive.claim("clicks"), 0)
        travelling = pickle.dumps(archive)
        shutil.rmtree(archive.folder.root)
        with pytest.raises(FileNotFoundError, match="no archive at"):
            publish(archive, 1, 1)
        anew = Archive.open(archive.url)
        publish(anew, anew.claim("clicks"), 0)
        both = f"{anew.id}.*{archive.id}"
        with pytest.raises(ArchiveChanged, match=both):
            pickle.loads(travelling)
        for action in (
            lambda: publish(archive, 1, 1),
            lambda: publish(archive, 1, 0),
            lambda: archive.claim("clicks"),
            lambda: archive.seal("clicks", 1),
            lambda: archive.renew(Lease.mine("clicks", 1, NOON)),
            lambda: archive.release("clicks", 1),
            archive.segments,
            archive.seals,
            archive.sources,
        ):
            with pytest.raises(ArchiveChanged, match=both):
                action()
        with pytest.raises(ArchiveChanged):
            anew.read(ref)
        assert names(anew) == [("clicks", 1, 0)]
        assert anew.seals() == []


class TestPublishing:
    def test_in_order(self, archive):
        epoch = archive.claim("clicks")
        refs = [publish(archive, epoch, sequence, position=sequence) for sequence in range(3)]
        assert archive.segments() == refs
        assert [ref.id for ref in refs] == [SegmentId(archive.id, "clicks", 1, s) for s in range(3)]
        assert [ref.size for ref in refs] == [Path(ref.path).stat().st_size for ref in refs]
        assert [archive.read(ref)["raw"].to_list() for ref in refs] == [
            [b"1/0"],
            [b"1/1"],
            [b"1/2"],
        ]
        with pytest.raises(ValueError, match="published in order"):
            publish(archive, epoch, 4)

    def test_the_same_again_is_a_no_op_and_another_is_fenced(self, archive):
        epoch = archive.claim("clicks")
        assert publish(archive, epoch, 0, raw=b"a") == publish(archive, epoch, 0, raw=b"a")
        with pytest.raises(Fenced):
            publish(archive, epoch, 0, raw=b"b")
        with pytest.raises(Fenced):
            publish(archive, epoch, 0, raw=b"a", position=7)

    @pytest.mark.parametrize("partition", ["", "../x", "a/b", ".hidden", "a b", "x" * 129, "a\n"])
    def test_of_a_name_that_is_no_safe_file_name(self, archive, partition):
        for action in (archive.claim, archive.last, archive.lease):
            with pytest.raises(ValueError, match="cannot name a partition"):
                action(partition)
        with pytest.raises(ValueError, match="cannot name a partition"):
            publish(archive, 1, 0, partition=partition)

    def test_leaves_no_staged_file(self, archive):
        publish(archive, archive.claim("clicks"), 0)
        assert list((archive.folder.root / "tmp").iterdir()) == []


class TestEpochs:
    def test_are_counted_from_1_by_partition(self, archive):
        assert [archive.claim(name) for name in ("a", "a", "b", "a")] == [1, 2, 1, 3]

    def test_claims_record_who_and_when_and_the_source(self, archive):
        clock = ManualClock(NOON)
        archive.claim("a", source={"path": "/old"}, clock=clock)
        archive.claim("a", source={"path": "/new"}, clock=clock)
        archive.claim("b")
        assert archive.sources() == {"a": {"path": "/new"}, "b": {}}
        claim = json.loads((archive.folder.root / "epochs/a/00000001.json").read_bytes())
        assert claim["at"] == NOON.isoformat()
        assert claim["pid"] > 0

    def test_a_seal_is_final_and_can_be_repeated(self, archive):
        epoch = archive.claim("clicks")
        publish(archive, epoch, 0)
        assert [archive.seal("clicks", epoch) for _ in range(3)] == [1, 1, 1]
        assert (
            archive.folder.root / "segments/clicks/00000001/000000000001.arrow"
        ).stat().st_size == 0
        assert archive.seals() == [Seal(archive.id, "clicks", 1, 1)]
        with pytest.raises(Fenced):
            publish(archive, epoch, 1)
        assert names(archive) == [("clicks", 1, 0)]

    def test_a_zombie_is_fenced_wherever_it_goes_on(self, archive):
        epoch = archive.claim("clicks")
        publish(archive, epoch, 0)
        publish(archive, epoch, 1)
        zombie = Archive.open(archive.url)
        archive.seal_before("clicks", archive.claim("clicks"))
        for sequence in (2, 3, 9):
            with pytest.raises(Fenced):
                publish(zombie, epoch, sequence)
        assert archive.seals() == [Seal(archive.id, "clicks", 1, 2)]

    def test_a_zombie_that_published_nothing_is_fenced(self, archive):
        first, second = archive.claim("clicks"), archive.claim("clicks")
        archive.seal_before("clicks", second)
        with pytest.raises(Fenced):
            publish(archive, first, 0)
        publish(archive, second, 0)
        assert archive.seals() == [Seal(archive.id, "clicks", 1, 0)]

    def test_a_successor_seals_all_predecessors_and_resumes_after_the_last(self, archive):
        for epoch in range(1, 5):
            assert archive.claim("clicks") == epoch
        publish(archive, 1, 0, position=10)
        publish(archive, 2, 0, position=20)
        publish(archive, 2, 1, position=30)
        archive.seal_before("clicks", 4)
        assert [seal[2:] for seal in archive.seals()] == [(1, 1), (2, 2), (3, 0)]
        assert archive.position("clicks") == 30
        assert archive.last("clicks").id == (archive.id, "clicks", 2, 1)

    def test_nothing_was_read_of_an_unknown_partition(self, archive):
        assert archive.position("clicks") is None
        assert archive.last("clicks") is None
        assert archive.segments() == archive.seals() == []
        assert archive.sources() == {}

    def test_the_seal_loses_to_a_publish_in_between_and_goes_on(self, archive):
        """A predecessor publishes after the successor looked, before it seals."""
        epoch = archive.claim("clicks")
        publish(archive, epoch, 0)
        owner = Archive.open(archive.url)
        late = iter((1, 2))

        class Slow(Archive):
            def check(self):
                super().check()
                if (sequence := next(late, None)) is not None:
                    publish(owner, epoch, sequence)

        assert Slow(archive.folder, archive.id).seal("clicks", epoch) == 3
        assert names(archive) == [("clicks", 1, 0), ("clicks", 1, 1), ("clicks", 1, 2)]

    def test_the_publish_loses_to_a_seal_in_between(self, archive):
        """A successor seals after the zombie made sure of its archive, before it has the name."""
        epoch = archive.claim("clicks")
        successor = Archive.open(archive.url)

        class Slow(Archive):
            def check(self):
                super().check()
                successor.seal_before("clicks", successor.claim("clicks"))

        with pytest.raises(Fenced):
            publish(Slow(archive.folder, archive.id), epoch, 0)
        assert names(archive) == []


class TestReading:
    @pytest.mark.parametrize("damage", [b"", b"hello"], ids=["cut", "overwritten"])
    def test_of_a_damaged_segment_names_the_file(self, archive, damage):
        ref = publish(archive, archive.claim("clicks"), 0)
        Path(ref.path).write_bytes(damage)
        with pytest.raises(SegmentUnreadable, match="000000000000.arrow"):
            archive.read(ref)
        with pytest.raises(OSError, match="000000000000.arrow"):
            Archive.open(archive.url).header(ref)

    def test_of_a_missing_segment_names_the_file(self, archive):
        ref = publish(archive, archive.claim("clicks"), 0)
        Path(ref.path).unlink()
        with pytest.raises(SegmentUnreadable, match="000000000000.arrow"):
            archive.read(ref)

    def test_the_header_says_what_the_frame_holds(self, archive):
        ref = publish(archive, archive.claim("clicks"), 0, position=42)
        for opened in (archive, Archive.open(archive.url)):
            assert opened.header(ref) == (1, NOON, NOON, 42)

    def test_foreign_files_are_not_segments(self, archive):
        ref = publish(archive, archive.claim("clicks"), 0)
        for name in (".nfs0001", "notes.txt", "000000000001.arrow~"):
            (Path(ref.path).parent / name).write_bytes(b"x")
        assert archive.segments() == [ref]

    @settings(max_examples=30)
    @given(
        spans=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=8),
        since=st.none() | st.integers(0, 70),
        until=st.none() | st.integers(0, 70),
    )
    def test_a_range_selects_whole_segments_by_time_of_receipt(
        self, tmp_path_factory, spans, since, until
    ):
        archive = Archive.open(tmp_path_factory.mktemp("archive"))
        for partition in ("a", "b"):
            archive.claim(partition)
            for sequence, (first, length) in enumerate(spans):
                times = [NOON + timedelta(seconds=s) for s in (first + length, first)]
                frame = pl.concat(beacons(b"x", received=time) for time in times)
                archive.publish(partition, 1, sequence, frame, position=None)
        chosen = [
            (partition, 1, sequence)
            for partition in ("a", "b")
            for sequence, (first, length) in enumerate(spans)
            if (since is None or first + length >= since) and (until is None or first < until)
        ]
        at = [None if s is None else NOON + timedelta(seconds=s) for s in (since, until)]
        for opened in (archive, Archive.open(archive.url)):
            assert [ref.id[1:] for ref in opened.segments(*at)] == chosen


class TestLeases:
    def test_a_receiver_lives_until_its_lease_runs_out(self, archive):
        assert archive.lease("clicks") is None
        lease = Lease.mine("clicks", 1, NOON)
        archive.renew(lease)
        assert archive.lease("clicks") == lease
        assert lease.live(NOON - timedelta(seconds=1))
        assert not lease.live(NOON)

    def test_a_process_of_this_machine_that_is_gone_is_dead(self, archive):
        import subprocess
        import sys

        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        lease = Lease.mine("clicks", 1, NOON)._replace(process=gone.pid)
        assert not lease.live(NOON - timedelta(seconds=1))
        assert lease._replace(host="elsewhere").live(NOON - timedelta(seconds=1))

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
    def test_a_process_that_has_ended_and_nobody_asks_after_is_dead(self):
        import os
        import subprocess
        import sys

        with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as ended:
            assert ended.stdout.read() == b""
            os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
            lease = Lease.mine("clicks", 1, NOON)._replace(process=ended.pid)
            assert not lease.live(NOON - timedelta(seconds=1))

    def test_only_its_holder_releases_it(self, archive):
        archive.renew(Lease.mine("clicks", 2, NOON))
        archive.release("clicks", 1)
        assert archive.lease("clicks").epoch == 2
        archive.release("clicks", 2)
        assert archive.lease("clicks") is None

    @pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"until": "x"}', b"\xff"])
    def test_a_broken_one_is_none(self, archive, content):
        archive.renew(Lease.mine("clicks", 1, NOON))
        (archive.folder.root / "leases/clicks.json").write_bytes(content)
        assert archive.lease("clicks") is None

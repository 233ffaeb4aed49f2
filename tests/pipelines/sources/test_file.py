"""Files: found, decompressed, recognised, and refused when they are not what they were."""

import gzip
import pickle

import polars as pl
import pyarrow as pa
import pytest

from beaconfold.pipelines.sources import SourceUnreadable, open_source
from beaconfold.pipelines.sources.file import PREFIX

LINES = [f"/b.gif?publisher=p{n % 7}&user={n}" for n in range(30_000)]
TEXT = ("\n".join(LINES) + "\n").encode()


def zstd(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


FORMS = {
    "plain": TEXT,
    "gzip": gzip.compress(TEXT),
    "gzip of members": gzip.compress(TEXT[:7777]) + gzip.compress(b"") + gzip.compress(TEXT[7777:]),
    "gzip padded": gzip.compress(TEXT) + bytes(512),
    "zstd": zstd(TEXT),
    "zstd of frames": zstd(TEXT[:7777]) + zstd(TEXT[7777:]),
}


def partitions(url, known=None):
    return open_source(str(url)).partitions(known or {})


def read(partition, position=None):
    batches = list(partition.read(position))
    return pl.concat([batch.frame for batch in batches]), batches[-1].position


@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_told_by_the_content(tmp_path, form):
    (tmp_path / "beacons.txt").write_bytes(FORMS[form])
    (partition,) = partitions(tmp_path / "beacons.txt")
    frame, end = read(partition)
    assert frame["raw"].cast(pl.String).to_list() == LINES
    assert end == len(TEXT)
    resume = frame["offset"][4321]
    rest, _ = read(partition, resume)
    assert rest.equals(frame[4321:])
    assert list(partition.read(end)) == []


@pytest.mark.parametrize("form", [form for form in FORMS if "padded" not in form])
def test_a_file_shorter_than_what_was_read_of_it_is_refused(tmp_path, form):
    (tmp_path / "beacons").write_bytes(FORMS[form])
    (partition,) = partitions(tmp_path / "beacons")
    message = f"beacons ends at byte {len(TEXT)}, but was read up to {len(TEXT) + 5} before"
    with pytest.raises(SourceUnreadable, match=message):
        list(partition.read(len(TEXT) + 5))


@pytest.mark.parametrize("form", ["gzip", "gzip of members", "zstd", "zstd of frames"])
@pytest.mark.parametrize("keep", [0.8, 0.999])
def test_of_a_cut_file_the_whole_lines_are_read_before_it_is_refused(tmp_path, form, keep):
    content = FORMS[form]
    path = tmp_path / "beacons"
    path.write_bytes(content[: int(len(content) * keep)])
    (partition,) = partitions(path)
    batches = []
    with pytest.raises(SourceUnreadable, match=f"{path} is cut or corrupt"):
        batches.extend(partition.read(None))
    position = batches[-1].position
    got = [line for batch in batches for line in batch.frame["raw"].cast(pl.String)]
    assert got
    assert got == LINES[: len(got)]
    path.write_bytes(content)
    rest, _ = read(partition, position)
    assert got + rest["raw"].cast(pl.String).to_list() == LINES


def test_a_corrupt_file_is_refused(tmp_path):
    content = bytearray(FORMS["gzip"])
    content[len(content) // 2 :] = b"garbage" * 10
    (tmp_path / "beacons.gz").write_bytes(content)
    (partition,) = partitions(tmp_path)
    with pytest.raises(SourceUnreadable, match=r"beacons.gz is cut or corrupt"):
        list(partition.read(None))


class TestFinding:
    @pytest.fixture
    def folder(self, tmp_path):
        names = ("b.log", "a.log", "c.txt", ".hidden.log", "100%.log", "deep/d.log", "empty.log")
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("" if "empty" in name else f"{name}\n")
        return tmp_path

    def found(self, url):
        return [partition.path.name for partition in partitions(url)]

    def test_a_folder_in_order_without_hidden_and_empty_ones(self, folder):
        assert self.found(folder) == ["100%.log", "a.log", "b.log", "c.txt"]

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("?.log", ["a.log", "b.log"]),
            ("[bc].*", ["b.log", "c.txt"]),
            ("**/*.log", ["100%.log", "a.log", "b.log", "d.log"]),
            ("a.log", ["a.log"]),
            ("empty.log", []),
        ],
    )
    def test_globs(self, folder, pattern, names):
        assert self.found(folder / pattern) == names
        assert self.found(f"file://{folder}/{pattern}") == names

    def test_a_file_url_is_unquoted_and_a_path_is_not(self, folder):
        assert self.found(f"file://{folder}/100%25.log") == ["100%.log"]
        assert self.found(f"{folder}/100%.log") == ["100%.log"]

    def test_a_relative_path(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        (partition,) = partitions("a.log")
        assert partition.about()["path"] == str(folder / "a.log")

    @pytest.mark.parametrize(
        ("name", "message"), [("x.log", "no such file"), ("x*", "no files match")]
    )
    def test_nothing_there(self, folder, name, message):
        with pytest.raises(FileNotFoundError, match=f"^{message}.*x") as caught:
            partitions(folder / name)
        assert "\n" not in str(caught.value)

    def test_a_partition_travels(self, folder):
        (partition,) = partitions(folder / "a.log")
        assert pickle.loads(pickle.dumps(partition)) == partition


class TestIdentity:
    def names(self, url, known=None):
        return [partition.identity for partition in partitions(url, known)]

    def known(self, *found):
        return {partition.identity: partition.about() for partition in found}

    def test_is_by_content_wherever_and_however_it_is_kept(self, tmp_path):
        paths = [tmp_path / name for name in ("access.log", "access.log.1", "access.log.2.gz")]
        content = [TEXT, TEXT, gzip.compress(TEXT)]
        names = set()
        for path, form in zip(paths, content, strict=True):
            path.write_bytes(form)
            names.update(self.names(path))
            path.unlink()
        assert len(names) == 1

    def test_of_a_file_that_grows_beyond_its_prefix_stays(self, tmp_path):
        path = tmp_path / "access.log"
        path.write_bytes(TEXT[:PREFIX])
        names = self.names(path)
        path.write_bytes(TEXT)
        assert self.names(path) == names

    def test_of_a_short_file_that_grew_is_known_by_its_path(self, tmp_path):
        path = tmp_path / "access.log"
        path.write_bytes(TEXT[:100])
        (short,) = partitions(path)
        path.write_bytes(TEXT[:1000])
        (longer,) = partitions(path, self.known(short))
        assert longer.identity == short.identity
        # The longer prefix is what is recorded now: once it is full, a renamed file is known by it.
        path.write_bytes(TEXT)
        (full,) = partitions(path, self.known(longer))
        assert full.identity == short.identity
        path.rename(tmp_path / "access.log.1")
        (rotated,) = partitions(tmp_path / "access.log.1", self.known(full))
        assert rotated.identity == short.identity

    def test_of_another_file_in_the_same_place_is_another(self, tmp_path):
        path = tmp_path / "access.log"
        path.write_bytes(TEXT[:100])
        (first,) = partitions(path)
        path.write_bytes(b"something else" + TEXT)
        (second,) = partitions(path, self.known(first))
        assert second.identity != first.identity

    def test_of_a_file_rotated_since_it_was_listed_is_not_given_to_its_successor(self, tmp_path):
        path = tmp_path / "access.log"
        path.write_bytes(TEXT)
        (partition,) = partitions(path)
        path.rename(tmp_path / "access.log.1")
        path.write_bytes(b"new\n" + TEXT)
        with pytest.raises(SourceUnreadable, match=r"access\.log is another file"):
            next(partition.read(None))

    def test_of_a_short_file_that_grew_and_was_renamed_is_known_by_its_inode(self, tmp_path):
        path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
        path.write_bytes(TEXT[:100])
        (short,) = partitions(path)
        with path.open("ab") as file:
            file.write(TEXT[100:])
        path.rename(moved)
        assert self.names(moved, self.known(short)) == [short.identity]
        path.write_bytes(TEXT[:100] + b"but then something else" + TEXT)
        new, old = partitions(tmp_path, self.known(short))
        assert (old.path, old.identity) == (moved, short.identity)
        assert new.identity != old.identity

    def test_of_a_file_that_begins_like_a_short_one_elsewhere_is_another(self, tmp_path):
        (tmp_path / "a").write_bytes(TEXT[:100])
        (short,) = partitions(tmp_path / "a")
        (tmp_path / "b").write_bytes(TEXT)
        (longer,) = partitions(tmp_path / "b", self.known(short))
        assert longer.identity != short.identity

    def test_of_two_files_alike_is_refused_and_a_way_out_is_named(self, tmp_path):
        (tmp_path / "a.log").write_bytes(TEXT)
        (tmp_path / "b.log").write_bytes(TEXT + TEXT)
        with pytest.raises(ValueError, match=r"a\.log and .*b\.log begin alike.*\?identity=path"):
            partitions(tmp_path)
        names = self.names(f"{tmp_path}?identity=path")
        assert len(set(names)) == 2
        assert self.names(f"file://{tmp_path}/*.log?identity=path") == names

    def test_by_path_is_not_mistaken_for_one_by_content(self, tmp_path):
        (tmp_path / "a").write_bytes(TEXT)
        (by_path,) = partitions(f"{tmp_path}/a?identity=path")
        (by_content,) = partitions(tmp_path / "a", self.known(by_path))
        assert by_content.identity != by_path.identity

    def test_what_other_sources_recorded_is_passed_over(self, tmp_path):
        (tmp_path / "a").write_bytes(TEXT)
        known = {"stdin-1": {}, "synthetic-2": {"seed": 0}}
        assert self.names(tmp_path / "a", known) == self.names(tmp_path / "a")

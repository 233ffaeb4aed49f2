"""The contract of sources, for those that need no broker."""

from io import BytesIO
from pathlib import Path

import pytest

from beaconfold.pipelines.sources import StdinSource, open_source
from beaconfold.pipelines.testing import SourceContract


class TestFile(SourceContract):
    live = False
    bad_urls = ("file://elsewhere/beacons.log", "file:///beacons.log?identity=inode")

    @pytest.fixture
    def source_url(self, tmp_path):
        return f"file://{tmp_path}/beacons.log?identity=path"

    @pytest.fixture
    def publish(self, tmp_path):
        def append(bodies):
            with (tmp_path / "beacons.log").open("ab") as file:
                file.writelines(body + b"\n" for body in bodies)

        return append


class TestSynthetic(SourceContract):
    """It makes by itself what the tests publish: always the same."""

    live = False
    bad_urls = ("synthetic://user:s3cret@host", "synthetic://?rate=often")
    published = 0

    @pytest.fixture
    def source_url(self):
        return "synthetic://?rate=max&seed=5&start=2026-01-01"

    @pytest.fixture
    def publish(self):
        def count(bodies):
            self.published += len(bodies)

        return count

    def partition(self, url):
        (partition,) = open_source(f"{url}&count={self.published}").partitions()
        return partition

    def bodies(self, count, first=0):
        batch = next(open_source("synthetic://?rate=max&seed=5&start=2026-01-01").read(first))
        assert batch.frame.height >= count
        return batch.frame["raw"].to_list()[:count]


class TestStdin(SourceContract):
    """A stream can be read once, and each run is another partition."""

    live = False
    resumes = False
    exact = False
    bad_urls = ("stdin://user:s3cret@host",)

    @pytest.fixture
    def source_url(self, tmp_path):
        return f"file://{tmp_path}/piped"

    @pytest.fixture
    def publish(self, tmp_path):
        def append(bodies):
            with (tmp_path / "piped").open("ab") as file:
                file.writelines(body + b"\n" for body in bodies)

        return append

    def partition(self, url):
        stream = BytesIO(Path(url.removeprefix("file://")).read_bytes())
        (partition,) = StdinSource(stream, incarnation="of-a-test").partitions()
        return partition

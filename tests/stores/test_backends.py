"""Each backend keeps the contract that a third party's must keep."""

import pytest

from beaconfold.stores import MemoryBackend, SQLiteBackend
from beaconfold.stores.testing import BackendContract


class TestMemory(BackendContract):
    examples = 20

    @pytest.fixture
    def backend(self):
        return MemoryBackend(shards=8)


class TestSQLite(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path):
        return SQLiteBackend(tmp_path / "beacons.db")

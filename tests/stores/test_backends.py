"""Each backend keeps the contract that a third party's must keep."""

import pytest

from beaconfold.stores import MemoryBackend, SQLiteBackend
from beaconfold.stores.testing import BackendContract


class TestMemory(BackendContract):
    @pytest.fixture
    def backend(self):
        return MemoryBackend()


class TestSQLite(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path):
        return SQLiteBackend(tmp_path / "beacons.db")

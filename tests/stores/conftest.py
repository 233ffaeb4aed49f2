"""An empty store of each kind."""

import pytest

from beaconfold.stores import open_store


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return open_store("memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/a.db")

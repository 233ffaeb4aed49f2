"""A local cluster of two workers, started once for all tests of the platforms."""

import pytest

from beaconfold import local_cluster


@pytest.fixture(scope="session")
def client():
    """Give a client of a cluster whose workers are processes."""
    with local_cluster(workers=2) as client:
        yield client

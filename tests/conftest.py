"""What all tests share: Hypothesis profiles, servers, the real traffic beside the checkout."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from postgres_server import postgres_server, postgres_url
from rabbitmq_server import rabbitmq_server
from redis_servers import redis_cluster, redis_server, valkey_server

__all__ = [
    "postgres_server",
    "postgres_url",
    "rabbitmq_server",
    "redis_cluster",
    "redis_server",
    "valkey_server",
]

settings.register_profile(
    "default",
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Give the folder of real traffic with independently computed answers."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        if "CI" in os.environ:
            pytest.fail(f"the real traffic is missing: {folder}")
        pytest.skip(f"the real traffic is not on this machine: {folder}")
    return folder

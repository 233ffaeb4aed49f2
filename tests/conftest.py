"""What all tests share: Hypothesis profiles and the real traffic beside the checkout."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import beaconfold

# The root is a package, and pytest imports the packages that tests lie in by their folders' names:
# without this, a second copy of everything. (A name that is no identifier becomes "__init__".)
for name in (Path(__file__).parents[1].name, "__init__"):
    sys.modules.setdefault(name, beaconfold)

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

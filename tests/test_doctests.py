"""Every example in a docstring of the package runs and shows what it says."""

import doctest
import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import beaconfold

ROOMS = ("monoids", "stores", "pipelines")


def modules() -> Iterator[str]:
    """Name the root and every module of the rooms (the root's folder also holds this one)."""
    yield beaconfold.__name__
    for room in ROOMS:
        package = importlib.import_module(f"{beaconfold.__name__}.{room}")
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith(".__main__"):
                yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_docstrings_show_the_truth(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert result.failed == 0

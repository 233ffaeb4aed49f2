"""A wheel holds every package of the house: pyproject.toml lists them one by one."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("monoids", "stores", "pipelines")


def test_every_package_is_listed():
    found = {"beaconfold"}
    for room in ROOMS:
        for marker in (ROOT / room).rglob("__init__.py"):
            found.add(".".join(("beaconfold", *marker.parent.relative_to(ROOT).parts)))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert sorted(settings["packages"]) == sorted(found)


def test_every_folder_of_modules_is_a_package():
    for room in ROOMS:
        for module in (ROOT / room).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), module

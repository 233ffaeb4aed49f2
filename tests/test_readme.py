"""What the README shows is true: its job runs, and so do its commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Give the README's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(tmp_path):
    """Give a way to run a program where the README's ``my_jobs.py`` is, and see what it prints."""
    (tmp_path / "my_jobs.py").write_text(blocks("python")[0])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # Without a cluster, which other tests are for, it starts sooner.
    environ = {**os.environ, "PATH": path, "DASK_BEACONS__WORKERS": "0"}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, text=True, capture_output=True, timeout=200,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_job_runs_in_memory(run):
    _, example, _ = blocks("python")
    printed = run(sys.executable, "-c", example)
    # One publisher, however its name is escaped, in one minute: beacons, revenue and users.
    assert re.search(r"Le Monde\W+2023-11-14 22:14:00 UTC\W+2\W+0\.350000\W+2\.0\b", printed)


def test_a_store_is_of_use_without_a_job(run):
    *_, example = blocks("python")
    assert run(sys.executable, "-c", example) == "2 2\n"


def test_the_commands_run_and_agree(run):
    (commands,) = blocks("sh")
    printed = run("bash", "-euc", commands)
    assert "agree byte for byte" in printed
    assert len(set(re.findall(r"^p\d+", printed, re.MULTILINE))) == 5


def test_its_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_its_rooms_are_the_rooms():
    rooms = set(re.findall(r"\[`(\w+)/`\]", README))
    assert rooms == {"monoids", "stores", "pipelines", "notebooks", "benchmarks"}


def test_its_targets_are_in_the_makefile():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make (\w+)`", README)) <= set(targets)


def test_it_can_be_read_in_a_terminal():
    lines = README.splitlines()
    assert len(lines) <= 165
    assert not [line for line in lines if len(line) > 100]

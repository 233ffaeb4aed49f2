"""A folder to work in, with beacons and a job of the user's own, and ways to run commands."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from beaconfold.pipelines.cli import main

BEACONS = Path(sys.executable).with_name("beacons")

JOBS = """
import polars as pl
from beaconfold import Count, Job, Monoid, QueryString, Sum

clicks = Job(
    "clicks",
    decode=QueryString(publisher=pl.String, ts=pl.Datetime("ms", "UTC"), price=pl.Decimal(18, 6)),
    event_time="ts",
    window="1m",
    key=["publisher"],
    aggregate={"beacons": Count(), "revenue": Sum("price")},
)


class Broken(Monoid[int]):
    commutative, idempotent, zero = True, False, 0

    def plus(self, left, right):
        raise ArithmeticError("no sum of [red]these[/red]")


broken = Job.per_row(name="broken", version="1", map=lambda raw: [("k", 1)], monoid=Broken())
not_a_job = 7
"""


def lines(count: int) -> list[str]:
    """Make beacons: seven publishers, ten a second, every hundredth without a time."""
    return [
        f"/b.gif?publisher=p{i % 7}&price=0.{i % 10:06d}"
        + ("" if i % 100 == 99 else f"&ts={1_442_016_000_000 + 100 * i}")
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """Give a working folder, and work in it."""
    made = tmp_path_factory.mktemp("working-folder")
    (made / "beacons.log").write_text("\n".join(lines(3000)))
    (made / "my_jobs.py").write_text(JOBS)
    before = Path.cwd()
    os.chdir(made)
    yield made
    os.chdir(before)
    sys.modules.pop("my_jobs", None)
    sys.path[:] = [place for place in sys.path if place != str(made)]


def beacons(*args: str, **environ: str) -> Result:
    """Run a command in this process."""
    return CliRunner(env=environ).invoke(main, [str(arg) for arg in args])


def process(*args: str, **environ: str) -> subprocess.Popen[str]:
    """Start a command in a process of its own, and a group of its own, as a shell does."""
    return subprocess.Popen(
        [BEACONS, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", "PYTHONFAULTHANDLER": "1", **environ},
        start_new_session=True,
    )


def ended(started: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for a command to end well; give what it wrote to standard output and error."""
    try:
        out, err = started.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        started.send_signal(signal.SIGABRT)  # it says where it hangs
        out, err = started.communicate(timeout=30)
    assert started.returncode == 0, err
    return out, err


def assert_narrow(text: str) -> None:
    """Check that no line is wider than 100 columns."""
    assert [line for line in text.splitlines() if len(line) > 100] == []

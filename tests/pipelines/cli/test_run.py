"""The commands one after the other, as a user types them: a job of the user's own, a cluster."""

import io
import os
import re
import signal
import sys
from pathlib import Path

import polars as pl
import pytest

from beaconfold import open_store
from beaconfold.pipelines.cli.job_name import find_job

from .conftest import assert_narrow, beacons, ended, lines, process

ARCHIVE = ("--archive", "archive")
STORE = ("--store", "sqlite:///store.db")
BOTH = (*ARCHIVE, *STORE)
HERE = ("--workers", "0")


@pytest.fixture(scope="module")
def ran(folder):
    """Run the user's job on a cluster, the store named in the environment."""
    started = process(
        "run", "my_jobs:clicks", "--source", "beacons.log", *ARCHIVE, "--workers", "1",
        DASK_BEACONS__STORE="sqlite:///store.db",
    )  # fmt: skip
    return ended(started)


def test_a_file_is_run_to_its_end_on_a_cluster(ran):
    out, err = ran
    assert out.startswith("clicks: merged 1 segments, 3,000 beacons in ")
    assert "30 in quarantine" in out
    assert "dashboard: http://" in err
    assert_narrow(out + err)
    assert "Traceback" not in err


def test_the_store_answers_without_the_module(ran):
    result = beacons("query", "clicks", *STORE, "--format", "csv")
    assert result.exit_code == 0
    expected = find_job("my_jobs:clicks").run(lines(3000))
    got = pl.read_csv(
        io.StringIO(result.stdout), schema_overrides={"revenue": pl.Decimal(38, 6)}
    ).with_columns(pl.col("window").str.to_datetime(time_unit="us", time_zone="UTC"))
    assert got.equals(expected)


def test_rows_can_be_chosen(ran):
    args = ("--where", "publisher=p1", "--where", "publisher=p2", "--every", "1h", "--top", "1")
    result = beacons("query", "clicks", *STORE, *args, "--by", "revenue", "--format", "json")
    rows = find_job("my_jobs:clicks").run(lines(3000)).group_by("publisher").agg(
        pl.col("beacons", "revenue").sum()
    )  # fmt: skip
    best = rows.filter(pl.col("publisher").is_in(["p1", "p2"])).sort("revenue").row(-1, named=True)
    (row,) = pl.read_json(io.StringIO(result.stdout)).rows(named=True)
    assert (row["publisher"], row["beacons"]) == (best["publisher"], best["beacons"])
    assert row["revenue"] == str(best["revenue"])


def test_windows_can_hop_and_follow_the_calendar(ran):
    days = ("--every", "1d", "--tz", "Europe/Berlin", "--where", "publisher=p1")
    result = beacons("query", "clicks", *STORE, *days, "--format", "json")
    (row,) = pl.read_json(io.StringIO(result.stdout)).rows(named=True)
    assert row["window"].endswith("00:00:00+02:00")
    hours = ("--every", "30m", "--period", "1h", "--where", "publisher=p1")
    result = beacons("query", "clicks", *STORE, *hours, "--format", "json")
    twice = pl.read_json(io.StringIO(result.stdout))
    assert twice["beacons"].sum() == 2 * row["beacons"]


def test_a_second_run_has_nothing_to_merge(ran):
    result = beacons("run", "my_jobs:clicks", "--source", "beacons.log", *BOTH, *HERE)
    assert result.exit_code == 0
    assert result.stdout == "clicks: nothing to merge: all 1 segments are merged\n"


def test_without_a_source_the_archive_is_followed(ran):
    args = ("run", "beacon-counts", *ARCHIVE, "--store", "sqlite:///other.db", *HERE)
    result = beacons(*args, "--until-idle")
    assert result.stdout.startswith("beacon-counts: merged 1 segments, 3,000 beacons")


def test_a_replay_fills_another_store_with_the_same_bytes(ran):
    args = ("replay", "my_jobs:clicks", *ARCHIVE, "--store", "sqlite:///replayed.db", *HERE)
    assert beacons(*args, "--dry-run").stdout == "clicks: would merge 1 segments\n"
    assert not Path("replayed.db").exists()
    assert beacons(*args, "--to", "2015-01-01").stdout.startswith("clicks: nothing to merge")
    assert beacons(*args).stdout.startswith("clicks: merged 1 segments, 3,000 beacons")
    assert beacons(*args).stdout == "clicks: nothing to merge, all 1 segments are merged\n"
    live, replayed = open_store("sqlite:///store.db"), open_store("sqlite:///replayed.db")
    assert live.digest(live.live("clicks")) == replayed.digest(replayed.live("clicks"))


def test_verify_agrees(ran):
    result = beacons("verify", "my_jobs:clicks", *BOTH, *HERE)
    assert result.exit_code == 0
    assert "agree byte for byte" in result.stdout


def test_verify_names_the_cells_that_differ(ran):
    args = ("--archive", "archive", "--store", "sqlite:///wrong.db", *HERE)
    assert beacons("replay", "my_jobs:clicks", *args).exit_code == 0
    store = open_store("sqlite:///wrong.db")
    generation = store.live("clicks")
    store.merge(generation, store.states(generation).filter(publisher="p3").head(1))
    store.close()
    result = beacons("verify", "my_jobs:clicks", *args)
    assert result.exit_code == 1
    assert "2 states differ" in result.stdout
    differing = [line.split()[0] for line in result.stdout.splitlines()[2:]]
    assert differing == ["p3", "p3"]
    assert_narrow(result.output)


def test_the_archive_is_listed(ran):
    result = beacons("archive", "list", *ARCHIVE, "--format", "csv")
    (row,) = pl.read_csv(io.StringIO(result.stdout)).rows(named=True)
    assert (row["epochs"], row["segments"], row["rows"]) == (1, 1, 3000)
    each = beacons("archive", "list", *ARCHIVE, "--segments")
    assert len(each.stdout.splitlines()) == 2
    assert_narrow(each.stdout)


def test_the_quarantine_is_shown(ran):
    listed = beacons("quarantine", "list", "clicks", *STORE, "--format", "csv")
    (row,) = pl.read_csv(io.StringIO(listed.stdout)).rows(named=True)
    assert (row["beacons"], row["segments"]) == (30, 1)
    assert "ts" in row["reason"]
    shown = beacons("quarantine", "show", "clicks", *BOTH, "--limit", "7", "--format", "csv")
    frame = pl.read_csv(io.StringIO(shown.stdout))
    assert frame["row"].to_list() == list(range(99, 700, 100))
    assert frame["raw"].to_list() == [lines(700)[row] for row in frame["row"]]
    assert "raw" not in beacons("quarantine", "show", "clicks", *STORE).stdout


def test_what_a_job_cannot_fold_is_set_aside_and_said(ran):
    args = (*ARCHIVE, "--store", "sqlite:///broken.db", *HERE)
    for command in (
        ("run", "my_jobs:broken", *args, "--until-idle"),
        ("replay", "my_jobs:broken", *args),
    ):
        result = beacons(*command)
        assert result.exit_code == 1
        assert "1 segments are set aside" in result.stdout
        assert "no sum of [red]these[/red]" in result.stdout
        assert_narrow(result.output)


def until(stream, pattern):
    """Read lines up to one that matches."""
    for line in stream:
        if re.search(pattern, line):
            return
    pytest.fail(f"the process ended before it said {pattern!r}")


def test_ctrl_c_drains_and_ends_cleanly(folder):
    """The signal goes to the whole group, workers too, as from a terminal."""
    started = process(
        "run", "publisher-traffic", "--source", "synthetic://?rate=2000",
        "--archive", "live", "--store", "sqlite:///live.db", "--workers", "1",
    )  # fmt: skip
    until(started.stderr, r" [1-9]\d* segments merged")
    os.killpg(started.pid, signal.SIGINT)
    out, err = ended(started)
    assert out.startswith("publisher-traffic: merged ")
    assert_narrow(out + err)
    assert "Traceback" not in err
    result = beacons(
        "verify", "publisher-traffic", "--archive", "live", "--store", "sqlite:///live.db", *HERE
    )
    assert result.exit_code == 0
    assert "not merged yet" not in result.stdout


def test_ingest_stops_at_a_signal_too(folder):
    started = process("ingest", "--source", "synthetic://?rate=2000", "--archive", "ingested")
    until(started.stderr, "received ")
    started.send_signal(signal.SIGTERM)
    out, _ = ended(started)
    rows = beacons("archive", "list", "--archive", "ingested", "--format", "json").stdout
    assert f"received {pl.read_json(io.StringIO(rows))['rows'].sum():,} beacons in " in out


def test_a_second_ctrl_c_ends_it_at_once(folder):
    program = (
        "import os, signal\n"
        "from beaconfold.pipelines.cli.signals import stop_on_signals\n"
        "with stop_on_signals() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    assert stop.requested\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    raise AssertionError\n"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", program]) == 130


def test_the_demo_agrees_with_itself(folder):
    started = process("demo", "--for", "2s", "--rate", "2000", "--workers", "1")
    out, err = ended(started)
    assert "agree byte for byte" in out
    assert "dashboard: http://" in err
    assert_narrow(out + err)

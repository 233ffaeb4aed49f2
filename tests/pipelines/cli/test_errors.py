"""What is wrong is said in one line, with status 2; what nobody thought of has status 1."""

import sqlite3
from pathlib import Path

import dask
import pytest

from beaconfold.pipelines.cli.errors import Failure, Unexpected, one_line_errors, redact
from beaconfold.stores.times import parse_duration

from .conftest import beacons

ARCHIVE = ("--archive", "archive")
STORE = ("--store", "sqlite:///store.db")
BOTH = (*ARCHIVE, *STORE)
HERE = ("--workers", "0")


@pytest.fixture(scope="module", autouse=True)
def places(folder):
    """Make an archive and a store with a job in it, and some that are none."""
    done = beacons("ingest", "--source", "beacons.log", *ARCHIVE)
    assert done.exit_code == 0, done.output
    assert beacons("replay", "beacon-counts", *BOTH, *HERE).exit_code == 0
    Path("text.db").write_text("no database")
    with sqlite3.connect("other.db") as connection:
        connection.execute("CREATE TABLE things (name)")
    Path("elsewhere").mkdir()
    Path("elsewhere/archive.json").write_text('{"id": "x", "layout": 99}')
    Path("bad_syntax.py").write_text("job = (")
    Path("bad_import.py").write_text("import polars\n\nraise KeyError('oops')")
    changed = "from my_jobs import clicks\nfrom dataclasses import replace\n"
    Path("changed.py").write_text(changed + 'job = replace(clicks, name="beacon-counts")')


WRONG = {
    "no such ready job": (("run", "nope", *BOTH), "ready job 'nope': there are beacon-counts"),
    "no such module": (("run", "nope:job", *BOTH), "no module 'nope'"),
    "no such attribute": (("run", "my_jobs:nope", *BOTH), "Jobs in my_jobs: broken, clicks"),
    "no job": (("run", "my_jobs:not_a_job", *BOTH), "is no Job but a int"),
    "broken module": (("run", "bad_syntax:job", *BOTH), "cannot import bad_syntax: SyntaxError"),
    "raising module": (("run", "bad_import:job", *BOTH), "'oops' (bad_import.py, line 3)"),
    "missing source": (("run", "beacon-counts", *BOTH, "--source", "nope.log"), "nope.log"),
    "unknown source": (("ingest", *ARCHIVE, "--source", "gopher://x"), "gopher"),
    "unknown store": (("run", "beacon-counts", *ARCHIVE, "--store", "mongo://u:pw@h/x"), "mongo"),
    "unknown archive": (("run", "beacon-counts", *STORE, "--archive", "ftp://u:pw@h/x"), "ftp"),
    "path as store": (("query", "beacon-counts", "--store", "store.db"), "sqlite://"),
    "no archive": (("verify", "beacon-counts", *STORE, "--archive", "nope"), "no archive at"),
    "no store": (("query", "beacon-counts", "--store", "sqlite:///nope.db"), "no store at"),
    "text as store": (("query", "beacon-counts", "--store", "sqlite:///text.db"), "text.db"),
    "other store": (("query", "beacon-counts", "--store", "sqlite:///other.db"), "no store of"),
    "other layout": (("archive", "list", "--archive", "elsewhere"), "layout 99"),
    "unknown job": (("query", "nope", *STORE), "it holds: beacon-counts"),
    "not in the store": (("verify", "publisher-uniques", *BOTH), "it holds: beacon-counts"),
    "changed job": (("run", "changed:job", *BOTH), "another definition"),
    "bad duration": (("run", "beacon-counts", *BOTH, "--for", "soon"), "'soon' is not a duration"),
    "bad instant": (("query", "beacon-counts", *STORE, "--from", "noon"), "'noon' is not an"),
    "no multiple": (("query", "beacon-counts", *STORE, "--every", "7s"), "multiple"),
    "no duration": (("query", "beacon-counts", *STORE, "--every", "1x"), "1x"),
    "no zone": (("query", "beacon-counts", *STORE, "--every", "1d", "--tz", "Mars"), "zone 'Mars'"),
    "no redis": (("query", "x", "--store", "redis://u:pw@127.0.0.1:1/0"), "refused"),
    "no postgres": (("query", "x", "--store", "postgresql://u:pw@127.0.0.1:1/x"), "refused"),
    "unknown column": (("query", "beacon-counts", *STORE, "--by", "x", "--top", "1"), "column 'x'"),
    "top of what": (("query", "beacon-counts", *STORE, "--top", "1"), "--by"),
    "unknown key": (("query", "beacon-counts", *STORE, "--where", "x=1"), "are: beaconType"),
    "no value": (("query", "beacon-counts", *STORE, "--where", "x"), "KEY=VALUE"),
    "nowhere to write": (("query", "beacon-counts", *STORE, "--output", "no/x.csv"), "no/x.csv"),
    "memory on workers": (("run", "beacon-counts", *ARCHIVE, "--store", "memory://"), "memory://"),
    "no scheduler": (("run", "beacon-counts", *BOTH, "--scheduler", "nonsense://x"), "scheduler"),
    "missing option": (("run", "beacon-counts", *ARCHIVE), "DASK_BEACONS__STORE"),
    "unknown option": (("run", "beacon-counts", "--nope"), "'--nope'"),
    "unknown option of all": (("--nope",), "'--nope'"),
    "unknown command": (("rnu",), "Did you mean 'run'?"),
    "unknown format": (("query", "beacon-counts", *STORE, "--format", "xml"), "'xml'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_one_line_says_what_is_wrong(case):
    args, hint = WRONG[case]
    before = sorted(Path.cwd().iterdir())
    result = beacons(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert hint in line
    assert "pw" not in line
    assert sorted(Path.cwd().iterdir()) == before


@pytest.mark.parametrize(
    ("args", "environ"),
    [
        (("--debug", "query", "nope", *STORE), {}),
        (("query", "nope", *STORE, "--debug"), {}),
        (("archive", "list", "--debug", "--archive", "nope"), {}),
        (("query", "nope", *STORE), {"BEACONS_DEBUG": "1"}),
    ],
)
def test_the_traceback_is_shown_where_it_is_asked_for(args, environ):
    result = beacons(*args, **environ)
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert result.stderr.splitlines()[-1].startswith("error: no ")


def test_an_error_that_nobody_thought_of_has_another_status():
    match = "KeyError: 'x' .run with --debug"
    with pytest.raises(Unexpected, match=match) as caught, one_line_errors(None):
        raise KeyError("x")
    assert caught.value.exit_code == 1


def test_a_value_error_of_a_library_is_not_for_the_user_one_of_ours_is():
    with pytest.raises(Unexpected), one_line_errors(None):
        int("x")
    with pytest.raises(Failure, match="'soon' is not a duration"), one_line_errors(None):
        parse_duration("soon")


def test_messages_are_one_line():
    with pytest.raises(Failure) as caught, one_line_errors(None):
        raise OSError("one\ntwo")
    assert caught.value.message == "one two"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:pw@host/0", "redis://…@host/0"),
        ("redis://:p/w@host", "redis://…@host"),
        ("amqp://token@host/vhost?queue=q", "amqp://…@host/vhost?queue=q"),
        ("two: a://b:c@d and e://f:g@h.", "two: a://…@d and e://…@h."),
        (
            "postgresql://host/db?password=pw&sslmode=on",
            "postgresql://host/db?password=…&sslmode=on",
        ),
        ("file:///data/a@b", "file:///data/a@b"),
        ("http://0.0.0.0:8080", "http://0.0.0.0:8080"),
    ],
)
def test_secrets_are_hidden(text, shown):
    assert redact(text) == shown


def test_options_come_from_dask_configuration_too():
    with dask.config.set({"beacons.store": "sqlite:///store.db", "beacons.archive": "archive"}):
        assert beacons("verify", "beacon-counts", *HERE).exit_code == 0
        assert beacons("archive", "list").exit_code == 0

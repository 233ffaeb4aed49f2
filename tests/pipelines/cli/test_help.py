"""Help that teaches: the examples work, and everything fits."""

import re
import shlex
from importlib.metadata import entry_points

import click
import pytest
from dask.cli import _register_command_ep

from beaconfold.pipelines.cli import main
from beaconfold.pipelines.jobs import READY

from .conftest import assert_narrow, beacons


def commands(group=main, path=()):
    """List the commands, with those of groups."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def examples(text):
    """Find the commands in a help text."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r"^ +(?:.*\| )?beacons ((?:[a-z]+|--\w+)\b.*)$", joined, flags=re.MULTILINE)
    return [shlex.split(example) for example in found]


def test_it_shows_the_flow_the_ready_jobs_and_the_commands():
    result = beacons("--help")
    assert result.exit_code == 0
    assert_narrow(result.output)
    for word in ("ingest", "archive", "store", "query", *READY, *main.commands):
        assert word in result.output


@pytest.mark.parametrize("path", [(), *commands()], ids=" ".join)
def test_every_command_has_two_examples_that_can_be_typed(path, folder):
    result = beacons(*path, "--help")
    assert result.exit_code == 0
    assert_narrow(result.output)
    found = examples(result.output)
    assert len(found) >= 2
    for args in found:
        assert tuple(args[: len(path)]) == path
        context, command, rest = click.Context(main), main, args
        while isinstance(command, click.Group):
            _, command, rest = command.resolve_command(context, rest)
        command.make_context("beacons", list(rest))


def test_the_version():
    result = beacons("--version")
    assert re.fullmatch(r"beacons \d+\.\d+\.\d+\S*\n", result.output)


def test_no_arguments_show_the_help():
    assert "Ready jobs" in beacons().output


def test_dask_has_the_same_commands():
    (entry,) = entry_points(group="dask_cli", name="beacons")
    interface = click.Group()
    _register_command_ep(interface, entry)
    assert interface.commands == {"beacons": main}

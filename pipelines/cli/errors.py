"""Errors as a person at a terminal wants them: one line that says what to do, and a status."""

from __future__ import annotations

import errno
import inspect
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ...monoids import CellError
from ...stores import StoreError
from ..cluster import WorkersDiffer

DEBUG = "beaconfold.debug"
"""Where a click context keeps whether tracebacks are wanted."""

_OWN = __name__.partition(".")[0]
_NAMED = (OSError, StoreError, WorkersDiffer, CellError)
_USER_INFO = re.compile(r"(?<=://)[^\s/@]*(?::[^\s@]*)?@")
_PARAMETER = re.compile(
    r"(?i)([?&][^=&\s]*(?:password|passwd|secret|token|key)[^=&\s]*=)[^&\s'\"]+"
)


def redact(text: str) -> str:
    """Hide the secrets of the URLs in a text.

    Examples
    --------
    >>> redact("cannot reach redis://user:p%40ss@host/0?token=abc")
    'cannot reach redis://…@host/0?token=…'
    """
    return _PARAMETER.sub(r"\1…", _USER_INFO.sub("…@", text))


class Failure(click.ClickException):
    """Something that the user can put right: one line, status 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(redact(" ".join(message.split())))

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"error: {self.message}", file=file, err=file is None)


class Unexpected(Failure):
    """Something that nobody has thought of: status 1."""

    exit_code = 1


@contextmanager
def one_line_errors(context: click.Context | None) -> Iterator[None]:
    """Turn whatever goes wrong inside into one line; with ``--debug`` the traceback precedes it."""
    try:
        yield
    except (click.exceptions.Exit, click.Abort, Failure, click.exceptions.NoArgsIsHelpError):
        raise
    except click.UsageError as error:
        command = error.ctx or context
        path = command.command_path if command else "beacons"
        message = error.format_message().rstrip(".")
        raise Failure(f"{message} (see {path} --help)") from error
    except click.ClickException as error:
        raise Failure(error.format_message()) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise  # whoever reads our output has enough: click ends quietly
        debug = (context is not None and context.meta.get(DEBUG)) or os.environ.get(
            "BEACONS_DEBUG", "0"
        ) not in {"", "0"}
        if debug:
            click.echo(redact("".join(traceback.format_exception(error))), err=True, nl=False)
        if _is_named(error):
            raise Failure(_message(error)) from error
        hint = "" if debug else " (run with --debug for the traceback)"
        raise Unexpected(f"{type(error).__name__}: {error}{hint}") from error


def _is_named(error: Exception) -> bool:
    """Tell whether its message was written for the user: by us, or by the operating system."""
    if isinstance(error, _NAMED):
        return True
    if not isinstance(error, (ValueError, TypeError)):
        return False
    innermost = list(traceback.walk_tb(error.__traceback__))[-1:]
    return any(
        frame.f_globals.get("__name__", "").partition(".")[0] == _OWN for frame, _ in innermost
    )


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error) or type(error).__name__


class Command(click.Command):
    """A command that takes ``--debug`` and keeps the lines of the examples in its help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(debug_option())
        if self.help is not None:
            # Click's mark for a paragraph that is not to be wrapped.
            self.help = inspect.cleandoc(self.help).replace("\n\nFor ex", "\n\n\b\nFor ex")


class Group(click.Group):
    """A group whose commands end with one line when something is wrong."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they were added: that of their use."""
        del ctx
        return list(self.commands)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options that come before the command."""
        with one_line_errors(None):
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with one_line_errors(ctx):
            return super().invoke(ctx)


Group.group_class = Group


def debug_option() -> click.Option:
    """Make the option ``--debug``."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.meta[DEBUG] = value or context.meta.get(DEBUG, False)

    return click.Option(
        ["--debug"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=remember,
        help="Show the traceback of an error.",
    )

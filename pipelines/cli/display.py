"""What a person sees while work is done: a line that is redrawn, or a plain one now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column

from .errors import redact

WIDTH: Final = 100
"""No line is wider, in characters; of progress, with its ellipsis, not in bytes either."""

EVERY: Final = 2.0
"""Seconds between plain lines, where there is no terminal to redraw one in."""


def standard_error() -> Console:
    """Open standard error, no wider than `WIDTH`."""
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    console.width = min(WIDTH - 2, console.width) if console.is_terminal else WIDTH - 2
    return console


class Status:
    r"""How far the work is, in one line.

    Parameters
    ----------
    console
        Where to show it.
    bar
        Whether there is an end to show a bar towards.
    monotonic
        Tells the seconds between plain lines.

    Examples
    --------
    >>> import io
    >>> out, now = io.StringIO(), iter([0.0, 1.0, 3.0])
    >>> with Status(Console(file=out, width=WIDTH), monotonic=lambda: next(now)) as status:
    ...     status.show("1 segment")
    ...     status.show("2 segments")
    >>> out.getvalue()
    '2 segments\n'
    """

    def __init__(
        self,
        console: Console,
        *,
        bar: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console, self._monotonic = console, monotonic
        self._printed = monotonic()
        text = Column(no_wrap=True, overflow="ellipsis")
        self._live = Progress(
            SpinnerColumn(),
            *([BarColumn(bar_width=24)] if bar else []),
            TextColumn("{task.description}", markup=False, table_column=text),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._live.add_task("", total=None)

    def show(self, text: str, done: int = 0, total: int | None = None) -> None:
        """Say how far it is: a line, and for the bar how much of how much is done."""
        if self.console.is_terminal:
            self._live.update(self._task, description=redact(text), completed=done, total=total)
        elif (now := self._monotonic()) - self._printed >= EVERY:
            self._printed = now
            self.say(text)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(redact(text), overflow="ellipsis", no_wrap=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()


class _Handler(logging.Handler):
    """Prints log records above the line that is redrawn."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record: its message, wrapped."""
        self._console.print(f"{record.levelname.lower()}: {redact(record.getMessage())}")


@contextmanager
def logging_to(console: Console) -> Iterator[None]:
    """Show our own warnings, and of the libraries' only what they call critical."""
    own, distributed = logging.getLogger("beaconfold"), logging.getLogger("distributed")
    handler, level = _Handler(console), distributed.level
    own.addHandler(handler)
    distributed.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        own.removeHandler(handler)
        distributed.setLevel(level)

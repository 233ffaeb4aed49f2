"""Ctrl-C: the first asks for a clean end, the second for an end at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ABORTED = 130
"""Exit status of a process that SIGINT ended, as shells give it."""

_SHOW_CURSOR = b"\x1b[?25h\n"


class Stop:
    """Whether the user has asked for the end."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Watch for SIGINT and SIGTERM.

    The first of them sets ``requested``. The second ends the process as it is: nothing is lost by
    that, as the next run goes on where this one was.
    """
    stop = Stop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # A signal may come in the middle of a print or of a lock: neither is used here.
        if stop.requested:
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
            os._exit(ABORTED)
        stop.requested = True

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

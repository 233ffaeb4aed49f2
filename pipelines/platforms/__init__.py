"""Three ways to call the same three functions: in memory, over the archive, and live."""

from .memory import run_archive
from .replay import Replay, replay
from .stream import StreamRun, stream
from .verify import Verification, verify

__all__ = [
    "Replay",
    "StreamRun",
    "Verification",
    "replay",
    "run_archive",
    "stream",
    "verify",
]

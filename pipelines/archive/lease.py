"""A lease: how a receiver shows that it lives. It guards nothing; epochs and tombstones do."""

from __future__ import annotations

import json
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self


class Lease(NamedTuple):
    """The last sign of life of a partition's receiver.

    Parameters
    ----------
    partition, epoch
        What it receives, and under which epoch.
    host, process
        Where it runs.
    until
        When it is to be taken for dead unless it renews the lease.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> lease = Lease.mine("clicks", 1, noon)
    >>> lease.live(noon - timedelta(seconds=1)), lease.live(noon)
    (True, False)
    """

    partition: str
    epoch: int
    host: str
    process: int
    until: datetime

    @classmethod
    def mine(cls, partition: str, epoch: int, until: datetime) -> Self:
        """Make a lease of the calling process."""
        return cls(partition, epoch, socket.gethostname(), os.getpid(), until)

    def live(self, now: datetime) -> bool:
        """Tell whether the receiver is to be taken for alive.

        A process of this machine that is no more is dead at once, so that a run which is started
        again after ``kill -9`` need not wait for the lease of the last one to run out.
        """
        if now >= self.until:
            return False
        return self.host != socket.gethostname() or _runs(self.process)

    def encode(self) -> bytes:
        """Write the lease as JSON."""
        return json.dumps(self._replace(until=self.until.isoformat())._asdict()).encode()  # type: ignore[arg-type]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what `encode` wrote.

        Raises
        ------
        ValueError
            It is no lease.
        """
        try:
            fields = json.loads(data)
            until = datetime.fromisoformat(fields.pop("until"))
            return cls(**fields, until=until)
        except (TypeError, LookupError, AttributeError) as error:
            raise ValueError("not a lease") from error


def _runs(process: int) -> bool:
    try:
        # One that has ended is still listed until its parent asks, which an orphan's may never do.
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # gone, or no Linux
        pass
    else:
        return state not in "ZX"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

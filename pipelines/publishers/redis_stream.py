"""Beacons to a Redis Stream: an entry each, and none twice."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from ...stores.clock import Clock, SystemClock
from ...stores.redis.protocol import (
    EXEC,
    MULTI,
    disconnect,
    executed,
    packed,
    refuse,
    replies,
    send,
)
from ..sources.healing import Healing
from ..sources.redis_address import RedisAddress
from .publisher import Publisher, PublishFailed

_AT_ONCE: Final = 5000
_KEPT: Final = 3600
"""Seconds for which the server remembers what a publisher sent last."""


class RedisStreamPublisher(Publisher):
    """Adds entries of one field, ``raw``, to a stream, which is made by the first of them.

    Each transaction also notes its number under a key of the publisher's own, so that one whose
    reply was lost is looked up, and not sent twice.

    Parameters
    ----------
    url
        As of the source: ``redis-stream://user:password@host:6379/0?stream=NAME``; ``field``
        names the field.
    patience
        Seconds for which a server that is gone is waited for.
    clock
        Waits.

    Raises
    ------
    ValueError
        The URL cannot be read; the message does not show the password.
    """

    def __init__(self, url: str, *, patience: float = 30.0, clock: Clock | None = None) -> None:
        self.address, parameters = RedisAddress.of(url, {"field": str})
        self.patience, self._clock = patience, clock or SystemClock()
        self._field = parameters.get("field", "raw")
        self._key = f"{{{self.address.stream}}}:publisher:{secrets.token_hex(8)}"
        self._number = 0
        self._connection = self.address.connection()
        self._healing = Healing(str(self.address), clock=self._clock)

    def send(self, bodies: Sequence[bytes]) -> int:
        """Add entries; a server that is gone is waited for.

        Raises
        ------
        PublishFailed
            It did not come back, or it refuses them.
        """
        for begin in range(0, len(bodies), _AT_ONCE):
            some = bodies[begin : begin + _AT_ONCE]
            try:
                self._add(some)
            except (RedisError, OSError) as error:
                raise PublishFailed(f"{self.address}: {error}", begin) from error
        return len(bodies)

    def close(self) -> None:
        """Close the connection."""
        disconnect(self._connection)

    def _add(self, bodies: Sequence[bytes]) -> None:
        self._number += 1
        stream, field = self.address.stream, self._field
        note = packed("SET", self._key, self._number, "EX", _KEPT)
        entries = [packed("XADD", stream, "*", field, body) for body in bodies]
        request = b"".join([MULTI, *entries, note, EXEC])
        late = self._clock.monotonic() + self.patience
        unknown = False
        while True:
            try:
                if not (unknown and self._noted()):
                    unknown = True
                    send(self._connection, request)
                    refuse(executed(replies(self._connection, len(bodies) + 3)))
            except (RedisError, OSError) as error:
                disconnect(self._connection)
                lasting = isinstance(error, (AuthenticationError, ResponseError))
                if lasting or self._clock.monotonic() >= late:
                    raise
                self._healing.failed(str(error))
                for _ in self._healing.pause():
                    pass
            else:
                self._healing.healed()
                return

    def _noted(self) -> bool:
        """Tell whether the server has carried out the last transaction."""
        send(self._connection, packed("GET", self._key))
        answers = replies(self._connection, 1)
        refuse(answers)
        return bool(answers == [b"%d" % self._number])

"""Redis Streams, read by id: no consumer group, so that only the archive knows what was read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import quote_from_bytes

import polars as pl
from redis.connection import Connection
from redis.exceptions import RedisError, ResponseError

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
from .healing import Healing
from .messages import Batching, read_batching, to_beacons
from .parameters import number
from .redis_address import RedisAddress
from .source import NONE_KNOWN, NOTHING, Batch, Source, SourcePartition, SourceUnreadable

SEQUENCE_BITS: Final = 20
"""An entry's offset is its id's milliseconds, times two to this power, plus its sequence."""

_LOOK: Final = 0.05
"""Seconds between two looks at a stream that had no more."""

_FIRST, _MOST, _BYTES = 256, 16_384, 16 << 20
"""Entries that are asked for at once, and how many bytes they should take together."""

_WITHIN: Final = 1 << SEQUENCE_BITS
_ONE_FIELD: Final = 2


@dataclass(frozen=True)
class RedisStreamSource(Source, SourcePartition):
    """One stream of a Redis server, 5 or later: a partition.

    An entry's id is its offset, and reading goes on after the last one: nothing is written to the
    server, and nothing is read twice. Who trims the stream should leave what is not archived yet,
    and the last entry that is (``XTRIM … MINID``): that it is there shows that nothing is missing.

    Parameters
    ----------
    address
        Where it is.
    field_name
        The field of an entry that holds its beacons. None: an entry has one field, of any name. An
        entry that has not this field is received as all its fields in a query string.
    batch
        What this field holds: one beacon, lines of them, or a JSON array; see `to_beacons`.
    incarnation
        Another number for a stream that was deleted and made anew under its name, or that was
        trimmed before it was read: it is received from its beginning, as another partition.
    clock
        Waits between looks and between attempts to connect.

    Examples
    --------
    >>> source = RedisStreamSource.of("redis-stream://user:s3cret@localhost/0?stream=beacons")
    >>> source.identity
    'redis-stream-beacons-46e3c630cf46d525'
    """

    address: RedisAddress
    field_name: str | None = None
    batch: Batching = "one"
    incarnation: int = 1
    clock: Clock = field(default_factory=SystemClock)
    _healing: Healing = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_healing", Healing(str(self.address), clock=self.clock))

    @classmethod
    def of(cls, url: str, clock: Clock | None = None) -> RedisStreamSource:
        """Open a source by its URL.

        Raises
        ------
        ValueError
            The URL cannot be read; the message does not show the password.
        """
        known: dict[str, Callable[[str], Any]] = {
            "field": str,
            "batch": read_batching,
            "incarnation": number(1),
        }
        address, given = RedisAddress.of(url, known)
        if "field" in given:
            given["field_name"] = given.pop("field")
        return cls(address, **given, clock=clock or SystemClock())

    def partitions(
        self, known: Mapping[str, Mapping[str, Any]] = NONE_KNOWN
    ) -> list[SourcePartition]:
        """There is one."""
        del known
        return [self]

    @property
    def finite(self) -> bool:
        """Whether it ends by itself: never."""
        return False

    @property
    def identity(self) -> str:
        """Name of the partition in the archive: of the stream, wherever its server is."""
        stream = self.address.stream
        whole = f"{self.address.database}\n{self.incarnation}\n{stream}"
        shown = re.sub(r"[^A-Za-z0-9._-]", "_", stream)[:64]
        return f"redis-stream-{shown}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"

    @property
    def health(self) -> str | None:
        """What is wrong with the connection and since when; None while it stands."""
        return self._healing.health

    def about(self) -> dict[str, Any]:
        """Tell where the stream is."""
        return {"url": str(self.address), "incarnation": self.incarnation}

    def read(self, position: int | None) -> Iterator[Batch]:
        """Read entries; a position is the offset of the last one, plus one.

        Raises
        ------
        SourceUnreadable
            Entries were trimmed before they were read, or the stream was made anew.
        """
        last = None if not position else position - 1
        added: int | None = None
        count = _FIRST
        connection = self.address.connection()
        try:
            while True:
                try:
                    seen = _look(connection, self.address.stream, last, count)
                except (RedisError, OSError) as error:
                    disconnect(connection)
                    count = _FIRST
                    self._healing.failed(str(error) or type(error).__name__)
                    yield Batch(NOTHING, position)
                    for _ in self._healing.pause():
                        yield Batch(NOTHING, position)
                    continue
                self._healing.healed()
                if last is not None:
                    self._check(last, seen, added)
                caught_up = len(seen.ids) < count
                added = seen.after(added, caught_up=caught_up)
                if seen.ids:
                    offsets, bodies = _offsets(seen.ids), self._bodies(seen)
                    last = int(offsets.item(-1))
                    position = last + 1
                    count = _fitting(bodies)
                    yield Batch(to_beacons(bodies, offsets, batch=self.batch), position)
                if caught_up:
                    self.clock.sleep(_LOOK)  # let some more come together
                    if not seen.ids:
                        yield Batch(NOTHING, position)
        finally:
            disconnect(connection)

    def _check(self, last: int, seen: _Seen, added: int | None) -> None:
        """Make sure that nothing is missing between the last entry that was read and these."""
        if seen.newest < last:
            raise SourceUnreadable(
                f"{self.address} ends at {_id(seen.newest)}, but was read up to {_id(last)}: it "
                "was made anew, or its server has gone back; if it was made anew, add "
                f"&incarnation={self.incarnation + 1}"
            )
        complete = (seen.oldest is not None and seen.oldest <= last) or seen.newest == last
        if not complete and (added is None or seen.added != added + seen.length):
            begins = "is empty" if seen.oldest is None else f"begins at {_id(seen.oldest)}"
            raise SourceUnreadable(
                f"{self.address} {begins} and was read up to {_id(last)}: entries may have been "
                "trimmed before they were read, or the stream was made anew; to receive what "
                f"there is, add &incarnation={self.incarnation + 1}"
            )

    def _bodies(self, seen: _Seen) -> pl.Series:
        if self.field_name is None:
            raw = [pairs[1] if len(pairs) == _ONE_FIELD else _whole(pairs) for pairs in seen.fields]
        else:
            name = self.field_name.encode()
            raw = [
                pairs[1] if len(pairs) == _ONE_FIELD and pairs[0] == name else _chosen(pairs, name)
                for pairs in seen.fields
            ]
        return pl.Series("raw", raw, pl.Binary)


class _Seen(NamedTuple):
    """What a stream was at one moment, and the entries that followed the last one read."""

    ids: Sequence[bytes]
    fields: Sequence[Sequence[bytes]]
    length: int
    oldest: int | None
    newest: int
    added: int | None

    def after(self, added: int | None, *, caught_up: bool) -> int | None:
        """Tell how many entries had ever been added up to the last one of these, if known."""
        if caught_up or added is None:
            return self.added if caught_up else None
        return added + len(self.ids)


def _look(connection: Connection, stream: str, last: int | None, count: int) -> _Seen:
    """Read entries after the last one, and what the stream is, at one moment."""
    after = "0-0" if last is None else _id(last)
    request = (
        MULTI
        + packed("XREAD", "COUNT", count, "STREAMS", stream, after)
        + packed("XINFO", "STREAM", stream)
        + EXEC
    )
    send(connection, request)
    results = executed(replies(connection, 4))
    if "no such key" in str(results[-1])[:40]:
        raise ResponseError("there is no such stream")
    refuse(results)
    entries, info = results
    about = dict(zip(info[::2], info[1::2], strict=True))
    oldest = about[b"first-entry"]
    (_, found), *_ = entries or [(None, [])]
    return _Seen(
        [entry[0] for entry in found],
        [entry[1] for entry in found],
        about[b"length"],
        None if oldest is None else _offset(oldest[0]),
        _offset(about[b"last-generated-id"]),
        about.get(b"entries-added"),
    )


def _offset(name: bytes) -> int:
    (offset,) = _offsets([name])
    return int(offset)


def _offsets(ids: Sequence[bytes]) -> pl.Series:
    """Turn ids into offsets.

    >>> _offsets([b"5-0", b"5-1", b"1700000000000-7"]).to_list()
    [5242880, 5242881, 1782579200000000007]

    Raises
    ------
    SourceUnreadable
        An id has no offset.
    """
    text = pl.Series("offset", ids, pl.Binary).cast(pl.String)
    parts = text.str.split_exact("-", 1).struct.unnest()
    time, sequence = (part.cast(pl.UInt64) for part in parts)
    beyond = (time >= 1 << (63 - SEQUENCE_BITS)) | (sequence >= _WITHIN)
    if beyond.any():
        raise SourceUnreadable(
            f"the id {text.filter(beyond).item(0)} of a stream's entry is out of bounds: the part "
            f"after the dash is below {_WITHIN}, the one before below {1 << (63 - SEQUENCE_BITS)}"
        )
    return (time * _WITHIN + sequence).cast(pl.Int64).alias("offset")


def _id(offset: int) -> str:
    """Turn an offset into an id.

    >>> _id(5242881)
    '5-1'
    """
    return f"{offset >> SEQUENCE_BITS}-{offset % _WITHIN}"


def _chosen(pairs: Sequence[bytes], name: bytes) -> bytes:
    values = [value for key, value in zip(pairs[::2], pairs[1::2], strict=True) if key == name]
    return values[0] if values else _whole(pairs)


def _whole(pairs: Sequence[bytes]) -> bytes:
    """Write all fields of an entry as a query string.

    >>> _whole([b"p", b"1", b"url", b"a b&c"])
    b'p=1&url=a%20b%26c'
    """
    quoted = [quote_from_bytes(text, safe="") for text in pairs]
    fields = zip(quoted[::2], quoted[1::2], strict=True)
    return "&".join(f"{key}={value}" for key, value in fields).encode()


def _fitting(bodies: pl.Series) -> int:
    """Tell how many entries to ask for next, so that they take no more memory than they should."""
    each = int(bodies.bin.size().sum()) // len(bodies) + 1
    return min(max(_BYTES // each, 1), _MOST)

"""Instants and durations as people write them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_UNITS: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}


def parse_duration(text: str | timedelta) -> int:
    """Read a duration as microseconds.

    Parameters
    ----------
    text
        A whole number and a unit (``us ms s m h d``), or a `timedelta`.

    Raises
    ------
    ValueError
        The text is no duration, or it is not longer than zero.

    Examples
    --------
    >>> parse_duration("1m"), parse_duration("500ms"), parse_duration(timedelta(seconds=2))
    (60000000, 500000, 2000000)
    """
    if isinstance(text, timedelta):
        microseconds = text // timedelta(microseconds=1)
    elif match := re.fullmatch(r"(\d+)(us|ms|[smhd])", text):
        microseconds = int(match[1]) * _UNITS[match[2]]
    else:
        raise ValueError(
            f"{text!r} is not a duration: write a number and a unit, as 500ms 1m 12h 7d"
        )
    if microseconds <= 0:
        raise ValueError(f"the duration {text!r} is not longer than zero")
    return microseconds


def parse_instant(text: str | datetime) -> datetime:
    """Read an instant: ISO 8601 text or a `datetime`; without an offset it is UTC.

    Raises
    ------
    ValueError
        The text is no instant.

    Examples
    --------
    >>> parse_instant("2015-09-12T01:30").isoformat()
    '2015-09-12T01:30:00+00:00'
    """
    try:
        instant = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an instant: write 2015-09-12T01:30, which is UTC, or add an offset"
        ) from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def microseconds(text: str | datetime | None) -> int | None:
    """Read an instant as microseconds since 1970; None stays None.

    Examples
    --------
    >>> microseconds("1970-01-01T01:00:01+01:00")
    1000000
    """
    return None if text is None else (parse_instant(text) - EPOCH) // timedelta(microseconds=1)

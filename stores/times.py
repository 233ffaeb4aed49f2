"""Instants and durations as people write them."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}


def instant(value: datetime | str) -> int:
    """Read an instant as microseconds since 1970; without an offset it is UTC.

    Raises
    ------
    ValueError
        If the text is not ISO 8601.

    Examples
    --------
    >>> instant("1970-01-01T00:00:01"), instant("1970-01-01T01:00+01:00")
    (1000000, 0)
    """
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            f"{value!r} is no instant: write 2015-09-12T01:30, UTC unless it says"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def duration(text: str) -> int:
    """Read a duration as microseconds.

    Raises
    ------
    ValueError
        If it is not a whole number above zero with a unit.

    Examples
    --------
    >>> duration("1h"), duration("500ms")
    (3600000000, 500000)
    """
    match = re.fullmatch(r"(\d+)(us|ms|[smhd])", text)
    if match is None or int(match[1]) == 0:
        raise ValueError(
            f"{text!r} is not a duration: write a number and a unit, as 500ms 1m 12h 7d"
        )
    return int(match[1]) * _UNITS[match[2]]

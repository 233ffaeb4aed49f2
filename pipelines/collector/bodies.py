"""From the body of a POST to its beacons: what browsers and trackers send."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from email.utils import collapse_rfc2231_value
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

_BLANKS: Final = b" \t\r\n"


class Unacceptable(ValueError):
    """A request that is no beacon, and never will be.

    Parameters
    ----------
    status
        The HTTP status that says so.
    reason
        Why, in a line.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def beacons_of(target: bytes, content_type: str, body: bytes) -> list[bytes]:
    r"""Take the beacons out of a POST.

    Parameters
    ----------
    target
        Path and query, as they were sent.
    content_type
        The header; empty if there was none.
    body
        All of it. An empty one: the target is the beacon, if it has a query. A form: the path with
        the form as its query, after the target's own. JSON: each element of an array is a beacon as
        it stands there (of a string, its text), and any other object is one; the events of
        Snowplow's ``payload_data`` are one each. Text, or what has no type: one a line, or JSON if
        all of it is.

    Returns
    -------
    list of bytes
        At least one.

    Raises
    ------
    Unacceptable
        400: there is no beacon in it; 415: the type is unknown.

    Examples
    --------
    >>> beacons_of(b"/b.gif?p=1", "", b"")
    [b'/b.gif?p=1']
    >>> beacons_of(b"/b.gif?p=1", "application/x-www-form-urlencoded", b"n=2")
    [b'/b.gif?p=1&n=2']
    >>> beacons_of(b"/b.gif", "text/plain;charset=UTF-8", b"n=1\r\nn=2\n")
    [b'n=1', b'n=2']
    >>> beacons_of(b"/b.gif", "application/json", b'[{"price": 1.50}, "n=2"]')
    [b'{"price": 1.50}', b'n=2']
    """
    if not body.strip(_BLANKS):
        if b"?" not in target:
            raise Unacceptable(400, "neither a query nor a body: there is no beacon in this")
        return [target]
    kind = content_type.partition(";")[0].strip().lower()
    split = _KINDS.get(kind)
    if split is not None:
        return split(target, content_type, body)
    if kind.endswith("+json"):
        return _json(body)
    if kind and not kind.startswith("text/"):
        raise Unacceptable(
            415, f"{kind!r} is not known here: send text, a form, or application/json"
        )
    return _text(body)


def _form(target: bytes, _content_type: str, body: bytes) -> list[bytes]:
    return [target + (b"&" if b"?" in target else b"?") + body]


def _multipart(target: bytes, content_type: str, body: bytes) -> list[bytes]:
    """Read a ``FormData``; what is not UTF-8 is percent-encoded as it is. Files are left out."""
    header = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(header + body)
    fields: list[tuple[str, Any]] = [
        (
            collapse_rfc2231_value(part.get_param("name", "", "content-disposition")),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
        if part.get_filename() is None
    ]
    if not fields:
        raise Unacceptable(400, "there is no field in this multipart body")
    return _form(target, "", urlencode(fields).encode())


def _lines(_target: bytes, _content_type: str, body: bytes) -> list[bytes]:
    lines = body.replace(b"\r\n", b"\n").split(b"\n")
    return [line for line in lines if line]


def _text(body: bytes) -> list[bytes]:
    if body.lstrip(_BLANKS)[:1] in (b"[", b"{"):
        try:
            return _json(body)
        except Unacceptable:
            pass
    return _lines(b"", "", body)


def _json(body: bytes) -> list[bytes]:
    try:
        text = body.decode()
        value = _DECODER.decode(text)
        if isinstance(value, list):
            beacons = _elements(text)
        elif isinstance(value, dict):
            beacons = _events(value) or [body.strip(_BLANKS)]
        else:
            raise Unacceptable(400, "this JSON is neither an object nor an array")  # noqa: TRY301
    except Unacceptable:
        raise
    except (ValueError, RecursionError) as error:
        raise Unacceptable(400, f"the body is not JSON: {error or 'nested too deep'}") from None
    if not beacons:
        raise Unacceptable(400, "there is no beacon in this array")
    return beacons


def _elements(text: str) -> list[bytes]:
    """Cut an array that is known to be JSON into its elements, byte for byte."""
    beacons: list[bytes] = []
    at = _skip(text, 0) + 1
    while text[at := _skip(text, at)] != "]":
        value, end = _DECODER.raw_decode(text, at)
        if isinstance(value, str):
            beacons.append(value.encode("utf-8", "surrogatepass"))
        elif isinstance(value, dict | list):
            beacons.append(text[at:end].encode())
        else:
            raise Unacceptable(400, "the elements of an array are to be objects or strings")
        at = _skip(text, end)
        at += text[at] == ","
    return [beacon for beacon in beacons if beacon]


def _events(value: dict[str, Any]) -> list[bytes]:
    """Take the events out of what Snowplow's trackers post; nothing if it is something else."""
    events = value.get("data")
    if "payload_data" not in str(value.get("schema")) or not isinstance(events, list):
        return []
    return [
        json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
        for event in events
    ]


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)
_KINDS: Final[dict[str, Callable[[bytes, str, bytes], list[bytes]]]] = {
    "application/x-www-form-urlencoded": _form,
    "multipart/form-data": _multipart,
    "application/json": lambda _target, _type, body: _json(body),
    "application/x-ndjson": _lines,
}

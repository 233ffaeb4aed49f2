"""The protocol: commands as they are sent, and replies as they come."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from hiredis import pack_command
from redis.connection import Connection
from redis.exceptions import RedisError, ResponseError

Argument = str | bytes | int
Reply = Any
"""``None``, an integer, bytes, a list of these, or the error that the server sent instead."""


class Batch(NamedTuple):
    """Commands on keys with one hash tag, packed, which take effect as one."""

    tag: str
    commands: Sequence[bytes]


def packed(*command: Argument) -> bytes:
    r"""Write a command as the server reads it.

    Examples
    --------
    >>> packed("GET", "a")
    b'*2\r\n$3\r\nGET\r\n$1\r\na\r\n'
    """
    done: bytes = pack_command(command)  # type: ignore[arg-type]
    return done


MULTI, EXEC = packed("MULTI"), packed("EXEC")


def send(connection: Connection, request: bytes) -> None:
    """Send packed commands, in one piece."""
    connection.send_packed_command([request], check_health=False)


def disconnect(connection: Connection) -> None:
    """Close a connection; it opens again when it is next used."""
    connection.disconnect()


def replies(connection: Connection, count: int) -> list[Reply]:
    """Receive as many replies, errors of the server among them."""
    found: list[Reply] = []
    for _ in range(count):
        try:
            found.append(connection.read_response(disable_decoding=True))
        except ResponseError as error:
            found.append(error)
    return found


def executed(answers: list[Reply]) -> list[Reply]:
    """Return what a transaction gave, of the replies from ``MULTI`` to ``EXEC``.

    One that was not carried out gives the error for which it was not.
    """
    *queued, result = answers
    if isinstance(result, RedisError):
        return [next((each for each in queued if isinstance(each, RedisError)), result)]
    return list(result)


def refuse(answers: Sequence[Reply]) -> None:
    """Raise the first error among replies."""
    for answer in answers:
        if isinstance(answer, RedisError):
            raise answer

"""What the server and the client library say, in one line for a person to act on."""

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - as redis-py names it
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004
    TryAgainError,
)

from .errors import StoreError, StoreLayoutError, StoreUnavailable

REARRANGED = (AskError, TryAgainError)
"""Replies of a cluster whose slots are being moved (``MovedError`` is an ``AskError``)."""

LOST = (ConnectionError, TimeoutError, OSError)
"""The connection is gone, and with it the replies that were under way."""

HEALING = ("MISCONF", "NOREPLICAS", "BUSY", "CLUSTERDOWN", "MASTERDOWN")
"""Codes of replies with which a server refuses writes for a while."""


def explained(error: BaseException, shown: str) -> StoreError:
    """Turn an error of redis-py into ours: `StoreUnavailable` where waiting may help.

    Parameters
    ----------
    error
        What was raised, or received in the place of a reply.
    shown
        The address, without its password.

    Examples
    --------
    >>> explained(ConnectionError("Connection refused."), "redis://host")
    StoreUnavailable('redis://host: Connection refused.')
    >>> explained(NoPermissionError("no permissions to run 'watch'"), "redis://host")
    StoreError("redis://host: not permitted to this user: no permissions to run 'watch'")
    """
    said = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        return StoreError(f"{shown}: wrong user or password")
    if isinstance(error, NoPermissionError):
        return StoreError(f"{shown}: not permitted to this user: {said}")
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return StoreError(f"{shown}: the server's certificate is not trusted: {said}")
    if said.startswith("WRONGTYPE"):
        return StoreLayoutError(f"{shown}: keys of this namespace hold something else: {said}")
    what = _what_may_heal(error)
    if what is None:
        return StoreError(f"{shown}: {said}")
    return StoreUnavailable(": ".join(filter(None, [shown, what, said])))


def _what_may_heal(error: BaseException) -> str | None:
    """Say what is the matter where it may pass: nothing more than the error does, or more."""
    if isinstance(error, BusyLoadingError):
        return "the server is not ready yet"
    if isinstance(error, ReadOnlyError):
        return "the server is a read-only replica"
    if isinstance(error, OutOfMemoryError):
        return "the server is full, raise its maxmemory"
    if isinstance(error, (*REARRANGED, ClusterDownError)):
        return "the cluster is down or being rearranged"
    if isinstance(error, LOST) or str(error).startswith(HEALING):
        return ""
    return None


__all__ = ["LOST", "REARRANGED", "RedisError", "explained"]

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

from ..errors import StoreError, StoreLayoutError, StoreUnavailable

REARRANGED = (AskError, TryAgainError, ClusterDownError)
"""Replies of a cluster whose slots are being moved (``MovedError`` is an ``AskError``)."""

LOST = (ConnectionError, TimeoutError, OSError)
"""The connection is gone, and with it the replies that were under way."""

DENIED = (AuthenticationError, AuthorizationError)

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
    kinds: list[tuple[bool, type[StoreError], str]] = [
        (isinstance(error, DENIED), StoreError, "wrong user or password"),
        ("NOPERM" in said, StoreError, f"not permitted to this user: {said}"),
        (isinstance(error, NoPermissionError), StoreError, f"not permitted to this user: {said}"),
        ("VERIFY_FAILED" in said, StoreError, f"the server's certificate is not trusted: {said}"),
        ("WRONGTYPE" in said, StoreLayoutError, f"something else is in this namespace: {said}"),
        (
            "cluster support disabled" in said,
            StoreError,
            "this is no Redis Cluster: use redis:// or rediss://",
        ),
        (isinstance(error, BusyLoadingError), StoreUnavailable, f"not ready yet: {said}"),
        (isinstance(error, ReadOnlyError), StoreUnavailable, "the server is a read-only replica"),
        (
            isinstance(error, OutOfMemoryError),
            StoreUnavailable,
            f"the server is full, raise its maxmemory: {said}",
        ),
        (
            isinstance(error, REARRANGED),
            StoreUnavailable,
            f"the cluster is down or being rearranged: {said}",
        ),
        (isinstance(error, LOST) or said.startswith(HEALING), StoreUnavailable, said),
    ]
    return next(
        (kind(f"{shown}: {what}") for holds, kind, what in kinds if holds),
        StoreError(f"{shown}: {said}"),
    )


__all__ = ["LOST", "REARRANGED", "RedisError", "explained"]

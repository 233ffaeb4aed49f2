"""What PostgreSQL says went wrong, as the errors of a store, in one line and without a password."""

from psycopg import Connection, Error
from psycopg.errors import UndefinedTable

from ..errors import CommitUncertain, StoreError, StoreUnavailable
from .address import PostgresAddress

LOST_RACES = frozenset({"40001", "40P01"})
"""A transaction that could not be ordered among others, or stood in another's way."""

# Classes and codes of https://www.postgresql.org/docs/current/errcodes-appendix.html that heal:
# connections, resources, waiting for a lock, a server or session that was ended or only reads now.
HEALING_CLASSES = frozenset({"08", "53", "58"})
HEALING = frozenset(
    {"25006", "25P03", "25P04", "55P03", "57014", "57P01", "57P02", "57P03", "57P05"}
)


class LostRace(StoreUnavailable):
    """Other transactions came first, and nothing of this one was written."""


class TableMissing(StoreError):
    """A table is not there: dropped a moment ago, or never made."""


def translated(
    error: Error, address: PostgresAddress, connection: Connection | None, *, committing: bool
) -> StoreError:
    """Tell what an error means for the one who called.

    Parameters
    ----------
    error
        As psycopg raised it.
    address
        Named in the message.
    connection
        Where it happened, or None if there was no connection.
    committing
        Whether the server had been told to commit.
    """
    code = error.sqlstate or ""
    lost = connection is None or connection.closed
    said = address.hide(error.diag.message_primary or str(error))
    if lost and committing:
        return CommitUncertain(f"{address}: the connection was lost during a commit: {said}")
    if code in LOST_RACES:
        return LostRace(f"{address}: {said}")
    if lost or code in HEALING or code[:2] in HEALING_CLASSES:
        return StoreUnavailable(f"{address}: {said}")
    if isinstance(error, UndefinedTable):
        return TableMissing(f"{address}: {said}")
    return StoreError(f"{address}: {said}")

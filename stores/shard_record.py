"""What a shard knows beside its rows: its ledger and its horizons, changed in one transaction."""

import json
from dataclasses import dataclass
from functools import lru_cache

from .errors import StoreLayoutError
from .horizons import Horizons
from .ledger import Ledger

LAYOUT = 2
"""The layout of records with horizons; one without is the ledger's own bytes."""


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """The bytes that a backend keeps for a shard as its ``ledger``, taken apart.

    Parameters
    ----------
    ledger
        The segments that are merged.
    horizons
        How far windows were rolled up and expired.
    expired
        How many cells came after their windows had expired, and were left out.

    Examples
    --------
    >>> ShardRecord().encode()
    b'{"layout":1,"archives":{}}'
    >>> ShardRecord(horizons=Horizons((60,), (120,)), expired=3).encode()
    b'{"layout":2,"archives":{},"horizons":[[60,120]],"expired":3}'
    """

    ledger: Ledger = Ledger()  # noqa: RUF009 - immutable
    horizons: Horizons = Horizons()  # noqa: RUF009 - immutable
    expired: int = 0

    def encode(self) -> bytes:
        """Write the record as canonical JSON."""
        if not self.horizons.widths:
            return self.ledger.encode()
        document = {
            "layout": LAYOUT,
            "archives": self.ledger.to_json(),
            "horizons": self.horizons.to_json(),
            "expired": self.expired,
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    @staticmethod
    @lru_cache(maxsize=128)
    def decode(data: bytes) -> "ShardRecord":
        """Read what `encode` wrote; no bytes are an empty record.

        Raises
        ------
        StoreLayoutError
            If the bytes are of another layout.
        """
        if not data.startswith(b'{"layout":%d,' % LAYOUT):
            return ShardRecord(Ledger.decode(data))
        try:
            document = json.loads(data)
            return ShardRecord(
                Ledger.from_json(document["archives"]),
                Horizons.from_json(document["horizons"]),
                document["expired"],
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StoreLayoutError("ledger written by another version/layout") from None

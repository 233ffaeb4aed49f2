"""The names of a store's keys: all of one shard of one generation have one hash tag."""

from typing import NamedTuple

STORE = "store"
"""Hash tag of what belongs to the store as a whole."""

DOCUMENTS = "documents"
"""In the place of a shard's number: the documents of a generation."""

Shard = int | str


class Names(NamedTuple):
    """The names of keys in a namespace.

    Parameters
    ----------
    namespace
        What they begin with.

    Examples
    --------
    >>> names = Names("beaconfold")
    >>> names.head(3, 38), names.cells(3, 38, 1_763_854_800_000_000, "users")
    ('beaconfold:{3.38}:head', 'beaconfold:{3.38}:1763854800000000:users')
    """

    namespace: str

    @staticmethod
    def tag(generation: int, shard: Shard) -> str:
        """Return the hash tag of a shard: its keys are in one slot of a cluster."""
        return f"{generation}.{shard}"

    @property
    def store(self) -> str:
        """Hash: ``layout``, ``id``, ``shards``, and how often the registry changed."""
        return f"{self.namespace}:{{{STORE}}}"

    @property
    def generations(self) -> str:
        """Hash: number of a generation → what is known of it, in JSON."""
        return f"{self.store}:generations"

    @property
    def live(self) -> str:
        """Hash: job → number of the generation that readers see."""
        return f"{self.store}:live"

    def head(self, generation: int, shard: Shard) -> str:
        """Hash: ``version``, ``state``, ``ledger`` of a shard, and the ``store`` it is of."""
        return self._of(generation, shard, "head")

    def windows(self, generation: int, shard: Shard) -> str:
        """Sorted set, by name: the windows that a shard may have cells in."""
        return self._of(generation, shard, "windows")

    def cells(self, generation: int, shard: Shard, window: int, column: str | None = None) -> str:
        """Hash: key → the numbers of its row; with a column, key → the bytes there."""
        return self._of(generation, shard, f"{window}:{column}" if column else str(window))

    def documents(self, generation: int, kind: str) -> str:
        """Hash: name → document."""
        return self._of(generation, DOCUMENTS, f"kind:{kind}")

    def kinds(self, generation: int) -> str:
        """Set: the kinds of documents that a generation has had."""
        return self._of(generation, DOCUMENTS, "kinds")

    def _of(self, generation: int, shard: Shard, what: str) -> str:
        return f"{self.namespace}:{{{self.tag(generation, shard)}}}:{what}"

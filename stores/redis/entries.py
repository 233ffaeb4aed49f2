"""What is registered in a store on Redis, in one snapshot."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..errors import StoreError
from ..generation import Generation
from .protocol import Reply


class Entry(NamedTuple):
    """A generation as it is registered.

    Parameters
    ----------
    number
        What its keys are named by, in the order of registration.
    generation
        In the state that it has for the store as a whole.
    settled
        Whether all shards have been brought to this state.
    """

    number: int
    generation: Generation
    settled: bool

    def encode(self) -> bytes:
        """Write it as JSON."""
        known = self.generation
        document = {
            "job": known.job,
            "fingerprint": known.fingerprint,
            "revision": known.revision,
            "state": known.state,
            "settled": self.settled,
            "declaration": known.declaration,
        }
        return json.dumps(document, ensure_ascii=False).encode()

    @classmethod
    def decode(cls, number: bytes, data: bytes) -> "Entry":
        """Read what `encode` wrote."""
        document = json.loads(data)
        settled = document.pop("settled")
        return cls(int(number), Generation(**document), settled)

    def now(self, **changes: Any) -> "Entry":
        """Return it in another state."""
        return self._replace(generation=replace(self.generation, **changes), settled=False)


class Registry(NamedTuple):
    """One snapshot of the registry.

    Parameters
    ----------
    store
        ``layout``, ``id``, ``shards``.
    entries
        Id of a generation → its entry, in the order of registration.
    live
        Job → number of the generation that readers see.
    """

    store: Mapping[str, str]
    entries: Mapping[str, Entry]
    live: Mapping[str, int]

    @classmethod
    def of(cls, answers: list[Reply]) -> "Registry":
        """Read the replies to three ``HGETALL``."""
        store, generations, live = (dict(zip(a[::2], a[1::2], strict=True)) for a in answers)
        entries = [Entry.decode(*item) for item in generations.items()]
        return cls(
            {name.decode(): value.decode(errors="replace") for name, value in store.items()},
            {each.generation.id: each for each in sorted(entries, key=lambda each: each.number)},
            {job.decode(): int(number) for job, number in live.items()},
        )

    def entry(self, generation: Generation) -> Entry:
        """Return the entry of a generation.

        Raises
        ------
        StoreError
            If there is none.
        """
        if generation.id not in self.entries:
            raise StoreError(f"{generation} is not registered in this store")
        return self.entries[generation.id]

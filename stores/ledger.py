"""The ledger: which segments a shard has merged, written in the same transaction as the merge."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from .errors import StoreLayoutError
from .ranges import Ranges
from .segments import Seal, SegmentId

LAYOUT = 1


class _Epoch(NamedTuple):
    """An epoch that is not complete yet: what is merged of it, and its length once sealed."""

    merged: Ranges = Ranges()
    length: int | None = None

    @property
    def complete(self) -> bool:
        return self.length is not None and self.merged == Ranges.below(self.length)

    def checked(self, name: str) -> Self:
        """Refuse a segment beyond the epoch's end."""
        if self.length is not None and self.merged.bounds and self.merged.bounds[-1] > self.length:
            last = self.merged.bounds[-1] - 1
            raise ValueError(f"segment {name}/{last} lies beyond its epoch's length {self.length}")
        return self

    def sealed(self, name: str, length: int | None) -> Self:
        """Learn the epoch's length, which can be learnt twice but not be changed."""
        if None not in (self.length, length) and self.length != length:
            raise ValueError(f"epoch {name} is sealed with two lengths: {self.length} and {length}")
        return self._replace(length=self.length if length is None else length).checked(name)

    def union(self, name: str, other: Self) -> Self:
        merged = self.merged | other.merged
        return self._replace(merged=merged).sealed(name, other.length)

    def intersection(self, name: str, other: Self) -> Self:
        merged = self.merged & other.merged
        return self._replace(merged=merged).sealed(name, other.length)


class _Partition(NamedTuple):
    """A partition: its epochs up to ``through`` are complete, those above are kept one by one."""

    through: int = 0
    epochs: Mapping[int, _Epoch] = {}

    @classmethod
    def collapsed(cls, through: int, epochs: Mapping[int, _Epoch]) -> Self:
        """Count the complete epochs that follow ``through`` into it, and forget them."""
        while through + 1 in epochs and epochs[through + 1].complete:
            through += 1
        return cls(through, {epoch: epochs[epoch] for epoch in sorted(epochs) if epoch > through})

    def has(self, epoch: int, sequence: int) -> bool:
        return epoch <= self.through or sequence in self.epochs.get(epoch, _Epoch()).merged

    def union(self, name: str, other: Self) -> Self:
        epochs = {**other.epochs, **self.epochs}
        for epoch in self.epochs.keys() & other.epochs.keys():
            epochs[epoch] = self.epochs[epoch].union(f"{name}/{epoch}", other.epochs[epoch])
        return self.collapsed(max(self.through, other.through), epochs)

    def intersection(self, name: str, other: Self) -> Self:
        epochs: dict[int, _Epoch] = {}
        for epoch in self.epochs.keys() | other.epochs.keys():
            if epoch <= self.through:
                epochs[epoch] = other.epochs[epoch]
            elif epoch <= other.through:
                epochs[epoch] = self.epochs[epoch]
            else:
                left, right = self.epochs.get(epoch, _Epoch()), other.epochs.get(epoch, _Epoch())
                epochs[epoch] = left.intersection(f"{name}/{epoch}", right)
        known = {epoch: found for epoch, found in epochs.items() if found != _Epoch()}
        return self.collapsed(min(self.through, other.through), known)


@dataclass(frozen=True, slots=True)
class Ledger:
    """An immutable set of segments, with the known lengths of their epochs.

    Segments of one epoch are kept as ranges of sequences. An epoch that is sealed and has all its
    segments is complete, and complete epochs from 1 on shrink to one number. Equal knowledge gives
    equal bytes, in whatever order it was added.

    Examples
    --------
    >>> first, second = SegmentId("9f2c", "clicks", 1, 0), SegmentId("9f2c", "clicks", 1, 1)
    >>> ledger = Ledger().add([first])
    >>> first in ledger, ledger.missing([first, second])
    (True, {SegmentId(archive='9f2c', partition='clicks', epoch=1, sequence=1)})
    >>> ledger.add([second], [Seal("9f2c", "clicks", 1, 2)]).encode()
    b'{"layout":1,"archives":{"9f2c":{"clicks":[1,[]]}}}'
    """

    partitions: Mapping[tuple[str, str], _Partition] = field(default_factory=dict)

    def __contains__(self, segment: SegmentId) -> bool:
        partition = self.partitions.get((segment.archive, segment.partition))
        return partition is not None and partition.has(segment.epoch, segment.sequence)

    def lacking(self, archive: str, partition: str, epoch: int, stop: int) -> Ranges:
        """Tell which sequences of an epoch, below one, are not in the ledger."""
        found = self.partitions.get((archive, partition), _Partition())
        if epoch <= found.through:
            return Ranges()
        return Ranges.below(stop) - found.epochs.get(epoch, _Epoch()).merged

    def missing(self, segments: Iterable[SegmentId]) -> set[SegmentId]:
        """Tell which of some segments are not in the ledger."""
        return {segment for segment in segments if segment not in self}

    def add(self, segments: Iterable[SegmentId] = (), seals: Iterable[Seal] = ()) -> "Ledger":
        """Return a ledger that also holds these segments and knows these lengths.

        Raises
        ------
        ValueError
            If a segment lies beyond the length of its epoch, an epoch has two lengths, or a
            number is out of range.
        """
        sequences: defaultdict[tuple[str, str, int], set[int]] = defaultdict(set)
        for archive, partition, epoch, sequence in segments:
            sequences[archive, partition, epoch].add(sequence)
        partitions: defaultdict[tuple[str, str], dict[int, _Epoch]] = defaultdict(dict)
        for (archive, partition, epoch), numbers in sequences.items():
            if epoch < 1 or min(numbers) < 0:
                raise ValueError(
                    "epochs are counted from 1 and sequences from 0: "
                    f"{SegmentId(archive, partition, epoch, min(numbers))}"
                )
            partitions[archive, partition][epoch] = _Epoch(Ranges.of(numbers))
        for archive, partition, epoch, length in seals:
            name = f"{archive}/{partition}/{epoch}"
            if epoch < 1 or length < 0:
                raise ValueError(f"a seal needs an epoch from 1 and a length from 0: {name}")
            found = partitions[archive, partition].get(epoch, _Epoch())
            partitions[archive, partition][epoch] = found.sealed(name, length)
        return self | Ledger({n: _Partition.collapsed(0, e) for n, e in partitions.items()})

    def add_range(self, archive: str, partition: str, epoch: int, merged: Ranges) -> "Ledger":
        """Return a ledger that also holds these sequences of an epoch."""
        known = _Partition(0, {epoch: _Epoch(merged)} if merged else {})
        return self | Ledger({(archive, partition): known})

    def __or__(self, other: "Ledger") -> "Ledger":
        """Unite what two ledgers know: the ledger's own monoid, with ``Ledger()`` as its zero."""
        partitions = {**other.partitions, **self.partitions}
        for name in self.partitions.keys() & other.partitions.keys():
            both = self.partitions[name].union("/".join(name), other.partitions[name])
            partitions[name] = both
        return Ledger(partitions)

    def __and__(self, other: "Ledger") -> "Ledger":
        """Keep the segments that both hold; lengths known to either stay known."""
        partitions: dict[tuple[str, str], _Partition] = {}
        for name in self.partitions.keys() | other.partitions.keys():
            left = self.partitions.get(name, _Partition())
            both = left.intersection("/".join(name), other.partitions.get(name, _Partition()))
            if both != _Partition():
                partitions[name] = both
        return Ledger(partitions)

    def to_json(self) -> dict[str, dict[str, list[object]]]:
        """Write the ledger as archive → partition → [through, open epochs], sorted.

        An open epoch is ``[epoch, length or null, [start, stop, …]]``.
        """
        archives: defaultdict[str, dict[str, list[object]]] = defaultdict(dict)
        for (archive, name), partition in sorted(self.partitions.items()):
            epochs = [
                [epoch, found.length, found.merged.bounds]
                for epoch, found in sorted(partition.epochs.items())
            ]
            archives[archive][name] = [partition.through, epochs]
        return archives

    @staticmethod
    def from_json(archives: Mapping[str, Mapping[str, Any]]) -> "Ledger":
        """Read what `to_json` wrote."""
        return Ledger(
            {
                (archive, name): _Partition(
                    through, {epoch: _Epoch(Ranges(tuple(b)), size) for epoch, size, b in epochs}
                )
                for archive, partitions in archives.items()
                for name, (through, epochs) in partitions.items()
            }
        )

    def encode(self) -> bytes:
        """Write the ledger as canonical JSON."""
        document = {"layout": LAYOUT, "archives": self.to_json()}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    @staticmethod
    def decode(data: bytes) -> "Ledger":
        """Read what `encode` wrote; no bytes are an empty ledger.

        Raises
        ------
        StoreLayoutError
            If the bytes are of another layout.
        """
        if not data:
            return Ledger()
        try:
            document = json.loads(data)
            if document["layout"] != LAYOUT:
                raise ValueError(document["layout"])  # noqa: TRY301
            return Ledger.from_json(document["archives"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StoreLayoutError("ledger written by another version/layout") from None

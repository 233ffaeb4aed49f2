"""Names of segments: what a store's ledger records, and what travels instead of the data."""

from typing import NamedTuple, Self


class SegmentId(NamedTuple):
    """The name of one immutable segment of an archive.

    Parameters
    ----------
    archive
        Random id of the archive, made with it: a folder made anew has another. Holds no ``/``.
    partition
        Stable name of the source partition that was received.
    epoch
        Reign of one receiver over that partition, counted from 1.
    sequence
        Number of the segment within its epoch, counted from 0 without gaps.

    Examples
    --------
    >>> print(SegmentId("9f2c", "clicks-0", 1, 42))
    9f2c/clicks-0/1/42
    """

    archive: str
    partition: str
    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.archive}/{self.partition}/{self.epoch}/{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back the text form of an id.

        Raises
        ------
        ValueError
            If the text is not ``archive/partition/epoch/sequence``.

        Examples
        --------
        >>> SegmentId.parse("9f2c/a/b/1/42")
        SegmentId(archive='9f2c', partition='a/b', epoch=1, sequence=42)
        """
        try:
            archive, rest = text.split("/", 1)
            partition, epoch, sequence = rest.rsplit("/", 2)
            return cls(archive, partition, int(epoch), int(sequence))
        except ValueError:
            message = f"not a segment id (archive/partition/epoch/sequence): {text!r}"
            raise ValueError(message) from None


class Seal(NamedTuple):
    """The known length of an epoch: its segments are 0 to ``length - 1``, and no more can come.

    Examples
    --------
    >>> Seal("9f2c", "clicks-0", 1, 43).length
    43
    """

    archive: str
    partition: str
    epoch: int
    length: int

"""What of a source is to be received now."""

from __future__ import annotations

from collections.abc import Container

from ..archive import Archive
from .source import Source, SourcePartition


def to_receive(
    source: Source, archive: Archive, received: Container[str] = ()
) -> list[SourcePartition]:
    r"""List the partitions that nobody receives, and of which the archive has not all.

    Parameters
    ----------
    source
        If it is growing, it is to be listed again every second or so.
    archive
        Where it is received.
    received
        Names of partitions that are being received.

    Raises
    ------
    FileNotFoundError, ValueError
        See `Source.partitions`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from beaconfold.pipelines.receiver import Receiver
    >>> from beaconfold.pipelines.sources import open_source
    >>> with TemporaryDirectory() as folder:
    ...     archive, path = Archive.open(f"{folder}/archive"), Path(folder, "beacons.log")
    ...     _ = path.write_text("a=1\n")
    ...     source = open_source(f"{folder}/*.log")
    ...     (partition,) = to_receive(source, archive)
    ...     _ = Receiver(partition, archive).run()
    ...     at_its_end = to_receive(source, archive)
    ...     _ = path.write_text("a=1\na=2\n")
    ...     at_its_end, len(to_receive(source, archive))
    ([], 1)
    """
    return [
        each
        for each in source.partitions(archive.sources())
        if each.identity not in received and not each.finished(archive.position(each.identity))
    ]

"""The lines of one file, which is known by its content wherever it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .content import Content, digest, length
from .lines import read_lines
from .source import Batch, SourcePartition, SourceUnreadable

PREFIX: Final = 4096
"""How many bytes of its beginning a file is known by."""


@dataclass(frozen=True)
class FilePartition(SourcePartition):
    """The lines of one file.

    Parameters
    ----------
    path
        Where it is now.
    name
        What it is called in the archive, wherever it is.
    prefix
        How many bytes of its beginning it is known by; 0 if it is known by its path.
    digest
        SHA-256 of these bytes.
    inode
        Its number on its disk: it keeps that when it is renamed.
    recorded
        How many bytes of its beginning the archive knows it by; 0 if the archive does not know it.
    """

    path: Path
    name: str
    prefix: int
    digest: str
    inode: int = 0
    recorded: int = 0

    @property
    def identity(self) -> str:
        """Name of the partition in the archive."""
        return self.name

    def about(self) -> dict[str, Any]:
        """Tell where the file is and what it is known by."""
        return {
            "path": str(self.path),
            "prefix": self.prefix,
            "sha256": self.digest,
            "inode": self.inode,
        }

    def finished(self, position: int | None) -> bool:
        """Tell whether there is nothing to receive: the archive has it up to its end."""
        if self.recorded < self.prefix:
            return False  # the archive is to learn by what it is known
        try:
            return length(self.path) == (position or 0)
        except FileNotFoundError:
            return True

    def read(self, position: int | None) -> Iterator[Batch]:
        """Read lines; a position is the number of decompressed bytes before it.

        Raises
        ------
        SourceUnreadable
            The file is cut or corrupt, or another one has taken its place.
        """
        if self.prefix and digest(beginning(self.path, self.prefix)) != self.digest:
            raise SourceUnreadable(
                f"{self.path} is another file than the one that was listed: list the files again"
            )
        content = Content(self.path, position or 0)
        try:
            yield from read_lines(content.read, position or 0)
        finally:
            content.close()


def beginning(path: Path, size: int) -> bytes:
    """Read so many bytes of a file's content, decompressed, or all that it has."""
    content = Content(path)
    try:
        return content.read(size)
    finally:
        content.close()

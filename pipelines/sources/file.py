"""Files of beacons, one a line: a file, a glob or a folder; plain, gzip or zstd."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from .content import Content
from .lines import read_lines
from .source import NONE_KNOWN, Batch, Source, SourcePartition, SourceUnreadable

PREFIX: Final = 4096
Identity: TypeAlias = Literal["content", "path"]


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
    """

    path: Path
    name: str
    prefix: int
    digest: str

    @property
    def identity(self) -> str:
        """Name of the partition in the archive."""
        return self.name

    def about(self) -> dict[str, Any]:
        """Tell where the file is and what it is known by."""
        return {"path": str(self.path), "prefix": self.prefix, "sha256": self.digest}

    def read(self, position: int | None) -> Iterator[Batch]:
        """Read lines; a position is the number of decompressed bytes before it.

        Raises
        ------
        SourceUnreadable
            The file is cut or corrupt, or another one has taken its place.
        """
        if self.prefix and _digest(_beginning(self.path, self.prefix)) != self.digest:
            raise SourceUnreadable(
                f"{self.path} is another file than the one that was listed: list the files again"
            )
        content = Content(self.path, position or 0)
        try:
            yield from read_lines(content.read, position or 0)
        finally:
            content.close()


@dataclass(frozen=True)
class FileSource(Source):
    """All files of a folder, or of a glob, or one file: each is a partition, in order of name.

    A file is known by the first 4096 bytes of its content, so that one that was renamed, rotated
    or compressed is not received twice. A shorter one is known by all that it has, and by its
    path once it has grown.

    Parameters
    ----------
    pattern
        A path; it may hold ``*``, ``?``, ``[…]`` and ``**``. Of a folder, the files in it that
        are not hidden.
    known_by
        ``content``, or ``path`` for files that begin alike.
    """

    pattern: str
    known_by: Identity = "content"

    def partitions(
        self, known: Mapping[str, Mapping[str, Any]] = NONE_KNOWN
    ) -> list[SourcePartition]:
        """Find the files; empty ones are left out, as there is nothing to know them by.

        Raises
        ------
        FileNotFoundError
            Nothing is there.
        ValueError
            Two files begin alike.
        """
        found: dict[str, FilePartition] = {}
        for path in self.paths():
            partition = self._partition(path, known)
            if partition is None:
                continue
            other = found.setdefault(partition.name, partition)
            if other is not partition:
                raise ValueError(
                    f"{other.path} and {path} begin alike, so they cannot be told apart by their "
                    "content: add ?identity=path if they are not copies of each other"
                )
        return list(found.values())

    def paths(self) -> list[Path]:
        """List the files, in order of name."""
        path = Path(self.pattern).absolute()
        if path.is_dir():
            return sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".")
        if path.exists():
            return [path]
        paths = sorted(Path(name) for name in glob(str(path), recursive=True))  # noqa: PTH207 - absolute
        files = [path for path in paths if path.is_file()]
        if not files:
            what = "files match" if has_magic(self.pattern) else "such file or folder:"
            raise FileNotFoundError(f"no {what} {self.pattern}")
        return files

    def _partition(
        self, path: Path, known: Mapping[str, Mapping[str, Any]]
    ) -> FilePartition | None:
        if self.known_by == "path":
            digest = _digest(str(path).encode())
            return FilePartition(path, f"file-path-{digest[:24]}", 0, digest)
        prefix = _beginning(path, PREFIX)
        if not prefix:
            return None
        digest = _digest(prefix)
        name = _recognised(path, prefix, known) or f"file-{digest[:24]}"
        return FilePartition(path, name, len(prefix), digest)


def _recognised(path: Path, prefix: bytes, known: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Find what the archive calls a file: one with this very prefix, or this path and a shorter."""
    digests = {len(prefix): _digest(prefix)}
    grown: str | None = None
    for name, about in known.items():
        length, path_then = about.get("prefix", 0), about.get("path")
        if not 0 < length <= len(prefix) or (length < len(prefix) and path_then != str(path)):
            continue
        if length not in digests:
            digests[length] = _digest(prefix[:length])
        if digests[length] == about.get("sha256"):
            if length == len(prefix):
                return name
            grown = name
    return grown


def _beginning(path: Path, size: int) -> bytes:
    content = Content(path)
    try:
        return content.read(size)
    finally:
        content.close()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

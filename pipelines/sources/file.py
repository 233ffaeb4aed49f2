"""Files of beacons, one a line: a file, a glob or a folder; plain, gzip or zstd."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from glob import glob, has_magic
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from ...stores.clock import Clock, SystemClock
from .content import digest, is_compressed, length
from .file_partition import PREFIX, FilePartition, beginning
from .followed_file import FollowedFile
from .source import NONE_KNOWN, Source, SourcePartition, SourceUnreadable

_log = logging.getLogger(__name__)

__all__ = ["PREFIX", "FilePartition", "FileSource"]

_WRITING: Final = 60.0
"""Seconds since its last change for which a compressed file that is cut may still be written."""

Identity: TypeAlias = Literal["content", "path"]


@dataclass(frozen=True)
class FileSource(Source):
    """All files of a folder, or of a glob, or one file: each is a partition, in order of name.

    A file is known by the first 4096 bytes of its content, so that one that was renamed, rotated
    or compressed is not received twice. A shorter one is known by all that it has, and by its
    path or its inode once it has grown. (Of files that are followed this is noted anew a second
    after they have grown: one that is copied and truncated sooner, and shorter, is read twice.)

    Parameters
    ----------
    pattern
        A path; it may hold ``*``, ``?``, ``[…]`` and ``**``. Of a folder, the files in it that
        are not hidden.
    known_by
        ``content``, or ``path`` for files that begin alike.
    follow
        Read files on as they grow. Who lists them again from time to time also finds new ones, and
        those that were rotated: let the pattern match these too (``access.log*``), so that what was
        written to them last is read though nobody was reading at that time.
    clock
        Waits for files to grow.
    """

    pattern: str
    known_by: Identity = "content"
    follow: bool = False
    clock: Clock = field(default_factory=SystemClock, compare=False)

    @property
    def growing(self) -> bool:
        """Whether there can be other partitions later: to be listed again while it runs."""
        return self.follow

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
            try:
                partition = self._partition(path, known)
                if partition is not None:
                    other = found.get(partition.digest)
                    found[partition.digest] = (
                        partition if other is None else self._one(other, partition)
                    )
            except FileNotFoundError:
                if not self.follow:
                    raise  # else it was moved just now, and is found when it is listed again
            except SourceUnreadable as error:
                if not self.follow:
                    raise
                _say(f"{error}: it is passed over")
        named: dict[str, FilePartition] = {}
        for partition in found.values():
            other = named.setdefault(partition.name, partition)
            if other is not partition:
                # One is where the archive last saw it, and the other is what it saw there.
                moved = known[partition.name].get("inode") == partition.inode
                kept, new = (partition, other) if moved else (other, partition)
                named[kept.name] = kept
                name = _name(new.digest)
                named[name] = replace(new, name=name, recorded=0)
        return [named[name] for name in sorted(named, key=lambda name: named[name].path)]

    def _one(self, other: FilePartition, new: FilePartition) -> FilePartition:
        """Choose between two files that begin alike, if one is being made a copy of the other."""
        both = [other, new]
        if self.follow:
            # What the archive knows comes first: whichever file is chosen has that name.
            both.sort(key=lambda each: each.recorded, reverse=True)
            name, recorded = both[0].name, both[0].recorded
            plain = [each for each in both if not is_compressed(each.path)]
            both.sort(key=lambda each: each.path.stat().st_size)
            if len(plain) == 1:
                return replace(plain[0], name=name, recorded=recorded)
            if len(plain) > 1 and _is_copy(both[0].path, both[1].path):
                return replace(both[1], name=name, recorded=recorded)
        raise ValueError(
            f"{other.path} and {new.path} begin alike, so they cannot be told apart by their "
            "content: add ?identity=path if they are not copies of each other"
        )

    def paths(self) -> list[Path]:
        """List the files, in order of name."""
        path = Path(self.pattern).absolute()
        if path.is_dir():
            return sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".")
        if path.exists():
            return [path]
        paths = sorted(Path(name) for name in glob(str(path), recursive=True))  # noqa: PTH207 - absolute
        files = [path for path in paths if path.is_file()]
        if self.follow and _folder(path).is_dir():
            return files
        if not files:
            what = "files match" if has_magic(self.pattern) else "such file or folder:"
            raise FileNotFoundError(f"no {what} {self.pattern}")
        return files

    def _partition(
        self, path: Path, known: Mapping[str, Mapping[str, Any]]
    ) -> FilePartition | None:
        if self.known_by == "path":
            name = digest(str(path).encode())
            return FilePartition(path, f"file-path-{name[:24]}", 0, name)
        if self.follow and _is_being_written(path):
            return None
        prefix = beginning(path, PREFIX)
        if not prefix:
            return None
        inode, own = path.stat().st_ino, digest(prefix)
        name, recorded = _recognised(path, inode, prefix, known) or (_name(own), 0)
        if not self.follow:
            return FilePartition(path, name, len(prefix), own, inode, recorded)
        return FollowedFile(path, name, len(prefix), own, inode, recorded, self.clock)


def _name(own: str) -> str:
    return f"file-{own[:24]}"


def _recognised(
    path: Path, inode: int, prefix: bytes, known: Mapping[str, Mapping[str, Any]]
) -> tuple[str, int] | None:
    """Find what the archive calls a file, and how many bytes of it the archive knows.

    It is one that begins with all that is known; if that is less than there is now, it is at the
    same place or has the same inode, too.
    """
    digests = {len(prefix): digest(prefix)}
    best: tuple[str, int] | None = None
    for name, about in known.items():
        size = about.get("prefix", 0)
        same = about.get("path") == str(path) or about.get("inode") == inode
        if not (0 < size <= len(prefix) and (size == len(prefix) or same)):
            continue
        if size not in digests:
            digests[size] = digest(prefix[:size])
        if digests[size] == about.get("sha256") and (best is None or size > best[1]):
            best = name, size
    return best


@lru_cache(maxsize=1000)
def _say(text: str) -> None:
    """Log a warning, once."""
    _log.warning("%s", text)


def _is_being_written(path: Path) -> bool:
    """Tell whether a file is compressed and not whole yet."""
    recent = time.time() - path.stat().st_mtime < _WRITING
    return recent and is_compressed(path) and length(path) is None


def _is_copy(shorter: Path, longer: Path) -> bool:
    """Tell whether a file is the beginning of another one, as its last bytes tell."""
    with shorter.open("rb") as one, longer.open("rb") as other:
        end = max(os.fstat(one.fileno()).st_size - PREFIX, 0)
        one.seek(end)
        other.seek(end)
        last = one.read(PREFIX)
        return other.read(len(last)) == last


def _folder(pattern: Path) -> Path:
    """Find the folder that a pattern begins with."""
    return next(each for each in pattern.parents if not has_magic(str(each)))

"""What is in a file, whether it is plain, gzip or zstd: told by its first bytes, not its name."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO, Final

import pyarrow as pa

from .source import SourceUnreadable

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PIECE: Final = 128 << 10


def is_compressed(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is gzip or zstd."""
    with Path(path).open("rb", buffering=0) as file:
        magic = file.read(4)
    return magic.startswith(_GZIP) or magic == _ZSTD


def digest(content: bytes) -> str:
    """Give the SHA-256 of a content.

    >>> digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


class Content:
    r"""The decompressed content of a file, from a position on.

    Parameters
    ----------
    path
        The file: plain, gzip (of one or many members) or zstd (of one or many frames).
    at
        Where to begin, in decompressed bytes: plain files are sought, others read up to there.

    Raises
    ------
    SourceUnreadable
        The file ends before that position, or it is cut or corrupt before that.
    FileNotFoundError
        There is no such file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "beacons")
    ...     _ = path.write_bytes(gzip.compress(b"a=1\n") + gzip.compress(b"b=2\n"))
    ...     content = Content(path, at=4)
    ...     content.read(100), content.read(100)
    ...     content.close()
    (b'b=2\n', b'')
    """

    def __init__(self, path: str | os.PathLike[str], at: int = 0) -> None:
        self._path = path = Path(path)
        self._failure: SourceUnreadable | None = None
        self._file: IO[bytes] = path.open("rb", buffering=0)
        try:
            self._piece = self._decompress()
            self._go_to(at)
        except BaseException:
            self._file.close()
            raise

    def read(self, size: int) -> bytes:
        """Read up to so many bytes; none at the end.

        Raises
        ------
        SourceUnreadable
            The file is cut or corrupt here; what lies before was returned.
        """
        pieces: list[bytes] = []
        while size > 0 and self._failure is None:
            try:
                piece = self._piece(size)
            except (OSError, EOFError, zlib.error) as error:
                self._failure = SourceUnreadable(f"{self._path} is cut or corrupt: {error}")
                break
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        if self._failure is not None and not pieces:
            raise self._failure
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _decompress(self) -> Callable[[int], bytes]:
        """Choose how to read a piece: small ones, so that little is lost where the file is cut."""
        magic = self._file.read(4)
        self._file.seek(0)
        if magic.startswith(_GZIP):
            members = gzip.GzipFile(fileobj=self._file)
            return lambda size: members.read1(min(size, _PIECE))
        if magic == _ZSTD:
            # Unlike the zstandard package's reader, Arrow's tells a cut file from a whole one.
            frames = pa.CompressedInputStream(pa.PythonFile(self._file, "r"), "zstd")
            return lambda size: bytes(frames.read(min(size, _PIECE)))
        return self._file.read

    def _go_to(self, position: int) -> None:
        if self._piece == self._file.read:
            size = os.fstat(self._file.fileno()).st_size
            self._file.seek(position)
            missing = max(position - size, 0)
        else:
            missing = position
            while missing and (skipped := self.read(min(missing, _PIECE))):
                missing -= len(skipped)
        if missing:
            raise SourceUnreadable(
                f"{self._path} ends at byte {position - missing}, but was read up to {position} "
                "before: it was cut, or another file has taken its place"
            )


def length(path: Path) -> int | None:
    """Count the bytes of a file's content, decompressed; None if it is cut or corrupt.

    Raises
    ------
    OSError
        It cannot be read.
    """
    if not is_compressed(path):
        return path.stat().st_size
    about = path.stat()
    return _decompressed(str(path), about.st_ino, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _decompressed(path: str, *_version: int) -> int | None:
    content = Content(path)
    size = 0
    try:
        while piece := content.read(1 << 20):
            size += len(piece)
    except SourceUnreadable:
        return None
    finally:
        content.close()
    return size

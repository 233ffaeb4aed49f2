"""Beacons to a file, one a line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .publisher import Publisher, PublishFailed


class FilePublisher(Publisher):
    r"""Appends lines to a file; confirmed is what is on the disk.

    Parameters
    ----------
    path
        The file: made if it is not there, else appended to.

    Raises
    ------
    OSError
        It cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "beacons.log")
    ...     with FilePublisher(path) as publisher:
    ...         publisher.send([b"/b.gif?p=1", b"/b.gif?p=2"])
    ...     path.read_bytes()
    2
    b'/b.gif?p=1\n/b.gif?p=2\n'
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def send(self, bodies: Sequence[bytes]) -> int:
        """Append beacons, and sync the file.

        Raises
        ------
        PublishFailed
            The disk failed or is full; of these beacons there is none in the file then.
        ValueError
            A beacon holds a line feed, so that it would be two.
        """
        if any(b"\n" in body for body in bodies):
            raise ValueError("a beacon in a file of lines holds no line feed")
        if not bodies:
            return 0
        content = b"\n".join([*bodies, b""])
        before = os.fstat(self._file).st_size
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, before)
            raise PublishFailed(f"{self.path}: {error.strerror}") from error
        return len(bodies)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

"""A folder on a local disk, as an archive needs it: create if absent, and nothing half-written."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

_STALE: Final = 24 * 3600.0


class LocalFolder:
    """Files that appear whole and durable under names of their own, or not at all.

    Everything an archive asks of a place is here: an object store's conditional put can stand for
    `create`. Locally a file is written and synced under a random name, linked to its final one and
    the folder synced; ``rename`` would clobber what another process put there first.

    Parameters
    ----------
    root
        The folder; it is made when the first file is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._staging = root / "tmp"

    def path(self, name: str) -> Path:
        """Tell where the file of that name lies."""
        return self.root / name

    def create(
        self, name: str, data: bytes | memoryview, check: Callable[[], object] = bool
    ) -> None:
        """Make a file of that name, durably, unless there is one.

        Parameters
        ----------
        name
            Path relative to the folder.
        data
            All of its content.
        check
            Called once the data are staged in this folder and before the name is taken: what it
            finds true of the folder then holds for the link too, because a folder that is deleted
            or exchanged in between has lost the staged file.

        Raises
        ------
        FileExistsError
            The name is taken.
        OSError
            The disk failed or is full. The name may be taken all the same: call again to know.
        """
        final = self.path(name)
        if not self._staging.is_dir():
            check()  # else staging would bring a deleted folder back to life
        staged = self._stage(data)
        try:
            check()
            _make_folder(final.parent)
            try:
                os.link(staged, final)
            except FileExistsError:
                _sync(final.parent)  # whoever relies on the file that is there needs it durable
                raise
            _sync(final.parent)
        finally:
            with suppress(OSError):
                staged.unlink()

    def replace(self, name: str, data: bytes) -> None:
        """Write a file whether or not there is one: for hints only, it is not synced."""
        staged = self._stage(data, durable=False)
        try:
            _make_folder(self.path(name).parent)
            staged.replace(self.path(name))
        except OSError:
            staged.unlink(missing_ok=True)
            raise

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        self.path(name).unlink(missing_ok=True)

    def clean(self, older_than: float = _STALE) -> None:
        """Delete staged files that a crash left behind, once they are that many seconds old."""
        with suppress(OSError), os.scandir(self._staging) as entries:
            for entry in entries:
                with suppress(OSError):  # another may clean too, or this one may not
                    # The files' own times are the machine's, so this asks the machine's clock.
                    if time.time() - entry.stat().st_mtime > older_than:
                        Path(entry.path).unlink()

    def _stage(self, data: bytes | memoryview, *, durable: bool = True) -> Path:
        path = self._staging / secrets.token_hex(12)
        _make_folder(self._staging)
        try:
            with path.open("xb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path


def _make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, each durable in the one above."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(f"{folder} is a file, not a folder") from None
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

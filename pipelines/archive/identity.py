"""Who an archive is: a random id, made with the folder, so that no other is taken for it."""

from __future__ import annotations

import errno
import json
import secrets
from contextlib import suppress
from typing import Final

from .local import LocalFolder

LAYOUT: Final = 1
_FILE: Final = "archive.json"
_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}


class ArchiveLayoutError(ValueError):
    """The folder holds an archive of another layout, or something else under its name."""


class ArchiveChanged(ValueError):
    """The folder was made anew: it holds another archive than the one that was opened."""


def make_identity(folder: LocalFolder) -> None:
    """Make the folder an archive if it is none; of many who do so at once, one gives it its id.

    Raises
    ------
    ValueError
        The file system cannot create a file only if it is absent.
    """
    if folder.path(_FILE).exists():
        return
    document = json.dumps({"id": secrets.token_hex(8), "layout": LAYOUT})
    try:
        with suppress(FileExistsError):
            folder.create(_FILE, document.encode())
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise ValueError(
            f"{folder.root} cannot hold an archive: its file system has no hard links ({error})"
        ) from error


def read_identity(folder: LocalFolder) -> str:
    """Read the id of the archive in a folder.

    Raises
    ------
    FileNotFoundError
        There is none.
    ArchiveLayoutError
        It has another layout.
    """
    try:
        document = json.loads(folder.path(_FILE).read_bytes())
        layout, identity = document["layout"], document["id"]
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"no archive at {folder.root}") from None
    except (ValueError, LookupError, TypeError):
        raise ArchiveLayoutError(f"{folder.path(_FILE)} is no archive's") from None
    if layout != LAYOUT:
        raise ArchiveLayoutError(
            f"the archive at {folder.root} has layout {layout}; this version reads {LAYOUT}"
        )
    return str(identity)

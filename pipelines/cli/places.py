"""Stores, which are closed when the command ends; those to read from must be there already."""

from __future__ import annotations

from pathlib import Path

import click

from ...stores import MergeableStore, open_store
from .errors import Failure

_SQLITE = "sqlite:///"


def is_missing(url: str) -> bool:
    """Tell whether opening a store would make it.

    >>> is_missing("sqlite:///no-such-folder/beacons.db")
    True
    """
    return url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).exists()


def store_at(url: str) -> MergeableStore:
    """Open a store, and make it if it is not there."""
    store = open_store(url)
    if context := click.get_current_context(silent=True):
        context.call_on_close(store.close)
    return store


def existing_store(url: str) -> MergeableStore:
    """Open a store to read from: a wrong name is an error, not a new store.

    Raises
    ------
    Failure
        There is none.
    ValueError, StoreError
        The URL is of an unknown kind, or something else is there.
    """
    if is_missing(url):
        raise Failure(f"no store at {Path(url.removeprefix(_SQLITE)).absolute()}")
    return store_at(url)

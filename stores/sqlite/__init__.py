"""The store in a SQLite file."""

from .backend import SQLiteBackend

__all__ = ["SQLiteBackend"]

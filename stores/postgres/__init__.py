"""The store in PostgreSQL."""

from .backend import PostgresBackend

__all__ = ["PostgresBackend"]

"""The store on Redis, Valkey or a Redis Cluster."""

from .backend import RedisBackend

__all__ = ["RedisBackend"]

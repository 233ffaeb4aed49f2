"""Beaconfold: Map → Aggregate → Store for beacons, written once as a job and run anywhere.

Examples
--------
>>> import polars as pl
>>> from beaconfold import Count, HyperLogLog, Job, QueryString
>>> job = Job(
...     "uniques",
...     decode=QueryString(publisher=pl.String, user=pl.String, ts=pl.Datetime("ms", "UTC")),
...     event_time="ts",
...     window="1m",
...     key=["publisher"],
...     aggregate={"beacons": Count(), "users": HyperLogLog("user")},
... )
>>> found = job.run(["/b.gif?publisher=p1&user=a&ts=1", "/b.gif?publisher=p1&user=b&ts=2"])
>>> found.select("publisher", "beacons", pl.col("users").round(3)).rows()
[('p1', 2, 2.0)]
"""

from .monoids import Aggregator, Count, HyperLogLog, Lifted, Max, Min, Monoid, Product, Sum
from .pipelines.archive import Archive
from .pipelines.cluster import local_cluster
from .pipelines.decode import AccessLog, Delimited, Field, JsonLines, QueryString
from .pipelines.job import Job
from .pipelines.platforms import replay, stream, verify
from .stores import MergeableStore, open_store
from .stores.keyed import MemoryStore, PostgresStore, RedisStore, SQLiteStore

__version__ = "0.1.0"

__all__ = [
    "AccessLog",
    "Aggregator",
    "Archive",
    "Count",
    "Delimited",
    "Field",
    "HyperLogLog",
    "Job",
    "JsonLines",
    "Lifted",
    "Max",
    "MemoryStore",
    "MergeableStore",
    "Min",
    "Monoid",
    "PostgresStore",
    "Product",
    "QueryString",
    "RedisStore",
    "SQLiteStore",
    "Sum",
    "local_cluster",
    "open_store",
    "replay",
    "stream",
    "verify",
]

"""The talk's HyperLogLog job: how many unique users each publisher has, minute by minute."""

import polars as pl

from ...monoids import HyperLogLog
from ..decode import QueryString
from ..job import Job

publisher_uniques = Job(
    "publisher-uniques",
    decode=QueryString(
        publisher=pl.String,
        user=pl.String,
        ts=pl.Datetime("ms", "UTC"),
        defaults={"publisher": "unknown"},
    ),
    event_time="ts",
    window="1m",
    key=["publisher"],
    aggregate={"users": HyperLogLog("user", lg_k=12)},
)

"""What a publisher's dashboard shows: beacons, clicks, revenue and unique users by the minute."""

import polars as pl

from ...monoids import Count, HyperLogLog, Max, Min, Sum
from ..decode import QueryString
from ..job import Job

publisher_traffic = Job(
    "publisher-traffic",
    decode=QueryString(
        publisher=pl.String,
        beaconType=pl.String,
        user=pl.String,
        ts=pl.Datetime("ms", "UTC"),
        price=pl.Decimal(18, 6),
    ),
    event_time="ts",
    window="1m",
    key=["publisher"],
    aggregate={
        "beacons": Count(),
        "clicks": Count(where=pl.col("beaconType") == "click"),
        "revenue": Sum("price"),
        "first": Min("ts"),
        "last": Max("ts"),
        "users": HyperLogLog("user", lg_k=12),
    },
)

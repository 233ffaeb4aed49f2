"""The talk's first job: how many beacons of each type, minute by minute."""

import polars as pl

from ...monoids import Count
from ..decode import QueryString
from ..job import Job

beacon_counts = Job(
    "beacon-counts",
    decode=QueryString(
        beaconType=pl.String,
        ts=pl.Datetime("ms", "UTC"),
        defaults={"beaconType": "unknown"},
    ),
    event_time="ts",
    window="1m",
    key=["beaconType"],
    aggregate={"beacons": Count()},
)

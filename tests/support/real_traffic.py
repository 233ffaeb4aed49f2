"""The real traffic beside the checkout: jobs over it, and the answers computed independently."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from beaconfold import Count, Delimited, HyperLogLog, Job, JsonLines, Sum

AGGREGATE = {"count": Count(), "unique_users": HyperLogLog("user", lg_k=12)}

wikiticker = Job(
    "wikiticker",
    decode=JsonLines(
        channel=pl.String, user=pl.String, added=pl.Int64, time=pl.Datetime("ms", "UTC")
    ),
    event_time="time",
    window="1h",
    key=["channel"],
    aggregate={**AGGREGATE, "sum": Sum("added")},
)

PATH = pl.col("url").str
nasa = Job(
    "nasa",
    decode=Delimited(
        separator="\t",
        columns=[
            "host", "logname", "time", "method", "url", "response", "bytes", "referer", "useragent",
        ],
        header=True,
        host=pl.String,
        url=pl.String,
        bytes=pl.Int64,
        time=pl.Int64,
        derive={
            "at": (pl.col("time") * 1000).cast(pl.Datetime("ms", "UTC")),
            "section": pl.when(PATH.count_matches("/", literal=True) >= 2)
            .then(PATH.split("/").list.get(1, null_on_oob=True))
            .otherwise(pl.lit("/")),
            "user": pl.col("host"),
        },
    ),
    event_time="at",
    window="10m",
    key=["section"],
    aggregate={**AGGREGATE, "sum": Sum("bytes")},
)  # fmt: skip


@dataclass(frozen=True)
class Traffic:
    """A file, the job over it and its answers."""

    job: Job
    file: str
    answers: str
    rows: int

    def expected(self, folder: Path) -> pl.DataFrame:
        """Give the answers: key, window start, and exact aggregates."""
        answers = pl.read_csv(
            folder / self.answers, separator="\t", schema_overrides={"key": pl.String}
        )
        return answers.with_columns(
            pl.col("key").fill_null(""),
            pl.from_epoch("window", "s").cast(pl.Datetime("us", "UTC")),
        ).sort("key", "window")


TRAFFIC = {
    "wikiticker": Traffic(
        wikiticker, "wikiticker-2015-09-12-sampled.json.gz", "wikiticker.expected.tsv", 39_244
    ),
    "nasa": Traffic(nasa, "nasa_19950801.tsv.gz", "nasa.expected.tsv", 30_969),
}


def check(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Hold results to the answers: exact, but for distinct users within 4 standard errors."""
    key, *_ = found.columns
    both = found.rename({key: "key"}).sort("key", "window")
    assert both.select("key", "window", "count", "sum").equals(
        expected.select("key", "window", "count", "sum")
    )
    exact, estimate = expected["unique_users"], both["unique_users"]
    error = 4 * 1.04 / (1 << 12) ** 0.5
    assert ((estimate - exact).abs() <= exact * error).all()
    small = exact < 20
    assert estimate.filter(small).round().cast(pl.Int64).equals(exact.filter(small))

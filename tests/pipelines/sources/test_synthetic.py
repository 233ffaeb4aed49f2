"""Made-up beacons: the same for the same row, paced by the clock, and like real ones."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beaconfold.pipelines.sources import ARRIVING, open_source
from beaconfold.stores.clock import ManualClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def read(url, position=None, clock=None):
    batches = list(open_source(url, clock=clock).partitions()[0].read(position))
    return pl.concat([batch.frame for batch in batches] or [pl.DataFrame(schema=ARRIVING)])


URL = "synthetic://?rate=max&count=20000&start=2026-01-01&seed=3"
ALL = read(URL)
FIELDS = [parse_qs(raw.decode(errors="replace").partition("?")[2]) for raw in ALL["raw"]]


@settings(max_examples=20)
@given(position=st.integers(0, 20_000))
def test_a_row_is_the_same_wherever_reading_resumes(position):
    assert read(URL, position).equals(ALL[position:])


def test_rows_are_numbered_and_the_schema_is_of_arriving_beacons():
    assert ALL.schema == ARRIVING
    assert ALL["offset"].to_list() == list(range(20_000))


def test_another_seed_gives_others():
    assert not read(URL.replace("seed=3", "seed=4")).equals(ALL)


def test_most_look_like_beacons():
    whole = re.compile(
        rb"/b\.gif\?beaconType=(impression|view|click|conversion)&publisher=p\d+&user=[0-9a-f]{8}"
        rb"&ts=\d{13}&price=0\.\d{4}&url=https%3A%2F%2Fexample\d+\.com%2Fsection%2F\d+%3Fref%3Dhome"
    )
    share = sum(whole.fullmatch(raw) is not None for raw in ALL["raw"]) / ALL.height
    assert 0.985 < share < 0.995


def test_the_flaws_are_of_every_kind():
    raw = ALL["raw"].to_list()
    assert any(b"publisher=%zz" in beacon for beacon in raw)
    assert any(b"&ts=" not in beacon and b"&price=" in beacon for beacon in raw)
    assert any(b"&price=abc&" in beacon for beacon in raw)
    assert any(b"user=%ff%fe" in beacon for beacon in raw)
    assert any(b"\xff\xfe" in beacon for beacon in raw)
    assert not any(b"%zz" in beacon for beacon in read(f"{URL}&malformed=0")["raw"])


def test_publishers_and_users_follow_zipf():
    counts = Counter(fields["publisher"][0] for fields in FIELDS if "publisher" in fields)
    assert counts.most_common(1)[0][0] == "p1"
    assert counts["p1"] > 15 * counts["p60"]
    assert 90 < len(counts) <= 103
    users = {fields["user"][0] for fields in FIELDS if "user" in fields}
    assert 3000 < len(users) < 10_000


def test_events_are_a_little_late_and_a_few_very():
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    late = [
        start + row - int(fields["ts"][0]) for row, fields in enumerate(FIELDS) if "ts" in fields
    ]
    assert min(late) >= 0
    mild = [lateness for lateness in late if lateness <= 5001]
    assert 0.998 < len(mild) / len(late) < 0.9997
    assert min(set(late) - set(mild)) >= 60_000
    assert max(late) <= 3_606_000
    assert sorted(late) != late
    ordered = read(f"{URL}&disorder=0&malformed=0")["raw"].cast(pl.String)
    stamps = ordered.str.extract(r"ts=(\d+)").cast(pl.Int64)
    assert stamps.is_sorted()


class TestPace:
    def run(self, url, seconds, position=None):
        clock = ManualClock(NOON)
        batches = []
        for batch in open_source(url, clock=clock).partitions()[0].read(position):
            batches.append((clock.monotonic(), batch))
            if clock.monotonic() >= seconds:
                break
        return batches

    @pytest.mark.parametrize("rate", [3, 1000, 100_000])
    def test_is_the_clock_s(self, rate):
        batches = self.run(f"synthetic://?rate={rate}", 10)
        for seconds, batch in batches:
            assert batch.position <= seconds * rate + 1e-6
        rows = sum(batch.frame.height for _, batch in batches)
        assert 9.9 * rate - 1 <= rows <= 10 * rate

    def test_is_1000_a_second_without_end_unless_told_otherwise(self):
        source = open_source("synthetic://")
        assert (source.rate, source.count, source.finite) == (1000, None, False)
        assert open_source("synthetic://?count=5").finite

    def test_times_follow_the_clock(self):
        batches = self.run("synthetic://?rate=100&malformed=0&disorder=0", 20, position=777)
        raw = pl.concat(batch.frame for _, batch in batches)["raw"].cast(pl.String)
        stamps = raw.str.extract(r"ts=(\d+)").cast(pl.Int64).cast(pl.Datetime("ms", "UTC"))
        assert stamps[0] == NOON
        assert NOON + timedelta(seconds=19.9) <= stamps[-1] <= NOON + timedelta(seconds=20)

    def test_idle_it_yields_empty_batches(self):
        assert all(batch.frame.is_empty() for _, batch in self.run("synthetic://?rate=0.1", 9.9))


class TestIdentity:
    def identity(self, parameters):
        return open_source(f"synthetic://?{parameters}").identity

    def test_is_of_the_beacons_and_not_of_their_number(self):
        assert self.identity("seed=1&count=5") == self.identity("count=6&seed=1")
        names = {"", "seed=1", "rate=2", "publishers=3", "users=9", "malformed=0", "disorder=1s"}
        assert len({self.identity(name) for name in names}) == len(names)
        assert re.fullmatch(r"synthetic-[0-9a-f]{16}", self.identity(""))

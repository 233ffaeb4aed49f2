"""Write a deterministic archive of raw beacons, and the exact answer to the benchmark's job.

Request lines of one hour for 1,000 publishers and 1.15 million users, both Zipf, up to 10 s out
of order. Every 20th publisher's name holds a space, and one user in 32 arrives with its first
digit percent-encoded: a job that does not decode gets wrong keys and too many users.
"""

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]

PUBLISHERS, USERS, PAGES = 1_000, 1_150_000, 20_000
START, HOUR, MINUTE = 1_750_003_200_000, 3_600_000, 60_000  # ms, on the hour
KINDS, KIND_SHARES = ("impression", "click", "view", "share"), (0.70, 0.05, 0.20, 0.05)
CLICK = KINDS.index("click")
PRICE_UNITS = 10_000  # prices are drawn in ten-thousandths


@dataclass(frozen=True)
class Traffic:
    """Beacons as columns, in the order of their arrival; all but `time` index a table."""

    kind: Ints
    publisher: Ints
    user: Ints
    encoded: npt.NDArray[np.bool_]  # the user's first digit is sent as %XX
    time: Ints  # ms since the epoch
    price: Ints  # in ten-thousandths
    page: Ints


def zipf(rng: np.random.Generator, n: int, ranks: int, exponent: float, shift: float = 0) -> Ints:
    """Draw `n` ranks of a Zipf-Mandelbrot law by inverting its distribution."""
    weights = np.cumsum((np.arange(1, ranks + 1) + shift) ** -exponent)
    # Below the last weight, so that the draw that rounds up to 1 is still a rank.
    drawn: Ints = np.searchsorted(weights[:-1], rng.random(n) * weights[-1], side="right")
    return drawn


def draw(n: int, seed: int = 20_250_615) -> Traffic:
    """Draw `n` beacons; equal arguments give equal beacons."""
    rng = np.random.default_rng(seed)
    cheap, dear = rng.integers(0, 200, n), rng.integers(0, 1_000, n)
    delay = np.minimum(rng.exponential(800, n), 10_000)
    arrival = START + np.arange(n) * (HOUR / n)
    return Traffic(
        kind=rng.choice(len(KINDS), n, p=KIND_SHARES).astype(np.int64),
        publisher=rng.permutation(PUBLISHERS)[zipf(rng, n, PUBLISHERS, 1.0)],
        user=zipf(rng, n, USERS, 0.6, shift=20),
        encoded=rng.random(n) < 1 / 32,
        time=np.maximum(arrival - delay, START).astype(np.int64),
        price=np.where(rng.random(n) < 0.9, cheap, dear),
        page=rng.integers(0, PAGES, n),
    )


def publisher_names() -> pl.Series:
    """Name the publishers, every 20th with a space."""
    return pl.Series([f"pub{' ' if i % 20 == 0 else ''}{i:04d}" for i in range(PUBLISHERS)])


def user_names() -> pl.Series:
    """Name the users: 16 hexadecimal digits from SplitMix64, which is a bijection."""
    z = np.arange(1, USERS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    digits = (z ^ (z >> np.uint64(31))).astype(">u8").tobytes().hex()
    return pl.Series([digits[i : i + 16] for i in range(0, len(digits), 16)])


def request_lines(traffic: Traffic, files: int) -> Iterator[pl.DataFrame]:
    """Render the traffic as `files` frames of one column of text."""
    publisher = publisher_names().str.replace_all(" ", "%20", literal=True)
    user = user_names()
    user_encoded = "%" + user.str.head(1).str.encode("hex") + user.str.slice(1)
    price = pl.Series([f"{units / PRICE_UNITS:.4f}" for units in range(1_000)])
    page = pl.Series(
        f"https%3A%2F%2Fexample{i % 97}.com%2Fsection%2F{i}%3Fb%3D{i % 13}%26ref%3Dhome"
        for i in range(PAGES)
    )
    for part in np.array_split(np.arange(len(traffic.time)), files):
        user_part = traffic.user[part]
        yield pl.select(
            pl.format(
                "/b.gif?beaconType={}&publisher={}&user={}&ts={}&price={}&url={}",
                pl.lit(pl.Series(KINDS).gather(traffic.kind[part])),
                pl.lit(publisher.gather(traffic.publisher[part])),
                pl.when(pl.lit(pl.Series(traffic.encoded[part])))
                .then(pl.lit(user_encoded.gather(user_part)))
                .otherwise(pl.lit(user.gather(user_part))),
                pl.lit(pl.Series(traffic.time[part])),
                pl.lit(price.gather(traffic.price[part])),
                pl.lit(page.gather(traffic.page[part])),
            )
        )


def truth(traffic: Traffic) -> pl.DataFrame:
    """Answer the job exactly, with NumPy alone, from the numbers and not from the text."""
    window = (traffic.time - START) // MINUTE
    windows = HOUR // MINUTE
    cell = traffic.publisher * windows + window
    order = np.argsort(cell, kind="stable")
    cells, first = np.unique(cell[order], return_index=True)
    seen = np.unique(cell * USERS + traffic.user) // USERS
    return pl.DataFrame(
        {
            "publisher": publisher_names().gather(cells // windows),
            "window": START + cells % windows * MINUTE,
            "count": np.diff(first, append=len(cell)),
            "clicks": np.add.reduceat((traffic.kind == CLICK)[order].astype(np.int64), first),
            "sum_price": np.add.reduceat(traffic.price[order], first) / PRICE_UNITS,
            "min_ts": np.minimum.reduceat(traffic.time[order], first),
            "max_ts": np.maximum.reduceat(traffic.time[order], first),
            "users": np.unique(seen, return_counts=True)[1],
        }
    )


def generate(n: int, files: int, out: Path) -> None:
    """Write `out`/raw/part-NNN.txt and `out`/truth.parquet, unless they are there already."""
    made_with = out / "made-with.json"
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    wanted = json.dumps({"n": n, "files": files, "generator": version})
    if made_with.exists() and made_with.read_text() == wanted:
        return
    shutil.rmtree(out, ignore_errors=True)
    (out / "raw").mkdir(parents=True)
    began = time.perf_counter()
    traffic = draw(n)
    for number, lines in enumerate(request_lines(traffic, files)):
        path = out / "raw" / f"part-{number:03d}.txt"
        lines.write_csv(path, include_header=False, quote_style="never")
    truth(traffic).write_parquet(out / "truth.parquet")
    made_with.write_text(wanted)
    print(f"Generated {n:,} beacons into {out} in {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the benchmark's archive and its answer.")
    parser.add_argument("--n", type=int, default=5_000_000, help="how many beacons")
    parser.add_argument("--files", type=int, default=50, help="in how many files")
    parser.add_argument("--out", type=Path, default=Path("build/bench/archive"), help="where to")
    arguments = parser.parse_args()
    generate(arguments.n, arguments.files, arguments.out)

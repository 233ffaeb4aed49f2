"""States that were stored once are read for ever: their bytes, and what they present, are pinned.

`golden.json` holds declarations and states as stores keep them. A change that breaks this test
needs a new `version` of the aggregator, not a new golden file.
"""

import json
import math
from pathlib import Path

import polars as pl
import pytest

from beaconfold.monoids import Count, HyperLogLog, Max, Min, Product, Sum

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))
BY = ["group"]
FRAME = pl.DataFrame({
    "group": [1, 1, 1, 2, 2, 3],
    "yes": [True, False, None, True, True, None],
    "int": [-1, 2**62, 7, 0, None, None],
    "float": [0.1, -1e300, 5e-324, math.inf, math.nan, None],
    "small": [0.1, -0.0, 2.5, -0.3, None, None],
    "text": ["é", "z", "", "a", None, None],
}).with_columns(
    decimal=pl.col("int").cast(pl.Int128).reinterpret(dtype=pl.Decimal(38, 6)),
    unsigned=pl.col("int").clip(0).cast(pl.UInt64),
    time=(pl.col("int") % 10**12 - 10**11).cast(pl.Datetime("ms", "UTC")),
    date=(pl.col("int") % 1000).cast(pl.Date),
)  # fmt: skip
COLUMNS = ["yes", "int", "unsigned", "decimal", "float", "small", "time", "date", "text"]
AGGREGATORS = {
    "count": Count(),
    "count where": Count(where=pl.col("yes")),
    **{f"sum {c}": Sum(c) for c in ("int", "unsigned", "decimal", "float", "small")},
    "sum wide": Sum("int", where=pl.col("yes"), dtype=pl.Int128),
    **{f"min {c}": Min(c) for c in COLUMNS},
    **{f"max {c}": Max(c) for c in COLUMNS},
    "hyperloglog": HyperLogLog("text"),
    "hyperloglog dense": HyperLogLog("many", lg_k=4),
}
MANY = pl.DataFrame({"group": [1] * 100, "many": [f"user-{number}" for number in range(100)]})


def golden(name):
    """Make what `golden.json` holds of an aggregator: its declaration, states and results."""
    frame = MANY if "many" in AGGREGATORS[name].columns else FRAME
    product = Product({"state": AGGREGATORS[name]}).bind(frame.schema)
    states = product.fold(frame, BY).sort(BY)
    return {
        "declaration": product.declare()["state"],
        "states": [_written(state) for state in states["state"]],
        "results": [_shown(result) for result in product.present(states)["state"]],
    }


def _written(state):
    return state.hex() if isinstance(state, bytes) else state


def _shown(result):
    return f"{result:.9g}" if isinstance(result, float) else str(result)


def _read(states, dtype):
    cells = [bytes.fromhex(state) if isinstance(state, str) else state for state in states]
    return pl.Series(cells, dtype=dtype)


@pytest.mark.parametrize("name", AGGREGATORS)
def test_states_are_written_as_ever(name):
    assert golden(name) == GOLDEN[name]


@pytest.mark.parametrize("name", GOLDEN)
def test_states_are_read_as_ever(name):
    entry = GOLDEN[name]
    restored = Product.restore({"state": entry["declaration"]})
    states = _read(entry["states"], restored.states["state"])
    partials = pl.DataFrame({"group": range(len(states)), "state": states})
    both = restored.plus([partials, partials.with_columns(state=pl.lit(None, states.dtype))], BY)
    assert both.sort(BY)["state"].equals(states)
    assert [_shown(result) for result in restored.present(partials)["state"]] == entry["results"]

"""The contract of a store's backend, for its author to run with pytest.

Make a class whose name begins with ``Test``, with a fixture that gives an empty store's backend::

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def backend(self, tmp_path):
            return MyBackend(tmp_path / "store")
"""

# ruff: noqa: S101, PLR2004, D102 - these are tests, and their names say what they test

import pickle
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
import pytest

from ..monoids import Count, HyperLogLog, Product, Sum
from .backend import Backend, ShardWrite
from .errors import GenerationDropped, GenerationRetired, StoreError
from .generation import Generation
from .segments import SegmentId
from .store import MergeableStore

MINUTE = 60_000_000
LARGE = 2**100

Cell = tuple[int, str, int | None, int | None, bytes | None]
"""Window, key, and three states: ``n``, ``total`` and ``users``."""


def declaration(job: str = "clicks", fingerprint: str = "c0ffee") -> dict[str, Any]:
    """Declare a job with states of each dtype: ``n: Int64, total: Int128, users: Binary``."""
    columns = {"price": pl.Int64(), "user": pl.String()}
    total, users = Sum("price", dtype=pl.Int128()), HyperLogLog("user", lg_k=8)
    product = Product({"n": Count(), "total": total, "users": users})
    return {
        "layout": 1,
        "job": job,
        "fingerprint": fingerprint,
        "window_us": MINUTE,
        "keys": {"publisher": "String"},
        "aggregates": product.bind(columns).declare(),
    }


def generation(job: str = "clicks", revision: int = 0) -> Generation:
    """Make a generation that no store has yet."""
    return Generation.declared(declaration(job), revision)


def fold(beacons: Iterable[tuple[str, int, int, str]]) -> pl.DataFrame:
    """Fold beacons, each a publisher, a minute, a price and a user, into partials."""
    frame = pl.DataFrame(
        list(beacons),
        {"publisher": pl.String, "minute": pl.Int64, "price": pl.Int64, "user": pl.String},
        orient="row",
    ).with_columns(window=(pl.col("minute") * MINUTE).cast(pl.Datetime("us", "UTC")))
    return generation().product.fold(frame, ["publisher", "window"])


def rows(cells: Sequence[Cell], updated_at: int = 1) -> pl.DataFrame:
    """Make the rows of a write."""
    schema = {"window": pl.Int64, "key": pl.String, "n": pl.Int64, "total": pl.Int128}
    frame = pl.DataFrame(cells, {**schema, "users": pl.Binary}, orient="row")
    return frame.with_columns(updated_at=pl.lit(updated_at, dtype=pl.Int64))


def wanted(shard: int, cells: Sequence[Cell]) -> pl.DataFrame:
    """Name the cells to read."""
    schema = {"shard": pl.Int64, "window": pl.Int64, "key": pl.String}
    return pl.DataFrame([(shard, cell[0], cell[1]) for cell in cells], schema, orient="row")


def held(backend: Backend, where: Generation, **bounds: Any) -> list[Cell]:
    """Scan a generation's cells, sorted."""
    return sorted(
        cell
        for batch in backend.scan(where, **bounds)
        for cell in batch.select("window", "key", "n", "total", "users").rows()
    )


def write(
    backend: Backend, where: Generation, shard: int, cells: Sequence[Cell], ledger: bytes = b"{}"
) -> bool:
    """Write cells at the shard's present version."""
    heads, _ = backend.read(where, [shard], wanted(shard, []))
    return backend.commit(where, [ShardWrite(shard, heads[shard].version, ledger, rows(cells))])[0]


CELLS: list[Cell] = [
    (0, "p1", 1, 2, b"\x01"),
    (-MINUTE, "", 0, -LARGE, b""),
    (2**62, "tab\\tslash\\\\null\\Nü\U0001f600", 2**63 - 1, LARGE, b"\x00\xff'\""),
    (-(2**62), "P1", -(2**63), 2**63, bytes(5000)),
    (MINUTE, "nothing", None, None, None),
    (2 * MINUTE, "p1", 7, -(2**63) - 1, None),
]


class BackendContract:
    """What every `Backend` must do; subclasses give the fixture ``backend``."""

    def test_another_handle_is_the_same_store(self, backend: Backend) -> None:
        backend.register(generation())
        other = pickle.loads(pickle.dumps(backend))  # noqa: S301 - made on the line itself
        other.check()
        assert (other.id, other.shards, other.url) == (backend.id, backend.shards, backend.url)
        assert write(backend, generation(), 0, CELLS)
        assert held(other, generation()) == sorted(CELLS)
        other.close()
        other.check()

    def test_a_generation_is_registered_once(self, backend: Backend) -> None:
        first = backend.register(generation())
        assert (first.id, first.state) == (generation().id, "live")
        assert list(first.declaration["aggregates"]) == ["n", "total", "users"]
        assert first.declaration == generation().declaration
        write(backend, first, 0, CELLS)
        assert backend.register(generation()).state == "live"
        assert held(backend, first) == sorted(CELLS)
        assert backend.register(generation(revision=1)).state == "building"
        assert backend.register(generation("views")).state == "live"
        known = [(each.id, each.state) for each in backend.generations()]
        assert known == [
            (generation().id, "live"),
            (generation(revision=1).id, "building"),
            (generation("views").id, "live"),
        ]

    def test_an_unregistered_generation_is_an_error(self, backend: Backend) -> None:
        with pytest.raises(StoreError, match="not registered"):
            backend.read(generation(), [0], wanted(0, []))

    def test_readers_are_switched(self, backend: Backend) -> None:
        old, new = (backend.register(generation(revision=each)) for each in (0, 1))
        assert backend.live("views") is None
        assert backend.live("clicks") == old
        backend.switch(new)
        live = backend.live("clicks")
        assert live == new
        assert live is not None
        assert live.state == "live"
        heads, _ = backend.read(new, [3], wanted(3, []))
        assert heads[3].state == "live"
        backend.switch(old)
        assert backend.live("clicks") == old

    def test_new_shards_are_empty(self, backend: Backend) -> None:
        backend.register(generation())
        heads, found = backend.read(generation(), range(backend.shards), wanted(0, CELLS))
        assert set(heads) == set(range(backend.shards))
        assert {tuple(head) for head in heads.values()} == {(0, "live", b"")}
        states = generation().states
        assert dict(found.schema) == {**wanted(0, []).schema, **states}
        assert found.height == 0
        assert held(backend, generation()) == []

    def test_cells_come_back_as_they_were_written(self, backend: Backend) -> None:
        backend.register(generation())
        assert write(backend, generation(), 5, CELLS, b'{"a": 1}\x00')
        absent: Cell = (0, "p2", None, None, None)
        heads, found = backend.read(generation(), [5], wanted(5, [*CELLS, absent]))
        assert heads == {5: (1, "live", b'{"a": 1}\x00')}
        assert found["shard"].unique().to_list() == [5]
        assert sorted(found.drop("shard").rows()) == sorted(CELLS)
        (batch,) = backend.scan(generation(), shards=[5])
        assert batch.schema == rows([]).schema
        assert batch["updated_at"].to_list() == [1] * len(CELLS)

    def test_rows_take_the_place_of_older_ones(self, backend: Backend) -> None:
        backend.register(generation())
        write(backend, generation(), 0, CELLS)
        changed: list[Cell] = [(*CELLS[0][:2], 5, None, b"\x02"), (0, "new", 1, 1, b"\x03")]
        write(backend, generation(), 0, changed)
        assert held(backend, generation()) == sorted([*changed, *CELLS[1:]])

    def test_rows_are_removed(self, backend: Backend) -> None:
        backend.register(generation())
        write(backend, generation(), 0, CELLS)
        gone = wanted(0, [*CELLS[:2], (0, "never there", None, None, None)]).drop("shard")
        assert backend.commit(generation(), [ShardWrite(0, 1, b"", rows([]), gone)]) == [True]
        assert held(backend, generation()) == sorted(CELLS[2:])

    def test_a_stale_write_changes_nothing(self, backend: Backend) -> None:
        backend.register(generation())
        write(backend, generation(), 0, CELLS[:1], b"first")
        stale = ShardWrite(0, 0, b"stale", rows(CELLS), wanted(0, CELLS[:1]).drop("shard"))
        fresh = ShardWrite(1, 0, b"fresh", rows(CELLS[1:2]))
        assert backend.commit(generation(), [stale, fresh]) == [False, True]
        heads, _ = backend.read(generation(), [0, 1, 2], wanted(0, []))
        assert {s: (h.version, h.ledger) for s, h in heads.items()} == {
            0: (1, b"first"),
            1: (1, b"fresh"),
            2: (0, b""),
        }
        assert held(backend, generation()) == sorted(CELLS[:2])

    def test_a_ledger_can_change_alone(self, backend: Backend) -> None:
        backend.register(generation())
        assert backend.commit(generation(), []) == []
        assert write(backend, generation(), 0, [], b"one")
        assert not backend.commit(generation(), [ShardWrite(0, 0, b"two", rows([]))])[0]

    def test_scans_keep_to_their_bounds(self, backend: Backend) -> None:
        backend.register(generation())
        for shard in (0, 1):
            write(backend, generation(), shard, CELLS)
        assert held(backend, generation(), shards=[1]) == sorted(CELLS)
        assert held(backend, generation(), shards=[2]) == []
        assert len(held(backend, generation())) == 2 * len(CELLS)
        inside = held(backend, generation(), since=-MINUTE, until=MINUTE, shards=[0])
        assert inside == sorted(CELLS[:2])
        assert held(backend, generation(), key="p1", shards=[0]) == [CELLS[0], CELLS[5]]
        assert held(backend, generation(), key="p1", until=MINUTE, shards=[0, 1]) == [CELLS[0]] * 2

    def test_an_unfinished_scan_holds_nobody_up(self, backend: Backend) -> None:
        backend.register(generation())
        write(backend, generation(), 0, CELLS)
        scan = backend.scan(generation())
        next(scan)
        assert write(backend, generation(), 0, CELLS[:1])
        scan.close()  # type: ignore[attr-defined]

    def test_retired_states_can_be_read(self, backend: Backend) -> None:
        old, new = (backend.register(generation(revision=each)) for each in (0, 1))
        write(backend, old, 0, CELLS)
        with pytest.raises(StoreError, match="switch"):
            backend.close_generation(old, "retired")
        backend.switch(new)
        for _ in range(2):
            backend.close_generation(old, "retired")
        heads, _ = backend.read(old, [0, 1], wanted(0, []))
        assert [heads[0].state, heads[1].state] == ["retired", "retired"]
        assert (heads[0].version, heads[1].version) > (1, 0), "who read before must conflict"
        assert held(backend, old) == sorted(CELLS)
        with pytest.raises(GenerationRetired):
            backend.switch(old)

    def test_dropped_states_are_gone_for_good(self, backend: Backend) -> None:
        old, new = (backend.register(generation(revision=each)) for each in (0, 1))
        write(backend, old, 0, CELLS)
        write(backend, new, 0, CELLS[:1])
        backend.put_document(old, "poison", "a", b"1")
        with pytest.raises(StoreError, match="switch"):
            backend.close_generation(old, "dropped")
        backend.switch(new)
        for _ in range(2):
            backend.close_generation(old, "dropped")
        heads, found = backend.read(old, range(backend.shards), wanted(0, CELLS))
        assert {(head.state, head.ledger) for head in heads.values()} == {("dropped", b"")}
        assert heads[0].version > 1
        assert found.height == 0
        assert list(backend.documents(old, "poison")) == []
        assert backend.register(generation()).state == "dropped"
        assert held(backend, new) == CELLS[:1]
        for attempt in (
            lambda: list(backend.scan(old)),
            lambda: backend.switch(old),
            lambda: backend.close_generation(old, "retired"),
            lambda: backend.put_document(old, "poison", "a", b"1"),
        ):
            with pytest.raises(GenerationDropped):
                attempt()

    def test_a_paused_writer_cannot_write_to_what_was_dropped(self, backend: Backend) -> None:
        old, new = (backend.register(generation(revision=each)) for each in (0, 1))
        heads, _ = backend.read(old, [0], wanted(0, []))
        backend.switch(new)
        backend.close_generation(old, "dropped")
        late = ShardWrite(0, heads[0].version, b"{}", rows(CELLS))
        assert backend.commit(old, [late]) == [False]

    def test_documents_are_kept_by_generation_kind_and_name(self, backend: Backend) -> None:
        one, two = (backend.register(generation(revision=each)) for each in (0, 1))
        for value in (b"old", b"\x00new"):
            backend.put_document(one, "quarantine", "a/b/1/2", value)
        backend.put_document(one, "quarantine", "a/b/1/1", b"")
        backend.put_document(one, "poison", "a/b/1/2", b"p")
        expected = [("a/b/1/1", b""), ("a/b/1/2", b"\x00new")]
        assert list(backend.documents(one, "quarantine")) == expected
        assert list(backend.documents(one, "quarantine", "a/b/1/2")) == expected[1:]
        assert list(backend.documents(one, "quarantine", "none")) == []
        assert list(backend.documents(two, "quarantine")) == []
        for _ in range(2):
            backend.delete_document(one, "quarantine", "a/b/1/2")
        assert list(backend.documents(one, "quarantine")) == expected[:1]
        assert list(backend.documents(one, "poison")) == [("a/b/1/2", b"p")]

    def test_threads_lose_nothing(self, backend: Backend) -> None:
        where = backend.register(generation())
        partials = fold((f"p{number}", 0, 1, "u") for number in range(20))
        failures: list[BaseException] = []

        def merge(thread: int) -> None:
            try:
                store = MergeableStore(pickle.loads(pickle.dumps(backend)))  # noqa: S301
                for number in range(5):
                    segment = SegmentId("a", "p", 1, number)
                    store.apply(where, [segment], partials)
                    store.merge(where, partials.filter(pl.col("publisher") == f"p{thread}"))
            except BaseException as failure:  # noqa: BLE001 - shown by the test
                failures.append(failure)

        threads = [threading.Thread(target=merge, args=(each,)) for each in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        counts = {cell[1]: cell[2] for cell in held(backend, where)}
        assert counts == {f"p{each}": 10 if each < 4 else 5 for each in range(20)}

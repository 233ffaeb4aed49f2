"""What every backend must do."""

# ruff: noqa: S101, PLR2004, D102 - these are tests, and their names say what they test

import pickle
import threading
from collections.abc import Callable
from itertools import count, cycle
from random import Random

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ..backend import Backend, ShardWrite
from ..errors import GenerationDropped, GenerationRetired, StoreError
from ..generation import Generation
from ..segments import SegmentId
from ..store import MergeableStore
from .beacons import MINUTE, declaration, fold, generation
from .cells import CELLS, LARGE, Cell, held, rows, version, wanted, write
from .exactly_once import check_segments, check_tokens

NAMES = [
    *("place", "row", "rowid", "text", "run", "value", "number", "found", "s", "w", "k"),
    *("wanted", "kept", "gone", "sent", "excluded", "written"),
]
"""What a backend may call its own things: a state may be called so too."""

STATES = {pl.Int64(): "n", pl.Int128(): "total", pl.Binary(): "users"}


def named(names: list[str]) -> Generation:
    """Make a generation whose states have these names, and dtypes in turn."""
    given = cycle(generation().declaration["aggregates"].values())
    aggregates = dict(zip(names, given, strict=False))
    return Generation.declared({**declaration("names"), "aggregates": aggregates})


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
        assert write(backend, generation(), 3, CELLS, b'{"a": 1}\x00')
        absent: Cell = (0, "p2", None, None, None)
        heads, found = backend.read(generation(), [3], wanted(3, [*CELLS, absent]))
        assert heads == {3: (heads[3].version, "live", b'{"a": 1}\x00')}
        assert heads[3].version > 0
        assert found["shard"].unique().to_list() == [3]
        assert sorted(found.drop("shard").rows()) == sorted(CELLS)
        (batch,) = backend.scan(generation(), shards=[3])
        assert batch.schema == rows([]).schema
        assert batch["updated_at"].to_list() == [1] * len(CELLS)

    def test_rows_take_the_place_of_older_ones(self, backend: Backend) -> None:
        backend.register(generation())
        write(backend, generation(), 0, CELLS)
        changed: list[Cell] = [(*CELLS[0][:2], 5, None, b"\x02"), (0, "new", 1, 1, b"\x03")]
        write(backend, generation(), 0, changed)
        assert held(backend, generation()) == sorted([*changed, *CELLS[1:]])

    def test_keys_may_be_long(self, backend: Backend) -> None:
        backend.register(generation())
        draw = Random(1)  # noqa: S311 - no secret
        long = "".join(chr(draw.randrange(0x10000, 0x11000)) for _ in range(1000))  # 4 kB, dense
        cells: list[Cell] = [
            (MINUTE, key, number, number, b"%d" % number)
            for number, key in enumerate([long, long[:-1] + "a", long[:-1] + "\\x", long[:400]])
        ]
        for _ in range(2):
            assert write(backend, generation(), 0, cells)
        _, found = backend.read(generation(), [0], wanted(0, cells))
        assert sorted(found.drop("shard").rows()) == sorted(cells)
        assert held(backend, generation(), key=long) == cells[:1]
        gone = wanted(0, cells[:1]).drop("shard")
        removal = ShardWrite(0, version(backend, generation(), 0), b"", rows([]), gone)
        assert backend.commit(generation(), [removal]) == [True]
        assert held(backend, generation()) == sorted(cells[1:])

    @pytest.mark.parametrize("turn", range(3))
    def test_states_may_have_any_name(self, backend: Backend, turn: int) -> None:
        where = backend.register(named(NAMES[turn:] + NAMES[:turn]))
        frame = rows(CELLS)
        frame = frame.select(
            "window",
            "key",
            *(pl.col(STATES[dtype]).alias(name) for name, dtype in where.states.items()),
            "updated_at",
        )
        cells = wanted(0, CELLS)
        for _ in range(2):
            assert backend.commit(where, [ShardWrite(0, version(backend, where, 0), b"", frame)])[0]
        heads, found = backend.read(where, [0], cells)
        scanned = pl.concat(list(backend.scan(where, shards=[0])))
        for each in (found.drop("shard"), scanned.drop("updated_at")):
            assert_frame_equal(each, frame.drop("updated_at"), check_row_order=False)
        gone = cells.drop("shard")[1:]
        backend.commit(where, [ShardWrite(0, heads[0].version, b"", frame.clear(), gone)])
        _, found = backend.read(where, [0], cells)
        assert_frame_equal(found.drop("shard"), frame[:1].drop("updated_at"))

    def test_rows_are_removed(self, backend: Backend) -> None:
        backend.register(generation())
        write(backend, generation(), 0, CELLS)
        gone = wanted(0, [*CELLS[:2], (0, "never there", None, None, None)]).drop("shard")
        removal = ShardWrite(0, version(backend, generation(), 0), b"", rows([]), gone)
        assert backend.commit(generation(), [removal]) == [True]
        assert held(backend, generation()) == sorted(CELLS[2:])

    def test_a_stale_write_changes_nothing(self, backend: Backend) -> None:
        backend.register(generation())
        write(backend, generation(), 0, CELLS[:1], b"first")
        stale = ShardWrite(0, 0, b"stale", rows(CELLS), wanted(0, CELLS[:1]).drop("shard"))
        fresh = ShardWrite(1, 0, b"fresh", rows(CELLS[1:2]))
        assert backend.commit(generation(), [stale, fresh]) == [False, True]
        heads, _ = backend.read(generation(), [0, 1, 2], wanted(0, []))
        assert {s: (h.version > 0, h.ledger) for s, h in heads.items()} == {
            0: (True, b"first"),
            1: (True, b"fresh"),
            2: (False, b""),
        }
        assert held(backend, generation()) == sorted(CELLS[:2])

    def test_a_ledger_can_change_alone(self, backend: Backend) -> None:
        backend.register(generation())
        assert backend.commit(generation(), []) == []
        assert write(backend, generation(), 0, [], b"one")
        first = version(backend, generation(), 0)
        assert not backend.commit(generation(), [ShardWrite(0, 0, b"two", rows([]))])[0]
        assert write(backend, generation(), 0, [], b"two")
        assert version(backend, generation(), 0) > first > 0

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
        before = version(backend, old, 0)
        with pytest.raises(StoreError, match="switch"):
            backend.close_generation(old, "retired")
        backend.switch(new)
        for _ in range(2):
            backend.close_generation(old, "retired")
        heads, _ = backend.read(old, [0, 1], wanted(0, []))
        assert [heads[0].state, heads[1].state] == ["retired", "retired"]
        assert heads[0].version > before, "who read before must conflict"
        assert heads[1].version > 0
        assert held(backend, old) == sorted(CELLS)
        with pytest.raises(GenerationRetired):
            backend.switch(old)

    def test_dropped_states_are_gone_for_good(self, backend: Backend) -> None:
        old, new = (backend.register(generation(revision=each)) for each in (0, 1))
        write(backend, old, 0, CELLS)
        write(backend, new, 0, CELLS[:1])
        before = version(backend, old, 0)
        backend.put_document(old, "poison", "a", b"1")
        with pytest.raises(StoreError, match="switch"):
            backend.close_generation(old, "dropped")
        backend.switch(new)
        for _ in range(2):
            backend.close_generation(old, "dropped")
        heads, found = backend.read(old, range(backend.shards), wanted(0, CELLS))
        assert {(head.state, head.ledger) for head in heads.values()} == {("dropped", b"")}
        assert heads[0].version > before
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

    # Beyond single steps

    examples = 10
    """Of histories drawn by Hypothesis; raise it for a thorough look."""

    shrink = False
    """Look for the shortest history that fails: takes minutes on a slow store."""

    @pytest.fixture
    def fresh(self, backend: Backend) -> Callable[[], tuple[Backend, str]]:
        """Give a store and a job that is new in it, for each history anew.

        By default that is the store of the fixture ``backend``, under a new name each time.
        """
        numbers = count()
        return lambda: (backend, f"history-{next(numbers)}")

    def test_any_history_of_segments_ends_like_one_clean_merge(
        self, fresh: Callable[[], tuple[Backend, str]]
    ) -> None:
        check_segments(fresh, examples=self.examples, shrink=self.shrink)

    def test_any_history_of_tokens_merges_each_once(
        self, fresh: Callable[[], tuple[Backend, str]]
    ) -> None:
        check_tokens(fresh, examples=self.examples, shrink=self.shrink)

    def test_it_can_be_used_again_after_it_was_closed(self, backend: Backend) -> None:
        where = backend.register(generation())
        for number in range(2):
            backend.close()
            backend.close()
            assert write(backend, where, 0, CELLS[number : number + 1])
            backend.close()
            assert held(backend, where) == sorted(CELLS[: number + 1])
        backend.check()
        assert backend.live("clicks") == where

    def test_large_commits_are_whole(self, backend: Backend) -> None:
        where = backend.register(generation())
        cells: list[Cell] = [
            (MINUTE * (number % 3), f"p{number}", number, LARGE + number, b"\x01" * (number % 50))
            for number in range(20_000)
        ]
        assert write(backend, where, 1, cells)
        changed: list[Cell] = [(*cell[:2], 0, None, b"") for cell in cells]
        stale = ShardWrite(1, 0, b"", rows(changed), wanted(1, cells).drop("shard"))
        assert backend.commit(where, [stale]) == [False]
        _, found = backend.read(where, [1], wanted(1, cells))
        assert sorted(found.drop("shard").rows()) == sorted(cells)
        assert held(backend, where) == sorted(cells)
        gone = wanted(1, cells[5:]).drop("shard")
        fresh = ShardWrite(1, version(backend, where, 1), b"", rows(changed[:3]), gone)
        assert backend.commit(where, [fresh]) == [True]
        assert held(backend, where) == sorted([*changed[:3], *cells[3:5]])

    def test_a_scan_sees_each_row_once_while_others_write(self, backend: Backend) -> None:
        where = backend.register(generation())

        def cells(number: int, keys: str) -> list[Cell]:
            return [(0, f"{keys}{each}", number, number, b"%d" % number) for each in range(300)]

        for shard in range(3):
            write(backend, where, shard, cells(0, f"stays {shard} "))
            write(backend, where, shard, cells(0, f"changes {shard} "))
        over, failures = threading.Event(), []

        def disturb() -> None:
            try:
                number = 0
                other = pickle.loads(pickle.dumps(backend))  # noqa: S301
                while not over.is_set():
                    number += 1
                    for shard in range(3):
                        write(other, where, shard, cells(number, f"changes {shard} "))
                        write(other, where, shard, cells(number, f"{number} comes {shard} ")[:20])
                other.close()
            except BaseException as failure:  # noqa: BLE001 - shown by the test
                failures.append(failure)

        writer = threading.Thread(target=disturb)
        writer.start()
        try:
            for _ in range(5):
                found = held(backend, where)
                assert len({cell[:2] for cell in found}) == len(found), "a row came twice"
                for _, key, n, total, users in found:
                    assert (n, str(n).encode()) == (total, users), f"{key} is of two versions"
                kept = [cell for cell in found if cell[1].startswith("stays")]
                assert {cell[2] for cell in kept} == {0}
                assert len(kept) == 900
                assert sum(cell[1].startswith("changes") for cell in found) == 900
        finally:
            over.set()
            writer.join()
        assert failures == []

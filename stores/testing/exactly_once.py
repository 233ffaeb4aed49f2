"""Random histories of merges, and what they must end like: one clean merge, to the byte.

Hypothesis draws the histories; install it to use these.
"""

# ruff: noqa: S101, S301, PLC0415 - tests; pickled on the line itself; only they need Hypothesis

import pickle
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from ...monoids import Sum
from ..backend import Backend
from ..clock import ManualClock
from ..errors import CommitUncertain, StoreUnavailable
from ..keyed import ValueStore
from ..memory import MemoryBackend
from ..segment_merge import Applied
from ..segments import Seal, SegmentId
from ..store import MergeableStore
from .beacons import declaration, fold
from .drawing import drawing
from .faults import CrashError, Fault, FaultyBackend

if TYPE_CHECKING:
    from hypothesis.stateful import RuleBasedStateMachine

EPOCHS = {("a", "p", 1): 3, ("a", "p", 2): 2, ("b", "q", 1): 3}
SEGMENTS = [SegmentId(*epoch, n) for epoch, length in EPOCHS.items() for n in range(length)]
SEALS = [Seal(*epoch, length) for epoch, length in EPOCHS.items()]

Fresh = Callable[[], tuple[Backend, str]]
"""Gives a store's backend, and the name of a job that it does not hold yet."""


def check_segments(
    fresh: Fresh, *, examples: int = 10, steps: int = 10, shrink: bool = False
) -> None:
    """Check that segments are merged exactly once, whatever happens.

    In each history segments are applied, repeated and mixed; rivals merge between a read and its
    commit; commits crash in the middle, lose their connection, land late or not at all; the store
    is opened again. Each step is compared with a model, and at the end, when all was applied, the
    states and the ledger are those of one clean merge into a store in memory.

    Parameters
    ----------
    fresh
        Called once for each history.
    examples, steps
        Number of histories, and the most steps of each.
    shrink
        Look for the shortest history that fails: takes minutes on a slow store.

    Examples
    --------
    >>> check_segments(lambda: (MemoryBackend(shards=4), "clicks"), examples=3)
    """
    from hypothesis import settings
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        _machine(fresh),
        settings=settings(drawing(examples, shrink=shrink), stateful_step_count=steps),
    )


def check_tokens(fresh: Fresh, *, examples: int = 10, shrink: bool = False) -> None:
    """Check that a merge with a token is made exactly once, whatever happens.

    Parameters
    ----------
    fresh
        Called once for each history.
    examples
        Number of histories.
    shrink
        Look for the shortest history that fails: takes minutes on a slow store.

    Examples
    --------
    >>> check_tokens(lambda: (MemoryBackend(shards=4), "clicks"), examples=3)
    """
    from hypothesis import given
    from hypothesis import strategies as st

    landing = st.sampled_from(["before", "between", "later"])
    uncertain = st.builds(Fault, commits=st.integers(0, 2), late=st.integers(0, 2), landing=landing)
    harmless = st.just(Fault(StoreUnavailable))
    crash = st.builds(Fault, st.just(CrashError), st.integers(0, 2))
    merges = st.dictionaries(st.sampled_from("abc"), st.integers(-9, 9), min_size=1)
    tokens = st.sampled_from(["1", "2", "\t\\"])
    rivals = st.sampled_from([None, "merge", "delete"])
    history = st.lists(
        st.tuples(merges, tokens, st.none() | uncertain | harmless | crash, rivals),
        max_size=8,
    )

    @drawing(examples, shrink=shrink)
    @given(history)
    def once(history: list[tuple[dict[str, int], str, Fault | None, str | None]]) -> None:
        backend, name = fresh()
        real = ValueStore(backend, name, Sum(dtype=pl.Int64()))
        model: dict[str, int] = {}
        answers: dict[tuple[str, str], int | None] = {}
        for values, token, fault, rival in history:
            faulty = FaultyBackend(pickle.loads(pickle.dumps(backend)))
            store = _keyed(faulty, name)
            faulty.fault = fault
            # A rival comes in between: the merge of "a" must start anew, with what it then finds.
            if rival == "merge":
                faulty.between = lambda: real.merge("a", 1)
                model["a"] = model.get("a", 0) + 1
            elif rival == "delete":
                faulty.between = lambda: real.put("a", None)
                model.pop("a", None)
            for key, value in values.items():
                if (key, token) not in answers:
                    answers[key, token] = model.get(key)
                    model[key] = model.get(key, 0) + value
            given_back = _insist(store, values, token)
            assert given_back == {key: answers[key, token] for key in values}
            assert not any(faulty.land())
            store.close()
        assert real.multi_get("abc") == {key: model.get(key) for key in "abc"}

    once()


def _keyed(backend: FaultyBackend, name: str) -> ValueStore:
    value = Sum(dtype=pl.Int64())
    return ValueStore(cast("Backend", backend), name, value, clock=ManualClock())


def _insist(store: ValueStore, values: dict[str, int], token: str) -> dict[str, int | None]:
    """Merge until it is done; each fault befalls one commit."""
    while True:
        try:
            return store.multi_merge(values, once=token)
        except (CrashError, StoreUnavailable):
            continue


def _machine(fresh: Fresh) -> "type[RuleBasedStateMachine]":  # noqa: C901 - a rule for each event
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

    some = st.sets(st.sampled_from(SEGMENTS), min_size=1)
    seals = st.sets(st.sampled_from(SEALS))
    commits = st.integers(0, 5)
    beacon = st.tuples(
        st.sampled_from(["p1", "p2", "p3", "p4", "p5", "p6", "\t"]),
        st.integers(-1, 1),
        st.none() | st.sampled_from([0, 1, -3, 2**62, -(2**63)]),
        st.none() | st.sampled_from(["", "ann", "bob", "cid"]),
    )

    class Stores(RuleBasedStateMachine):  # type: ignore[misc, unused-ignore]
        """A store under attack; the model is the set of segments that each shard has merged."""

        store: MergeableStore

        @initialize(
            beacons=st.fixed_dictionaries(dict.fromkeys(SEGMENTS, st.lists(beacon, max_size=6)))
        )
        def begin(self, beacons: dict[SegmentId, list[tuple[str, int, int, str]]]) -> None:
            self.real, name = fresh()
            self.beacons = beacons
            self.where = MergeableStore(self.real).register(declaration(name))
            self.model: dict[int, set[SegmentId]] = {s: set() for s in range(self.real.shards)}
            self.store = self.opened()

        @rule()
        def open_again(self) -> None:
            self.store.close()
            self.store = self.opened()

        @rule(segments=some, some_seals=seals)
        def apply(self, segments: set[SegmentId], some_seals: set[Seal]) -> None:
            self.expect(self.store, segments, some_seals)

        @rule(segments=some)
        def apply_and_fold_again_what_is_missing(self, segments: set[SegmentId]) -> None:
            self.finish(segments)

        @rule(segments=some, rival=some, modulus=st.integers(1, 5))
        def apply_with_a_rival_between_read_and_commit(
            self, segments: set[SegmentId], rival: set[SegmentId], modulus: int
        ) -> None:
            other = MergeableStore(self.real, ManualClock())
            shards = range(0, self.real.shards, modulus)
            self.faulty.between = lambda: self.expect(other, rival, (), shards)
            self.expect(self.store, segments, ())

        @rule(segments=some, commits=commits)
        def crash_between_two_commits(self, segments: set[SegmentId], commits: int) -> None:
            self.faulty.fault = Fault(CrashError, commits)
            try:
                self.store.apply(self.where, segments, self.of(segments))
            except CrashError:
                self.model = self.merged()
            self.faulty.fault = None
            self.open_again()

        @rule(segments=some)
        def find_the_store_gone(self, segments: set[SegmentId]) -> None:
            self.faulty.fault = Fault(StoreUnavailable)
            try:
                self.store.apply(self.where, segments, self.of(segments))
            except StoreUnavailable:
                assert self.merged() == self.model
            self.faulty.fault = None

        @rule(
            segments=some,
            commits=commits,
            late=commits,
            landing=st.sampled_from(["before", "between", "later"]),
        )
        def lose_the_answer_to_a_commit(
            self, segments: set[SegmentId], commits: int, late: int, landing: Any
        ) -> None:
            self.faulty.fault = Fault(CommitUncertain, commits, late, landing)
            applied = self.store.apply(self.where, segments, self.of(segments))
            self.faulty.fault = None
            for shard, merged in self.model.items():
                whole = not segments & merged or segments <= merged
                assert applied.missing.get(shard, set()) == (set() if whole else segments - merged)
                if whole:
                    assert shard in applied.merged | applied.known
                    self.model[shard] |= segments
            assert not any(self.faulty.land()), "somebody wrote, so the version has moved on"
            assert self.merged() == self.model

        @rule(some_seals=seals)
        def learn_the_lengths_of_epochs(self, some_seals: set[Seal]) -> None:
            self.store.record_seals(self.where, some_seals)

        def opened(self) -> MergeableStore:
            self.faulty = FaultyBackend(pickle.loads(pickle.dumps(self.real)))
            return MergeableStore(cast("Backend", self.faulty), ManualClock())

        def of(self, segments: Iterable[SegmentId]) -> pl.DataFrame:
            return fold(beacon for segment in segments for beacon in self.beacons[segment])

        def merged(self) -> dict[int, set[SegmentId]]:
            """Ask the shards themselves."""
            ledgers = MergeableStore(self.real).ledgers(self.where)
            return {
                each: set(SEGMENTS) - ledger.missing(SEGMENTS) for each, ledger in ledgers.items()
            }

        def expect(
            self,
            store: MergeableStore,
            segments: set[SegmentId],
            some_seals: Iterable[Seal],
            shards: Iterable[int] | None = None,
        ) -> Applied:
            """Apply, and compare with the model: as it was before, or after the rival's merge."""
            asked = list(self.model if shards is None else shards)
            before = {shard: set(merged) for shard, merged in self.model.items()}
            applied = store.apply(
                self.where, segments, self.of(segments), seals=some_seals, shards=asked
            )
            for shard in asked:
                outcomes = (applied.merged, applied.known, applied.missing)
                assert sum(shard in each for each in outcomes) == 1
                if shard in applied.merged:
                    assert not segments & self.model[shard]
                    self.model[shard] |= segments
                else:
                    found = applied.missing.get(shard, frozenset())
                    assert found in (segments - before[shard], segments - self.model[shard])
                    assert found != segments
            return applied

        def finish(self, segments: set[SegmentId]) -> None:
            """Do what a driver does: fold again, for a shard, what that shard lacks."""
            for shard, lacking in self.expect(self.store, segments, ()).missing.items():
                assert self.expect(self.store, set(lacking), (), [shard]).merged == {shard}

        def teardown(self) -> None:
            if not hasattr(self, "store"):
                return
            self.finish(set(SEGMENTS))
            self.store.record_seals(self.where, SEALS)
            repeated = self.store.apply(self.where, SEGMENTS, self.of(SEGMENTS))
            assert repeated.known == set(self.model)
            clean = MergeableStore(MemoryBackend())
            there = clean.register(declaration())
            clean.apply(there, SEGMENTS, self.of(SEGMENTS), seals=SEALS)
            assert self.store.dump(self.where) == clean.dump(there)
            assert self.store.segments(self.where).encode() == clean.segments(there).encode()
            self.store.close()

    return Stores

"""Random merges, repeats, overlaps, rivals, crashes and re-openings end like one clean merge."""

import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from beaconfold.stores import MergeableStore, Seal, SegmentId, open_store
from beaconfold.stores.testing import declaration, fold

SHARDS = 4
EPOCHS = {("a", "p", 1): 3, ("a", "p", 2): 2, ("b", "q", 1): 3}
SEGMENTS = [SegmentId(*epoch, n) for epoch, length in EPOCHS.items() for n in range(length)]
SEALS = [Seal(*epoch, length) for epoch, length in EPOCHS.items()]

some = st.sets(st.sampled_from(SEGMENTS), min_size=1)
seals = st.sets(st.sampled_from(SEALS))
beacon = st.tuples(
    st.sampled_from(["p1", "p2", "p3", "p4", "p5", "p6", "\t"]),
    st.integers(-1, 1),
    st.none() | st.sampled_from([0, 1, -3, 2**62, -(2**63)]),
    st.none() | st.sampled_from(["", "ann", "bob", "cid"]),
)


class CrashError(Exception):
    """The process ends here."""


class Backend:
    """A backend that lets others in between read and commit, and ends between two commits."""

    def __init__(self, backend):
        self.backend = backend
        self.between = lambda: None
        self.commits = None

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def read(self, *question):
        found = self.backend.read(*question)
        between, self.between = self.between, lambda: None
        between()
        return found

    def commit(self, where, writes):
        if self.commits is None:
            return self.backend.commit(where, writes)
        for write in writes[: self.commits]:
            self.backend.commit(where, [write])
        raise CrashError


class Stores(RuleBasedStateMachine):
    """A store under attack; the model is the set of segments that each shard has merged."""

    scheme = "memory"

    @initialize(
        beacons=st.fixed_dictionaries(dict.fromkeys(SEGMENTS, st.lists(beacon, max_size=6)))
    )
    def begin(self, beacons):
        self.folder = tempfile.mkdtemp()
        url = "memory://" if self.scheme == "memory" else f"sqlite:///{self.folder}/a.db"
        self.keep = open_store(url, shards=SHARDS)
        self.url, self.beacons = self.keep.url, beacons
        self.model = {shard: set() for shard in range(SHARDS)}
        self.where = self.keep.register(declaration())
        self.open_again()

    @rule()
    def open_again(self):
        self.backend = Backend(open_store(self.url).backend)
        self.store = MergeableStore(self.backend, clock=Impatient())

    @rule(segments=some, some_seals=seals)
    def apply(self, segments, some_seals):
        self.expect(self.store, segments, some_seals)

    @rule(segments=some)
    def apply_and_fold_again_what_is_missing(self, segments):
        self.finish(segments)

    @rule(segments=some, rival=some, shards=st.sets(st.integers(0, SHARDS - 1)))
    def apply_with_a_rival_between_read_and_commit(self, segments, rival, shards):
        other = MergeableStore(open_store(self.url).backend, Impatient())
        self.backend.between = lambda: self.expect(other, rival, (), shards)
        self.expect(self.store, segments, ())

    @rule(segments=some, commits=st.integers(0, SHARDS))
    def crash_between_two_commits(self, segments, commits):
        self.backend.commits = commits
        try:
            self.store.apply(self.where, segments, self.of(segments))
        except CrashError:
            for shard, ledger in self.keep.ledgers(self.where).items():
                self.model[shard] = set(SEGMENTS) - ledger.missing(SEGMENTS)
        self.backend.commits = None
        self.open_again()

    @rule(some_seals=seals)
    def learn_the_lengths_of_epochs(self, some_seals):
        self.store.record_seals(self.where, some_seals)

    def of(self, segments):
        return fold(beacon for segment in segments for beacon in self.beacons[segment])

    def expect(self, store, segments, some_seals, shards=None):
        """Apply, and compare with what the model says: before the call, or after the rival's."""
        before = {shard: set(merged) for shard, merged in self.model.items()}
        applied = store.apply(
            self.where, segments, self.of(segments), seals=some_seals, shards=shards
        )
        for shard in range(SHARDS) if shards is None else shards:
            if shard in applied.merged:
                assert not segments & self.model[shard]
                self.model[shard] |= segments
            else:
                found = applied.missing.get(shard, set())
                assert found in (segments - before[shard], segments - self.model[shard])
                assert found != segments
            assert (shard in applied.merged) + (shard in applied.known) + (
                shard in applied.missing
            ) == 1
        return applied

    def finish(self, segments):
        """Do what a driver does: fold again, for a shard, what that shard lacks."""
        for shard, lacking in self.expect(self.store, segments, ()).missing.items():
            assert self.expect(self.store, set(lacking), (), [shard]).merged == {shard}

    def teardown(self):
        if not hasattr(self, "store"):
            return
        self.finish(set(SEGMENTS))
        self.store.record_seals(self.where, SEALS)
        assert self.store.apply(self.where, SEGMENTS, self.of(SEGMENTS)).known == set(range(SHARDS))
        clean = open_store("memory://")
        clean.apply(clean.register(declaration()), SEGMENTS, self.of(SEGMENTS), seals=SEALS)
        assert self.store.dump(self.where) == clean.dump(self.where)
        assert self.store.segments(self.where).encode() == clean.segments(self.where).encode()
        self.store.close()
        self.keep.close()
        shutil.rmtree(self.folder)


class Impatient:
    """A clock that does not wait."""

    def __init__(self):
        self.now = open_store("memory://").clock.now

    def sleep(self, seconds):
        pass


class SQLiteStores(Stores):
    scheme = "sqlite"


TestMemory = Stores.TestCase
TestMemory.settings = settings(max_examples=15, stateful_step_count=12)
TestSQLite = SQLiteStores.TestCase
TestSQLite.settings = settings(max_examples=10, stateful_step_count=12)

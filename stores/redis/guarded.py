"""Optimistic transactions: each watches a key, looks, and writes only if nobody else did."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from redis.connection import Connection
from redis.exceptions import MovedError, RedisError

from ..errors import CommitUncertain, StoreUnavailable
from .errors import LOST, REARRANGED, explained
from .nodes import RedisNodes
from .protocol import EXEC, MULTI, Reply, disconnect, packed, replies, send

UNWATCH = packed("UNWATCH")


class Guarded(NamedTuple):
    """A transaction that holds only if a key stays as it was seen.

    Parameters
    ----------
    tag
        Hash tag of all its keys.
    key
        The key that is watched; every writer changes it.
    questions
        Packed commands that are asked once it is watched.
    decide
        From their replies to the packed commands that shall be executed; none of them where
        there is nothing to do, or None to give up.
    prepare
        Called while the server works for the one before.
    """

    tag: str
    key: str
    questions: Sequence[bytes]
    decide: Callable[[list[Reply]], Sequence[bytes] | None]
    prepare: Callable[[], object] = lambda: None


class _Lane:
    """The transactions of one node, one after the other on one connection.

    A transaction is sent together with the questions of its successor: one round trip each.
    """

    def __init__(self, connection: Connection, todo: Iterator[tuple[int, Guarded]]) -> None:
        self.connection, self.todo = connection, todo
        self.done: dict[int, list[Reply] | None] = {}
        self.next = next(todo, None)
        self.executing: tuple[int, Sequence[bytes]] | None = None
        self.watching = False
        self.uncertain = self.rearranged = False
        self.error: BaseException | None = None
        self.moving: BaseException | None = None

    @property
    def open(self) -> bool:
        return self.error is None and (self.watching or self.next is not None)

    def step(self) -> Iterator[None]:
        """Send, prepare and receive, with a pause for the other lanes after each."""
        try:
            self._send()
            yield
            if self.next is not None:
                self.next[1].prepare()
            yield
            self._receive()
            self.uncertain = False
        except (RedisError, *LOST) as error:
            disconnect(self.connection)
            self.error = error

    def _send(self) -> None:
        request: list[bytes] = []
        if self.executing is not None:
            request += (MULTI, *self.executing[1], EXEC)
            self.uncertain = True
        elif self.watching:
            request.append(UNWATCH)
        if self.next is not None:
            request += (packed("WATCH", self.next[1].key), *self.next[1].questions)
        send(self.connection, b"".join(request))

    def _receive(self) -> None:
        if self.executing is not None:
            number, commands = self.executing
            *queued, result = replies(self.connection, len(commands) + 2)
            self.uncertain = False
            self.done[number] = None
            if isinstance(result, list):
                self.done[number] = result
                self._note(result)
            elif result is not None:
                self._note([*queued, result])
        elif self.watching:
            replies(self.connection, 1)
        self.executing, self.watching = None, False
        if self.next is None:
            return
        (number, guarded), self.next = self.next, None
        watched, *answers = replies(self.connection, len(guarded.questions) + 1)
        self.done[number], self.watching = None, True
        if not self._note([watched, *answers]):
            decided = guarded.decide(answers)
            if decided:
                self.executing = number, decided
            elif decided is not None:
                self.done[number] = []
        self.next = next(self.todo, None)

    def _note(self, answers: Sequence[Reply]) -> bool:
        """Tell whether the server refused, and keep why."""
        for answer in answers:
            if isinstance(answer, RedisError):
                if isinstance(answer, MovedError):
                    self.rearranged = True  # nothing was written: as if somebody had been first
                elif isinstance(answer, REARRANGED):
                    self.moving = answer
                else:
                    self.error = self.error or answer
                return True
        return False


def guarded(nodes: RedisNodes, todo: Sequence[Guarded]) -> list[list[Reply] | None]:
    """Carry out transactions, each on its own, on all nodes of a cluster at once.

    Nothing is ever sent twice: who calls knows what may be repeated.

    Returns
    -------
    list
        For each the replies to its commands, or None if nothing was written because the watched
        key was changed, or `decide` gave up, or the key was moved to another node.

    Raises
    ------
    StoreUnavailable
        If the server cannot be reached or keys are on their way, and nothing was written.
    CommitUncertain
        If it went away, or refused, in the middle: some of it may have been written.
    StoreError
        If the server refuses, and nothing was written.
    """
    shown = nodes.address.shown
    groups = nodes.grouped([each.tag for each in todo])
    with ExitStack() as stack:
        try:
            lanes = [
                _Lane(
                    stack.enter_context(nodes.connection(node)),
                    iter([(each, todo[each]) for each in mine]),
                )
                for node, mine in groups.items()
            ]
        except (RedisError, *LOST) as error:
            nodes.rearranged()
            raise explained(error, shown) from error
        while running := [lane for lane in lanes if lane.open]:
            steps = [lane.step() for lane in running]
            while steps:
                steps = [step for step in steps if next(step, steps) is not steps]
        done = {number: result for lane in lanes for number, result in lane.done.items()}
        _raise(nodes, lanes, written=any(done.values()))
    return [done.get(number) for number in range(len(todo))]


def _raise(nodes: RedisNodes, lanes: Sequence[_Lane], *, written: bool) -> None:
    """Raise what went wrong, if anything did, as what it means for those who wrote."""
    if any(lane.rearranged or lane.moving or lane.error for lane in lanes):
        nodes.rearranged()
    for lane in lanes:
        # A slot that is on its way may take long: where nothing was written at all, say so.
        error = lane.error or (None if written else lane.moving)
        if error is None:
            continue
        failure = explained(error, nodes.address.shown)
        uncertain = written or any(each.uncertain for each in lanes)
        if uncertain:
            middle = "lost" if isinstance(failure, StoreUnavailable) else "refused"
            raise CommitUncertain(f"{failure}: {middle} in the middle of a commit") from error
        raise failure from error

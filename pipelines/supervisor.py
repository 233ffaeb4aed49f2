"""The supervisor: keeps one receiver alive for each source partition, wherever it can."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..stores.clock import Clock, SystemClock
from .archive import Archive, ArchiveChanged
from .published import Tally
from .retry import SchedulerLost
from .sources import SourceUnreadable
from .supervised import Post, Posts, Supervised

MORE: Final = 1.0
"""Seconds, at least, between two looks for what else there is to receive."""

LOOK: Final = 0.1
"""Seconds between two looks at the receivers."""

FINAL: Final = (ArchiveChanged, SourceUnreadable, SchedulerLost)
"""What a successor would only meet again: it ends a receiver for good."""

OFTEN: Final = 3
"""How many more deaths are borne of receivers that do their work, if never for long."""

_SEALED = frozenset({"receiving", "finished", "stopped"})
"""States in which a receiver has sealed its predecessors."""

_log = logging.getLogger(__name__)


class Supervisor:
    """Starts receivers, watches them, and starts a successor for one that is dead.

    Dead is one that failed, that is lost with its worker, that stopped without being asked to, or
    that has not moved for a while. Its successor takes a higher epoch and seals what is before it:
    a receiver that was only taken for dead can do no harm. After a death comes a pause, with full
    jitter; after too many deaths an alarm, and a trial now and then.

    Parameters
    ----------
    posts
        Where receivers can be put to work.
    archive
        Where they publish: to count what those had published that were killed.
    silence
        Seconds without a step after which a receiver hangs.
    restarts, within
        So many deaths within so many seconds are borne, one after the other, of receivers that
        had published nothing; and `OFTEN` times as many of whichever. One more is the alarm.
    again
        Seconds until it is tried again after the alarm.
    first, most
        Bounds of the pause before a restart, in seconds.
    clock
        Tells the time.
    jitter
        Draws a pause between two bounds.
    more
        Called every second or so, it adds what else there is to receive now; with it, the work is
        not done before it is asked to stop.

    Attributes
    ----------
    supervised
        The source partitions, in order of their adding.
    silence
        As given; it may be changed.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from beaconfold.pipelines.receiver_thread import Threads
    >>> from beaconfold.pipelines.sources import open_source
    >>> url, archive = "synthetic://?rate=0&count=1000", Archive.open(mkdtemp())
    >>> (partition,) = open_source(url).partitions()
    >>> name = partition.identity
    >>> here = Threads(url, {name: partition}, archive, age="1s", max_rows=100_000)
    >>> supervisor = Supervisor(here, archive)
    >>> one = supervisor.add(name, finite=partition.finite)
    >>> supervisor.start()
    >>> supervisor.join(), one.status.state, one.progress.rows
    (True, 'finished', 1000)
    >>> supervisor.close()
    """

    def __init__(
        self,
        posts: Posts,
        archive: Archive | None = None,
        *,
        silence: float = 30.0,
        restarts: int = 10,
        within: float = 300.0,
        again: float = 300.0,
        first: float = 0.5,
        most: float = 30.0,
        clock: Clock | None = None,
        jitter: Callable[[float, float], float] = random.uniform,
        more: Callable[[], object] | None = None,
    ) -> None:
        self.supervised: list[Supervised] = []
        self._posts, self._archive = posts, archive
        self.silence = silence
        self._restarts, self._within = restarts, within
        self._again, self._first, self._most = again, first, most
        self._clock, self._jitter = clock or SystemClock(), jitter
        self._more, self._more_at = more, 0.0
        self._wrong: str | None = None
        self._looked = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._ending = self._waiting = False

    @property
    def done(self) -> bool:
        """True once all have come to their end."""
        complete = self._more is None or self._ending
        return complete and all(each.done for each in self.supervised)

    def add(self, name: str, *, finite: bool = False) -> Supervised:
        """Take a source partition into care; the next look starts its receiver."""
        with self._looked:
            new = Supervised(name, finite, Tally(self._archive, name))
            new.ending = self._ending
            new.stopping = self._ending and not (finite and self._waiting)
            self.supervised.append(new)
            return new

    def start(self) -> None:
        """Watch from a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._thread.start()

    def stop(self, *, drain: bool = True, wait_for_the_end: bool = False) -> None:
        """Ask all to come to an end; returns at once.

        Parameters
        ----------
        drain
            Publish what is held.
        wait_for_the_end
            Let those whose sources end come to that end.
        """
        with self._looked:
            self._ending, self._waiting = True, wait_for_the_end
            for each in self.supervised:
                each.ending = True
                if not (wait_for_the_end and each.finite):
                    each.stopping = True
                    if each.post is not None and not each.done:
                        self._ask(each.post, drain=drain)
        self.look()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all have come to their end, for so many seconds at most; tell whether."""
        with self._looked:
            return self._looked.wait_for(lambda: self.done, timeout)

    def close(self) -> None:
        """End the watch; let go of receivers that have not come to an end, without draining."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        with self._looked:
            for each in self.supervised:
                if each.post is not None and not each.done:
                    self._ask(each.post, drain=False)
                    each.post.abandon()

    def restart(self, name: str) -> None:
        """Try one again now that was given up, or waits for its restart.

        Raises
        ------
        KeyError
            There is none of that name.
        """
        with self._looked:
            found = {each.name: each for each in self.supervised}[name]
            found.due = self._clock.monotonic()
            self._forget(found)

    def look(self) -> None:
        """Look at every receiver once, and do what is to be done."""
        with self._looked:
            for each in self.supervised:
                if not each.done:
                    self._look_at(each)
            self._looked.notify_all()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK):
            try:
                self.look()
            except Exception:  # noqa: BLE001 - the watch must go on
                _log.exception("the supervisor failed to look at its receivers")
            self._add_more()

    def _add_more(self) -> None:
        began = self._clock.monotonic()
        if self._more is None or self._ending or began < self._more_at:
            return
        wrong = None
        try:
            self._more()
        except Exception as error:  # noqa: BLE001 - it may be better at the next look
            wrong = str(error)
            if wrong != self._wrong:
                _log.warning("what else there is to receive cannot be told: %s", wrong)
        self._wrong = wrong
        took = self._clock.monotonic() - began
        self._more_at = began + took + max(MORE, 10 * took)  # thousands of files are slow to list

    def _look_at(self, one: Supervised) -> None:
        if one.post is None:
            self._begin(one)
            return
        try:
            progress = one.last = one.post.look()
            one.worker = one.post.worker
        except Exception as error:  # noqa: BLE001 - whatever it is, the receiver is lost by it
            self._died(one, f"{type(error).__name__}: {error}")
            return
        one.state = progress.state
        one.tally.note(progress)
        if one.unsettled and progress.state in _SEALED:
            self._settle(one, progress.epoch)
        if progress.state in {"finished", "fenced"}:
            self._end(one, progress.state)
        elif progress.state == "stopped":
            if one.stopping:
                self._end(one, "stopped")
            else:
                self._died(one, "it stopped without being asked to")
        elif progress.state == "failed":
            self._failed(one, one.post.failure or RuntimeError(progress.error))
        else:
            self._moves(one, progress.steps)

    def _failed(self, one: Supervised, failure: Exception) -> None:
        if isinstance(failure, FINAL) or one.stopping:
            one.failure = failure
            self._end(one, "failed")
        else:
            self._died(one, f"{type(failure).__name__}: {failure}")

    def _moves(self, one: Supervised, steps: int) -> None:
        """See whether one that lives is not silent, and forget its past once it has lived long."""
        now = self._clock.monotonic()
        if steps != one.steps:
            one.steps, one.moved = steps, now
        elif now - one.moved >= self.silence:
            self._died(one, f"it has not moved for {now - one.moved:.0f} s")
            return
        if one.deaths and now - one.started >= self._within:
            self._forget(one)
            one.error = None

    def _begin(self, one: Supervised) -> None:
        now = self._clock.monotonic()
        if one.stopping:
            self._end(one, "stopped")
        elif one.ending and one.trial:
            one.failure = RuntimeError(f"{one.name} is not received any more: {one.error}")
            self._end(one, "given up")
        elif now >= one.due:
            try:
                workers = self._posts.workers()
            except SchedulerLost as lost:
                self._failed(one, lost)
                return
            if not workers:
                one.state = "waiting for a worker"
                return
            at_work = self._at_work()
            last = one.worker
            where = min(workers, key=lambda worker: (worker == last, at_work[worker]))
            one.last, one.steps, one.moved, one.started = None, -1, now, now
            try:
                one.post = self._posts.start(one.name, where)
            except Exception as error:  # noqa: BLE001 - a start that fails is a death like others
                self._died(one, f"{type(error).__name__}: {error}")
                return
            one.worker, one.state = where, "starting"
            if one.error is not None:
                one.restarts += 1
                _log.warning("receiving %s again%s", one.name, f" on {where}" if where else "")

    def _at_work(self) -> Counter[str | None]:
        """Count the receivers on each worker."""
        live = (each for each in self.supervised if each.post is not None and not each.done)
        return Counter(each.worker for each in live)

    def _died(self, one: Supervised, reason: str) -> None:
        now = self._clock.monotonic()
        if one.post is not None:
            self._ask(one.post, drain=False)
            with suppress(Exception):
                one.post.abandon()
            one.post = None
        if one.last is not None and one.last.segments:
            one.in_vain.clear()
        one.last, one.unsettled = None, True
        one.error = reason
        for deaths in (one.deaths, one.in_vain):
            while deaths and deaths[0] <= now - self._within:
                deaths.popleft()
            deaths.append(now)
        too_often = len(one.in_vain) > self._restarts or len(one.deaths) > OFTEN * self._restarts
        if one.stopping:
            _log.warning("the receiver of %s died while it was to stop: %s", one.name, reason)
            self._settle(one, None)
            self._end(one, "lost")
        elif one.trial or too_often:
            one.state, one.trial, one.due = "given up", True, now + self._again
            text = f"{one.name} is not received any more: its receiver has died too often"
            _log.error("%s: %s; trying again in %.0f s", text, reason, self._again)
        else:
            most = min(self._most, self._first * 2.0 ** (len(one.in_vain) - 1))
            one.state, one.due = "restarting", now + self._jitter(0.0, most)
            _log.warning("the receiver of %s died: %s", one.name, reason)

    def _forget(self, one: Supervised) -> None:
        one.deaths.clear()
        one.in_vain.clear()
        one.trial = False

    def _settle(self, one: Supervised, before: int | None) -> None:
        with suppress(OSError, ValueError):  # else with the next look
            one.tally.settle(before)
            one.unsettled = False

    def _end(self, one: Supervised, state: str) -> None:
        one.state, one.done = state, True
        if one.post is not None:
            with suppress(Exception):
                one.post.abandon()

    def _ask(self, post: Post, *, drain: bool) -> None:
        with suppress(Exception):  # whom it does not reach is found to be lost
            post.stop(drain=drain)

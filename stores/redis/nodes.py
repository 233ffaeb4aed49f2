"""Connections to the nodes of a Redis server or cluster, and pipelines of commands to them."""

import os
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from redis.connection import Connection, ConnectionPool
from redis.crc import key_slot
from redis.exceptions import RedisError

from ..errors import StoreError, StoreUnavailable
from .address import RedisAddress
from .errors import LOST, REARRANGED, explained
from .protocol import (
    EXEC,
    MULTI,
    Argument,
    Batch,
    Reply,
    disconnect,
    executed,
    packed,
    refuse,
    replies,
    send,
)

ATTEMPTS, PAUSE = 3, 0.05
"""How often a request is sent, and the seconds in between: servers restart, clusters move slots."""


class Node(NamedTuple):
    """Where a server listens; a stand-alone server is wherever its URL says."""

    host: str = ""
    port: int = 0


class RedisNodes:
    """The nodes behind an address, each with a pool of connections.

    Connections are opened when they are needed; a forked process opens its own.

    Parameters
    ----------
    address
        Where.

    Attributes
    ----------
    seeds
        Nodes of the cluster as it was last seen: any of them knows what it is now.
    """

    def __init__(self, address: RedisAddress) -> None:
        self.address = address
        self.seeds: list[Node] = []
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._pools: dict[Node, ConnectionPool] = {}
        self._slots: list[tuple[range, Node]] = []

    def node(self, tag: str) -> Node:
        """Return the node that serves the keys with a hash tag."""
        if not self.address.cluster:
            return Node()
        slot = key_slot(tag.encode())
        for slots, node in self._slots or self._find_slots():
            if slot in slots:
                return node
        self.rearranged()
        raise StoreUnavailable(f"{self.address.shown}: no node of the cluster serves slot {slot}")

    def all(self) -> list[Node]:
        """Return all nodes that take writes."""
        if not self.address.cluster:
            return [Node()]
        return list(dict.fromkeys(node for _, node in self._find_slots()))

    def rearranged(self) -> None:
        """Find out anew which node serves what, when it is next needed."""
        self._slots = []

    @contextmanager
    def connection(self, node: Node) -> Iterator[Connection]:
        """Lend a connection; after a failure it is closed, as replies may still be under way."""
        pool = self._pool(node)
        connection = pool.get_connection()
        try:
            yield connection
        except BaseException:
            disconnect(connection)
            raise
        finally:
            pool.release(connection)

    def ask(self, node: Node, *command: Argument) -> Reply:
        """Send one harmless command to one node.

        Raises
        ------
        StoreError
            In place of whatever redis-py raises.
        """
        for attempt in range(2):
            try:
                return self._ask(node, packed(*command))
            except LOST as error:
                if attempt:
                    raise explained(error, self.address.shown) from error
            except RedisError as error:
                raise explained(error, self.address.shown) from error
        raise AssertionError

    def run(self, batches: Sequence[Batch]) -> list[list[Reply]]:
        """Carry out batches that do no harm when they are repeated, pipelined to all nodes.

        Returns
        -------
        list of list
            The replies to each batch.

        Raises
        ------
        StoreUnavailable
            If the server cannot be reached, or a cluster is being rearranged.
        StoreError
            If the server refuses.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._run(batches)
            except (*REARRANGED, *LOST) as error:
                self.rearranged()
                if attempt == ATTEMPTS:
                    raise explained(error, self.address.shown) from error
                time.sleep(PAUSE)
            except RedisError as error:
                raise explained(error, self.address.shown) from error
        raise AssertionError

    def close(self) -> None:
        """Close the connections that nobody uses."""
        if self._process == os.getpid():
            with self._lock:
                pools, self._pools = self._pools, {}
            for pool in pools.values():
                pool.disconnect(inuse_connections=False)

    def grouped(self, tags: Sequence[str]) -> Mapping[Node, list[int]]:
        """Part the positions of some tags by node."""
        found: dict[Node, list[int]] = {}
        for number, tag in enumerate(tags):
            found.setdefault(self.node(tag), []).append(number)
        return found

    def _run(self, batches: Sequence[Batch]) -> list[list[Reply]]:
        done: list[list[Reply]] = [[] for _ in batches]
        groups = self.grouped([batch.tag for batch in batches])
        with ExitStack() as stack:
            connections = {node: stack.enter_context(self.connection(node)) for node in groups}
            for node, mine in groups.items():
                request = b"".join(
                    part for each in mine for part in (MULTI, *batches[each].commands, EXEC)
                )
                send(connections[node], request)
            for node, mine in groups.items():
                for each in mine:
                    count = len(batches[each].commands) + 2
                    done[each] = executed(replies(connections[node], count))
        for answers in done:
            refuse(answers)
        return done

    def _ask(self, node: Node, command: bytes) -> Reply:
        with self.connection(node) as connection:
            send(connection, command)
            (answer,) = replies(connection, 1)
        refuse([answer])
        return answer

    def _pool(self, node: Node) -> ConnectionPool:
        if self._process != os.getpid():
            # A connection must not cross a fork: the parent's are left to the parent.
            self._lock = threading.Lock()
            self._pools, self._process = {}, os.getpid()
        with self._lock:
            if node not in self._pools:
                place = {"host": node.host, "port": node.port} if node.host else {}
                self._pools[node] = ConnectionPool(**{**self.address.options, **place})
            return self._pools[node]

    def _find_slots(self) -> list[tuple[range, Node]]:
        """Ask the nodes that are known for the map of slots, until one has it.

        They are asked in any order: one that is cut off from the others has an old map.
        """
        options, shown = self.address.options, self.address.shown
        first = Node(options.get("host", "localhost"), options.get("port", 6379))
        seeds = list(dict.fromkeys([*self.seeds, first]))
        failures: list[StoreError] = []
        for seed in random.sample(seeds, len(seeds)):
            try:
                found = self._ask(seed, packed("CLUSTER", "SLOTS"))
            except (RedisError, *LOST) as error:
                failures.append(explained(error, shown))
                continue
            known = [
                (
                    range(start, last + 1),
                    [Node((host or b"").decode() or seed.host, port) for host, port, *_ in nodes],
                )
                for start, last, *nodes in found
            ]
            if known:
                self.seeds = list(dict.fromkeys(node for _, nodes in known for node in nodes))
                self._slots = [(slots, nodes[0]) for slots, nodes in known]
                return self._slots
        healing = [each for each in failures if isinstance(each, StoreUnavailable)]
        nothing = StoreUnavailable(f"{shown}: no node of the cluster serves any slot")
        raise next(iter([*healing, *failures, nothing]))

"""What a server must be to keep a store: recent, its own master, and keeping what it is given."""

from ..errors import StoreError, StoreUnavailable
from .nodes import Node, RedisNodes

OLDEST = (6, 2)


def check_servers(nodes: RedisNodes) -> None:
    """Look at every node that takes writes.

    Raises
    ------
    StoreError
        If one is too old, throws keys away when its memory is full, or is a cluster's node that
        was addressed as if it stood alone. The message says what to change.
    StoreUnavailable
        If one is a replica.
    """
    for node in nodes.all():
        _check(nodes, node)


def _check(nodes: RedisNodes, node: Node) -> None:
    lines = nodes.ask(node, "INFO").decode(errors="replace").splitlines()
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    shown = nodes.address.shown
    where = f"{shown} at {node.host}:{node.port}" if node.host else shown
    version = tuple(int(each) for each in said.get("redis_version", "0").split(".")[:2])
    if version < OLDEST:
        raise StoreError(f"{where}: Redis {said.get('redis_version')}: a store needs 6.2 or later")
    policy = said.get("maxmemory_policy", "")
    if policy.startswith("allkeys-"):
        raise StoreError(
            f"{where}: the server evicts keys (maxmemory-policy {policy}), which loses states: "
            "set maxmemory-policy noeviction, in redis.conf or by CONFIG SET"
        )
    if said.get("role", "master") != "master":
        raise StoreUnavailable(f"{where}: the server is a read-only replica: name its master")
    if said.get("cluster_enabled") == "1" and not nodes.address.cluster:
        raise StoreError(
            f"{where}: this is a Redis Cluster: use redis+cluster://, rediss+cluster://"
        )

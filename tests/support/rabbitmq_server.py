"""A real RabbitMQ node of the tests' own: private ports and folder, streams and queues."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

MISSING = (
    "RabbitMQ is not installed: apt-get install rabbitmq-server, or conda install -c conda-forge "
    "rabbitmq-server, or put rabbitmq-server and rabbitmqctl on the PATH"
)
PATIENCE = 90
USER, PASSWORD = "beacons", "pass word/of@the:tests"

SETTINGS = """
listeners.tcp.1 = 127.0.0.1:{amqp}
stream.listeners.tcp.1 = 127.0.0.1:{stream}
stream.advertised_host = 127.0.0.1
stream.advertised_port = {stream}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
default_user = {user}
default_pass = {password}
log.file.level = warning
"""


class RabbitServer:
    """One node, whose folder survives it: `kill` and `start` are a crash and a restart.

    Parameters
    ----------
    programs
        Folder of ``rabbitmq-server`` and ``rabbitmqctl``.
    settings
        More lines of its configuration.
    """

    def __init__(self, programs, settings=""):
        self.programs = Path(programs)
        # A short path: the node's sockets and names lie below it.
        self.folder = Path(tempfile.mkdtemp(prefix="beaconfold-rabbitmq-"))
        names = ["amqp", "stream", "management", "dist", "epmd"]
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        for name in ["home", "mnesia", "log", "gen", "schema"]:
            (self.folder / name).mkdir()
        plugins = "[rabbitmq_stream,rabbitmq_management]."
        (self.folder / "enabled_plugins").write_text(plugins)
        known = SETTINGS.format(**self.ports, user=USER, password=PASSWORD)
        (self.folder / "rabbitmq.conf").write_text(known + settings + "\n")
        self.pid_file = self.folder / "node.pid"
        self.process = None

    def stream_url(self, name, parameters="", *, user=USER, password=PASSWORD):
        """Give the URL of a stream."""
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        place = f"127.0.0.1:{self.ports['stream']}/%2F/{quote(name, safe='')}"
        return f"rabbitmq-stream://{who}@{place}" + (f"?{parameters}" if parameters else "")

    def amqp_url(self, queue, parameters="", *, user=USER, password=PASSWORD):
        """Give the URL of a queue."""
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        place = f"127.0.0.1:{self.ports['amqp']}/%2F?queue={quote(queue, safe='')}"
        return f"amqp://{who}@{place}" + (f"&{parameters}" if parameters else "")

    def start(self):
        """Start the node, and wait until it takes connections."""
        self.pid_file.unlink(missing_ok=True)
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(
                [self.programs / "rabbitmq-server"],
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._serves():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "out").read_text()[-2000:]
                raise RuntimeError(f"RabbitMQ does not start: {said}")
            time.sleep(0.05)

    def kill(self):
        """Let the node die where it stands."""
        os.kill(int(self.pid_file.read_text()), signal.SIGKILL)
        self.process.wait(PATIENCE)

    def remove(self):
        """End the node, if it runs, and its port mapper; delete its folder."""
        with suppress(OSError, ValueError):
            self.kill()
        # The mapper is known by its own port, and ends only when asked by name.
        subprocess.run(
            [self._epmd(), "-port", str(self.ports["epmd"]), "-kill"],
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        shutil.rmtree(self.folder, ignore_errors=True)

    def api(self, method, path, body=None):
        """Ask the management API."""
        url = f"http://127.0.0.1:{self.ports['management']}/api/{path}"
        known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {known}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def declare_queue(self, name, kind="quorum"):
        """Declare a queue by the management API."""
        body = {"durable": True, "arguments": {"x-queue-type": kind}}
        self.api("PUT", f"queues/%2F/{quote(name, safe='')}", body)

    def wait_for_record(self, name):
        """Wait until a quorum queue's log is on record, which is written a second late.

        A node that dies before that begins a new log, and forgets what it has confirmed: wait for
        this before a node with a new queue is killed.
        """
        deadline = time.monotonic() + PATIENCE
        while not any(
            name.encode() in record.read_bytes()
            for record in (self.folder / "mnesia").rglob("names.dets")
        ):
            if time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ does not put {name} on record")
            time.sleep(0.02)

    def delete_queue(self, name):
        """Delete a queue or a stream."""
        self.api("DELETE", f"queues/%2F/{quote(name, safe='')}")

    def _serves(self):
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.ports["stream"]), 1):
            return bool(self.api("GET", "overview").get("listeners"))
        return False

    def _epmd(self):
        found = shutil.which("epmd")
        return found or next(iter(Path("/usr/lib/erlang").glob("erts-*/bin/epmd")), "epmd")

    def _environment(self):
        folder, ports = self.folder, self.ports
        return os.environ | {
            "HOME": str(folder / "home"),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"t{ports['amqp']}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(ports["dist"]),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "gen"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.pid_file),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }


def free_ports(count):
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in found]
    for each in found:
        each.close()
    return ports


def programs():
    """Find the server's programs; Debian's on the PATH switch users, those they wrap do not."""
    debian = Path("/usr/lib/rabbitmq/bin")
    if (debian / "rabbitmq-server").exists():
        return debian
    found = shutil.which("rabbitmq-server")
    return found and Path(found).parent


@pytest.fixture(scope="session")
def rabbitmq_server():
    """Give a running node; a test that kills it starts it again."""
    found = programs()
    if found is None:
        if "CI" in os.environ:
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    server = RabbitServer(found)
    try:
        server.start()
        server.declare_queue("the first stream", "stream")
        server.wait_for_record("rabbit_stream_coordinator")
        yield server
    finally:
        server.remove()

"""A real PostgreSQL server of the tests' own: a private port and folder, gone afterwards."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

USER, PASSWORD = "beacons", "pass-word-of-the-tests"
MISSING = (
    "PostgreSQL is not installed: apt-get install postgresql, or conda install -c conda-forge "
    "postgresql, or put its folder with initdb and pg_ctl on the PATH"
)

# A crash of the server's processes loses nothing that the machine has: fsync is for power cuts.
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
fsync = off
shared_buffers = 64MB
max_connections = 80
"""


class PostgresServer:
    """A server in a folder of its own.

    Parameters
    ----------
    programs
        Folder of ``initdb`` and ``pg_ctl``.
    settings
        More lines of its configuration.
    """

    def __init__(self, programs, settings=""):
        self.programs = programs
        # Not one of pytest's folders: those are closed to the user that the server needs.
        self.folder = Path(tempfile.mkdtemp(prefix="beaconfold-postgres-"))
        self.account = {}
        if os.getuid() == 0:  # which the server refuses to run as
            known = {each.pw_name for each in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in known else "nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.account = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.data = self.folder / "data"
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb", "--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256",
            f"--username={USER}", f"--pwfile={password}",
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS.format(port=self.port) + settings + "\n")
        self.url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self):
        """Start it, and wait until it takes connections."""
        self._run("pg_ctl", "-w", "-t", "60", "-l", str(self.folder / "log"), "start")

    def kill(self):
        """Let all its processes die where they stand; the next start recovers what was written."""
        self._run("pg_ctl", "-w", "-t", "60", "-m", "immediate", "stop")

    def namespace(self):
        """Give the URL of a store that is not there yet."""
        return f"{self.url}?namespace=test-{uuid.uuid4().hex[:12]}"

    def remove(self):
        """End it, if it runs, and delete its folder."""
        if (self.data / "postmaster.pid").exists():
            self.kill()
        shutil.rmtree(self.folder)

    def _run(self, program, *arguments):
        output = self.folder / "output"
        with output.open("w") as written:
            done = subprocess.run(
                [self.programs / program, "-D", self.data, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                check=False,
                **self.account,
            )
        if done.returncode:
            log = self.folder / "log"
            said = output.read_text() + (log.read_text()[-2000:] if log.exists() else "")
            raise RuntimeError(f"{program} failed: {said}")


def programs():
    """Find the folder of the server's programs: on the PATH, or where Debian puts the newest."""
    found = [Path(found).parent for found in [shutil.which("pg_ctl")] if found]
    debian = Path("/usr/lib/postgresql")
    newest = sorted(debian.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    for folder in [*found, *newest]:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    return None


@pytest.fixture(scope="session")
def postgres_server():
    """Give a running server; a test that kills it starts it again."""
    found = programs()
    if found is None:
        if "CI" in os.environ:
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    server = PostgresServer(found)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres_server):
    """Give the URL of a store that is not there yet, on a server that runs."""
    return postgres_server.namespace()

"""The collector: real clients, over real sockets, into a real archive."""

import contextlib
import errno
import http.client
import http.server
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter

import httpx
import pytest

from beaconfold.pipelines.archive import Archive
from beaconfold.pipelines.archive.local import LocalFolder
from beaconfold.pipelines.publishers.http import HttpPublisher
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources import open_source
from beaconfold.pipelines.sources.http import HttpSource
from beaconfold.pipelines.testing.source_contract import (
    SourceContract,
    eventually,
    receiving,
    stored,
)

HOST = "127.0.0.1"


def free_port():
    with socket.create_server((HOST, 0)) as taken:
        return taken.getsockname()[1]


class TestContract(SourceContract):
    stores = resumes = exact = False
    bad_urls = (
        "http://",
        "http://0.0.0.0",
        "http://0.0.0.0:port",
        "http://me:s3cret@0.0.0.0:8080",
        "http://0.0.0.0:8080/b.gif",
        "http://0.0.0.0:8080?name=../up",
        "http://0.0.0.0:8080?paths=b",
        "http://0.0.0.0:8080?wait=soon",
        "http://0.0.0.0:8080?max_rows=0",
    )

    @pytest.fixture
    def source_url(self):
        return f"http://{HOST}:{free_port()}"

    @pytest.fixture
    def publish(self, source_url):
        with HttpPublisher(f"{source_url}/b.gif") as publisher:

            def send(bodies):
                assert publisher.send(bodies) == len(bodies)

            yield send


class Switched(LocalFolder):
    """A folder whose disk is full while it is said to be."""

    full = False

    def create(self, name, data, check=bool):
        if self.full and name.startswith("segments"):
            raise OSError(errno.ENOSPC, "No space left on device")
        super().create(name, data, check)


class Running:
    """A collector, its receiver and its archive."""

    def __init__(self, folder, query=""):
        self.source = HttpSource.of(f"{HOST}:0", query)
        archive = Archive.open(folder)
        self.folder = Switched(folder)
        self.archive = Archive(self.folder, archive.id)
        self.receiver = Receiver(self.source, self.archive, age="50ms")
        self.receiver.start()
        eventually(lambda: self.source.address is not None)
        self.address = self.source.address
        self.url = f"http://{HOST}:{self.address[1]}"

    @property
    def beacons(self):
        return stored(self.archive)

    def raw(self, *pieces):
        """Send bytes, and read what comes until the other side has no more to say."""
        with socket.create_connection(self.address, timeout=20) as client:
            with contextlib.suppress(OSError):  # it may hang up before it has read all
                for piece in pieces:
                    client.sendall(piece)
            return self.answer(client)

    def answer(self, client):
        reply = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in reply and (piece := client.recv(65536)):
                reply += piece
        return int(reply.split()[1]) if reply else None

    def stop(self):
        self.receiver.stop()
        assert self.receiver.join(30)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("collector") / "archive")
    yield running
    running.stop()


@pytest.fixture
def client(running):
    with httpx.Client(base_url=running.url, timeout=30) as client:
        yield client


@pytest.fixture
def alone(tmp_path):
    """Make a collector of the test's own."""
    made = []

    def make(query=""):
        made.append(Running(tmp_path / "archive", query))
        return made[-1]

    yield make
    for each in made:
        each.folder.full = False
        each.stop()


class TestClients:
    def test_a_get_answers_a_pixel_once_its_beacon_is_durable(self, running, client):
        target = "/b.gif?beaconType=click&publisher=p%201&user=a%2Bb&x=%ff&y=a|b"
        reply = client.get(target)
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "image/gif"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.content[:10] == b"GIF89a\x01\x00\x01\x00"
        assert target.encode() in running.beacons

    @pytest.mark.parametrize("path", ["/any/where/x.gif", "/i", "/b", "/ä b.gif"])
    def test_beacons_are_taken_at_these_paths(self, running, client, path):
        reply = client.get(f"{path}?at=1")
        assert reply.status_code == 200
        assert reply.request.url.raw_path in running.beacons

    def test_a_post_of_nothing_is_its_query(self, running, client):
        reply = client.post("/b.gif?nothing=1")
        assert (reply.status_code, reply.content) == (204, b"")
        assert b"/b.gif?nothing=1" in running.beacons

    @pytest.mark.parametrize(
        ("sent", "beacons"),
        [
            ({"data": {"form": "a b"}}, [b"/b?form=a+b"]),
            ({"content": b"text=1\r\ntext=2\n"}, [b"text=1", b"text=2"]),
            ({"json": [{"json": 1}, "json=2"]}, [b'{"json":1}', b"json=2"]),
            ({"content": iter([b"chunk=", b"1\nchu", b"nk=2"])}, [b"chunk=1", b"chunk=2"]),
            ({"data": {"multi": "ä"}, "files": {"f": b"-"}}, [b"/b?multi=%C3%A4"]),
            ({"content": b"bytes=\xff\x00"}, [b"bytes=\xff\x00"]),
        ],
    )
    def test_a_post_is_its_body(self, running, client, sent, beacons):
        assert client.post("/b", **sent).status_code == 204
        assert set(beacons) <= set(running.beacons)

    def test_a_post_of_many_is_in_one_segment_whole(self, running, client):
        lines = [b"line=%d" % n for n in range(20_000)]
        assert client.post("/b", content=b"\n".join(lines)).status_code == 204
        segments = [running.archive.read(ref) for ref in running.archive.segments()]
        (whole,) = (s for s in segments if lines[0] in s["raw"].to_list())
        assert whole.filter(whole["raw"].is_in(lines))["offset"].n_unique() == 1
        assert set(lines) <= set(whole["raw"])

    def test_pages_of_any_origin_may_send(self, client):
        origin = {"origin": "https://shop.example"}
        for reply in (client.get("/b.gif?cors", headers=origin), client.get("/no", headers=origin)):
            assert reply.headers["access-control-allow-origin"] == "https://shop.example"
            assert reply.headers["access-control-allow-credentials"] == "true"
        asked = {
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,x-mine",
        }
        reply = client.options("/b", headers=origin | asked)
        assert (reply.status_code, reply.content) == (204, b"")
        assert reply.headers["access-control-allow-headers"] == "content-type,x-mine"
        assert "POST" in reply.headers["access-control-allow-methods"]
        assert "access-control-allow-origin" not in client.get("/b.gif?none").headers

    def test_thousands_wait_at_once(self, running):
        clients = [socket.create_connection(running.address) for _ in range(2000)]
        for number, each in enumerate(clients):
            each.sendall(b"GET /b.gif?crowd=%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
        for each in clients:
            each.settimeout(30)
            assert running.answer(each) == 200
            each.close()
        counts = Counter(b for b in running.beacons if b"crowd" in b)
        assert counts == Counter(b"/b.gif?crowd=%d" % n for n in range(2000))


class TestWatching:
    def test_health(self, client):
        reply = client.get("/health")
        assert (reply.status_code, reply.text) == (200, "ok\n")

    def test_metrics_are_prometheus_s(self, client):
        parser = pytest.importorskip("prometheus_client.parser")
        client.get("/b.gif?metrics")
        client.get("/nowhere")
        families = parser.text_string_to_metric_families(client.get("/metrics").text)
        values = {s.name: s.value for f in families for s in f.samples if not s.labels}
        assert values["beacons_collector_received_total"] >= 1
        assert values["beacons_collector_backlog_rows"] == 0
        assert values["beacons_collector_refused_total"] >= 1


HEAD = b"HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST /b " + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class TestNonsense:
    @pytest.mark.parametrize(
        ("status", "pieces"),
        [
            (400, [b"nonsense\r\n\r\n"]),
            (400, [b"GET /b.gif?\xff " + HEAD + b"\r\n"]),
            (404, [b"GET / " + HEAD + b"\r\n"]),
            (404, [b"POST /wp-login.php " + HEAD + b"Content-Length: 1\r\n\r\nx"]),
            (405, [b"DELETE /b.gif " + HEAD + b"\r\n"]),
            (405, [b"POST /health " + HEAD + b"Content-Length: 0\r\n\r\n"]),
            (400, [b"POST /b " + HEAD + b"Content-Length: x\r\n\r\n"]),
            (400, [b"POST /b " + HEAD + b"Content-Length: 0\r\n\r\n"]),
            (413, [b"POST /b " + HEAD + b"Content-Length: 1048577\r\n\r\n"]),
            (413, [CHUNKED, *([b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 17)]),
            (414, [b"GET /b.gif?" + b"x" * 16_400 + b" " + HEAD + b"\r\n"]),
            (414, [b"GET /b.gif?" + b"x" * 65_600 + b" " + HEAD + b"\r\n"]),
            (431, [b"GET /b.gif?x " + HEAD + b"X: " + b"x" * 200_000 + b"\r\n\r\n"]),
            (431, [b"GET /b.gif?x " + HEAD + b"X: 1\r\n" * 200 + b"\r\n"]),
            (400, [CHUNKED, b"3\r\nbad\r\n", b"ZZ\r\n"]),
            (415, [b"POST /b " + HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nbad"]),
        ],
    )
    def test_is_answered_clearly_and_not_kept(self, running, status, pieces):
        before = len(running.beacons)
        assert running.raw(*pieces) == status
        assert len(running.beacons) == before

    @pytest.mark.parametrize(
        "pieces",
        [
            [CHUNKED, b"3\r\ncut\r\n", b"5\r\nab"],
            [CHUNKED, b"3\r\ncut\r\n"],
            [b"POST /b " + HEAD + b"Content-Length: 9\r\n\r\ncut"],
            [b"GET /b.gif?cut"],
        ],
    )
    def test_a_client_that_leaves_half_way_leaves_nothing(self, running, client, pieces):
        with socket.create_connection(running.address) as leaving:
            for piece in pieces:
                leaving.sendall(piece)
        assert client.get("/b.gif?after").status_code == 200
        assert not any(b"cut" in beacon for beacon in running.beacons)

    def test_a_client_that_does_not_wait_is_no_error(self, running, client):
        for _ in range(20):
            with socket.create_connection(running.address) as leaving:
                leaving.sendall(b"GET /b.gif?left " + HEAD + b"\r\n")
        assert client.get("/b.gif?after").status_code == 200
        assert running.receiver.progress.state == "receiving"

    def test_a_slow_client_holds_nobody_up(self, running, client):
        with socket.create_connection(running.address, timeout=30) as slow:
            slow.sendall(b"POST /b HTTP/1.1\r\nHost: x\r\nContent-")
            assert client.get("/b.gif?quick").status_code == 200
            slow.sendall(b"Length: 8\r\n\r\nslow")
            assert client.get("/b.gif?quick").status_code == 200
            slow.sendall(b"ly=1")
            assert running.answer(slow) == 204
        assert b"slowly=1" in running.beacons


class TestTrouble:
    def test_a_full_disk_is_answered_503_until_there_is_room(self, alone):
        running = alone("wait=1500ms")
        with httpx.Client(base_url=running.url, timeout=30) as client:
            assert client.get("/b.gif?n=1").status_code == 200
            running.folder.full = True
            reply = client.get("/b.gif?n=2")
            assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
            assert "could be published" in reply.text
            assert client.post("/b", content=b"n=3").status_code == 503
            health = client.get("/health")
            assert health.status_code == 503
            assert health.text.count("\n") == 1
            eventually(lambda: "published" in (running.source.health or ""))
            assert running.receiver.progress.state == "retrying"
            running.folder.full = False
            eventually(lambda: client.get("/health").status_code == 200)
            eventually(lambda: running.source.health is None)
            assert client.get("/b.gif?n=4").status_code == 200
        counts = Counter(running.beacons)
        assert counts[b"/b.gif?n=1"] == counts[b"/b.gif?n=4"] == 1
        assert counts[b"n=3"] == 0  # it was refused at the door

    def test_what_is_over_the_bound_is_refused_at_once(self, alone):
        running = alone("wait=1h&max_rows=3")
        running.folder.full = True
        clients = [socket.create_connection(running.address, timeout=30) for _ in range(3)]
        for number, each in enumerate(clients):
            each.sendall(b"GET /b.gif?n=%d %s\r\n" % (number, HEAD))
        backlog = running.source._run.backlog
        eventually(lambda: backlog.rows == 3)
        assert running.raw(b"GET /b.gif?n=4 " + HEAD + b"\r\n") == 503
        running.folder.full = False
        assert [running.answer(each) for each in clients] == [200] * 3
        assert sorted(running.beacons) == [b"/b.gif?n=%d" % n for n in range(3)]
        for each in clients:
            each.close()

    def test_a_stop_answers_those_who_wait_and_hangs_up(self, tmp_path):
        running = Running(tmp_path / "archive")
        running.folder.full = True
        with socket.create_connection(running.address, timeout=30) as waiting:
            waiting.sendall(b"GET /b.gif?n=1 " + HEAD + b"\r\n")
            eventually(lambda: running.receiver.progress.state == "retrying")
            running.receiver.stop()
            running.folder.full = False
            assert running.receiver.join(30)
            assert running.answer(waiting) == 200
        assert running.beacons == [b"/b.gif?n=1"]
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(running.address)

    def test_a_stop_that_does_not_drain_promises_nothing(self, tmp_path):
        running = Running(tmp_path / "archive", "wait=500ms")
        running.receiver._buffer.age = 3600.0
        with socket.create_connection(running.address, timeout=30) as waiting:
            waiting.sendall(b"GET /b.gif?n=1 " + HEAD + b"\r\n")
            eventually(lambda: running.receiver.progress.pending == 1)
            running.receiver.stop(drain=False)
            assert running.answer(waiting) == 503
        assert running.receiver.join(30)
        assert running.beacons == []

    def test_a_port_that_is_taken_is_waited_for(self, tmp_path):
        with socket.create_server((HOST, 0)) as taken:
            port = taken.getsockname()[1]
            (source,) = open_source(f"http://{HOST}:{port}").partitions()
            with receiving(source, Archive.open(tmp_path / "archive")):
                eventually(lambda: source.health is not None)
                assert f"http://{HOST}:{port}: cannot listen: Address already" in source.health
                taken.close()
                eventually(lambda: source.address is not None)
                assert source.health is None
                assert httpx.get(f"http://{HOST}:{port}/b.gif?n=1").status_code == 200

    def test_a_second_reader_takes_over_from_one_that_hangs(self):
        source = HttpSource.of(f"{HOST}:{free_port()}", "wait=1500ms")
        hanging = source.read(None)
        with socket.socket() as client, socket.socket() as late:
            next(hanging)
            client.settimeout(30)
            client.connect(source.address)
            client.sendall(b"GET /b.gif?n=1 " + HEAD + b"\r\n")
            assert next(batch for batch in hanging if batch.frame.height).position == 1
            reader = source.read(1)
            next(batch for batch in reader if source.address is not None)
            late.settimeout(30)
            late.connect(source.address)
            late.sendall(b"GET /b.gif?n=2 " + HEAD + b"\r\n")
            batch = next(batch for batch in reader if batch.frame.height)
            assert batch.frame.select("raw", "offset").rows() == [(b"/b.gif?n=2", 1)]
            source.acknowledge(batch.position)
            assert late.recv(100).startswith(b"HTTP/1.1 200")
            assert client.recv(100).startswith(b"HTTP/1.1 503")
            assert next(hanging).frame.is_empty()
            hanging.close()
            assert source.address is not None
            reader.close()

    def test_two_collectors_do_not_share_a_port(self, running, tmp_path):
        source = HttpSource.of(f"{HOST}:{running.address[1]}", "")
        with receiving(source, Archive.open(tmp_path / "archive")):
            eventually(lambda: source.health is not None)


COLLECT = """
import sys
from beaconfold.pipelines.archive import Archive
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources import open_source
(partition,) = open_source(sys.argv[1]).partitions()
receiver = Receiver(partition, Archive.open(sys.argv[2]), age="50ms")
receiver.start()
sys.stdin.read(1)
if sys.argv[3] == "clean":
    receiver.stop()
    receiver.join()
"""


class Process:
    """A collector in a process of its own, which can be killed."""

    def __init__(self, url, archive, end="clean"):
        command = [sys.executable, "-c", COLLECT, url, str(archive), end]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stderr=pipe)

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def end(self):
        _, errors = self.process.communicate(b"x", timeout=60)
        return self.process.returncode, errors


class Load(threading.Thread):
    """Sends beacons one by one, and keeps those that were answered 2xx."""

    def __init__(self, port, name, numbers):
        super().__init__(daemon=True)
        self.port, self.name, self.numbers = port, name, numbers
        self.sent, self.confirmed = [], []
        self.over = threading.Event()

    def run(self):
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        while not self.over.is_set():
            target = f"/b.gif?n={next(self.numbers)}"
            try:
                if connection.sock is None:
                    connection.connect()
                self.sent.append(target.encode())
                connection.request("GET", target)
                reply = connection.getresponse()
                reply.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self.over.wait(0.02)
            else:
                if reply.status == 200:
                    self.confirmed.append(target.encode())
        connection.close()


class TestProcesses:
    def test_killed_in_the_middle_of_load(self, tmp_path):
        port, numbers = free_port(), itertools.count()
        archive = tmp_path / "archive"
        load = [Load(port, f"load-{n}", numbers) for n in range(16)]
        for each in load:
            each.start()

        def confirmed():
            return sum(len(each.confirmed) for each in load)

        for _ in range(3):
            collector = Process(f"http://{HOST}:{port}", archive)
            target = confirmed() + 100
            eventually(lambda: confirmed() >= target)  # noqa: B023 - called before it changes
            collector.kill()
        collector = Process(f"http://{HOST}:{port}", archive)
        target = confirmed() + 100
        eventually(lambda: confirmed() >= target)
        assert collector.end() == (0, b"")
        for each in load:
            each.over.set()
        for each in load:
            each.join(30)
        counts = Counter(stored(Archive.open(archive)))
        assert set(counts) >= {beacon for each in load for beacon in each.confirmed}
        assert set(counts) <= {beacon for each in load for beacon in each.sent}
        assert set(counts.values()) == {1}

    def test_a_process_that_just_ends_does_so_quietly(self, tmp_path):
        port = free_port()
        collector = Process(f"http://{HOST}:{port}", tmp_path / "archive", "at once")
        with HttpPublisher(f"http://{HOST}:{port}/b.gif") as publisher:
            assert publisher.send([b"/b.gif?n=1"]) == 1
        assert collector.end() == (0, b"")


PAGE = """<!doctype html><title>page</title><script>
const to = "http://127.0.0.1:PORT", form = new FormData();
form.append("via", "form data");
new Image().src = to + "/b.gif?via=image";
navigator.sendBeacon(to + "/b.gif?via=query");
navigator.sendBeacon(to + "/b", "via=text\\nvia=text2");
navigator.sendBeacon(to + "/b", new URLSearchParams({via: "parameters"}));
navigator.sendBeacon(to + "/b", form);
navigator.sendBeacon(to + "/b", new Blob(['[{"via":"json"}]'], {type: "application/json"}));
navigator.sendBeacon(to + "/b", new Blob(["via=blob"]));
fetch(to + "/b", {method: "POST", keepalive: true, credentials: "include", body: "via=fetch"})
  .then(reply => navigator.sendBeacon(to + "/b.gif?via=read" + reply.status));
addEventListener("pagehide", () => navigator.sendBeacon(to + "/b", "via=pagehide"));
setTimeout(() => location = "/gone", 500);
</script>"""
VIA = {
    *(b"/b.gif?via=image", b"/b.gif?via=query", b"via=text", b"via=text2", b"/b?via=parameters"),
    *(b"/b?via=form+data", b'{"via":"json"}', b"via=blob", b"via=fetch", b"/b.gif?via=read204"),
    b"via=pagehide",
}


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_a_page_in_a_browser(running, tmp_path):
    page = PAGE.replace("PORT", str(running.address[1])).encode()

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page if self.path == "/page" else b"")

        def log_message(self, *_):
            pass

    site = http.server.ThreadingHTTPServer((HOST, 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    quiet = ("background-networking", "component-update", "sync", "dev-shm-usage", "quic", "gpu")
    browser = subprocess.Popen(
        [
            *("chromium", "--headless", "--no-sandbox", "--remote-debugging-port=0"),
            *(f"--disable-{what}" for what in quiet),
            f"--user-data-dir={tmp_path}",
            f"http://{HOST}:{site.server_port}/page",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        eventually(lambda: set(running.beacons) >= VIA)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
        site.shutdown()
        site.server_close()
    counts = Counter(beacon for beacon in running.beacons if b"via" in beacon)
    assert counts == Counter(VIA)


@pytest.mark.parametrize("method", ["get", "post"])
def test_snowplow_s_tracker(running, method):
    snowplow = pytest.importorskip("snowplow_tracker")
    sent, failed = [], []
    emitter = snowplow.Emitter(
        *(HOST, "http", running.address[1], method),
        batch_size=3,
        on_success=sent.extend,
        on_failure=lambda _count, events: failed.extend(events),
    )
    tracker = snowplow.Tracker("tests", emitter)
    for number in range(3):
        tracker.track(snowplow.PageView(f"https://shop.example/{method}/{number}"))
    assert (len(sent), failed) == (3, [])
    beacons = [b for b in running.beacons if b"shop.example" in b and method.encode() in b]
    assert len(beacons) == 3
    assert all(
        beacon.startswith(b"/i?e=pv&" if method == "get" else b'{"e":"pv"') for beacon in beacons
    )

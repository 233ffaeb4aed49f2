"""Access logs in both formats."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from beaconfold.pipelines.decode import AccessLog, Field

APACHE = (
    '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 '
    '"http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"'
)
WHEN = datetime(2000, 10, 10, 20, 55, 36, tzinfo=UTC)


def line(request="GET /b.gif HTTP/1.1", user="-", size="43", time="10/Oct/2000:13:55:36 -0700"):
    return f'h - {user} [{time}] "{request}" 200 {size}'


def one(raw, **options):
    rows, rejected = AccessLog(**options).decode(pl.Series([raw]))
    return rows.row(0, named=True) if rows.height else rejected["reason"].item()


def test_the_combined_format():
    assert one(APACHE) == {
        "row": 0,
        "host": "127.0.0.1",
        "logname": None,
        "user": "frank",
        "time": WHEN,
        "method": "GET",
        "path": "/apache_pb.gif",
        "protocol": "HTTP/1.0",
        "status": 200,
        "size": 2326,
        "referer": "http://www.example.com/start.html",
        "user_agent": "Mozilla/4.08 [en] (Win98; I ;Nav)",
    }
    assert AccessLog().schema["time"] == pl.Datetime("us", "UTC")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (line(), {"path": "/b.gif", "user": None, "size": 43, "time": WHEN}),
        (line() + "\r", {"size": 43}),
        (line(size="-"), {"size": None}),
        (line("GET /b.gif"), {"path": "/b.gif", "protocol": None}),
        (line(user="frank smith"), {"user": "frank smith", "path": "/b.gif", "size": 43}),
        (line(r"GET /\"x\" HTTP/1.1"), {"path": r"/\"x\"", "protocol": "HTTP/1.1"}),
        (line(r"\x16\x03\x01"), {"method": None, "path": None, "protocol": None, "size": 43}),
        (line("-"), {"method": None, "path": None, "size": 43}),
        (line(""), {"method": None, "path": None, "size": 43}),
        (line("GET /a b HTTP/1.1"), {"method": None, "path": None}),
        (line(time="10/Oct/2000:13:55:36 -0000"), {"time": WHEN - timedelta(hours=7)}),
    ],
)  # fmt: skip
def test_the_common_format(raw, expected):
    found = one(raw, format="common")
    assert {name: found[name] for name in expected} == expected
    assert "referer" not in found


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "not a common log line"),
        (APACHE, "not a common log line"),
        (line()[:-3], "not a common log line"),
        (line() + " x", "not a common log line"),
        (line('GET /" HTTP/1.1'), "not a common log line"),
        (line(time="31/Feb/2000:13:55:36 -0700"), "time: not a datetime"),
        (line(time="10/Okt/2000:13:55:36 -0700"), "time: not a datetime"),
        (line(time="10/Oct/2000:13:55:60 -0700"), "time: not a datetime"),
        (line(time="10/Oct/2000:13:55:36"), "time: not a datetime"),
        (line(time=""), "time: not a datetime"),
        (line(size="9" * 20), "size: not an int64"),
        (line().encode() .replace(b"b.gif", b"\xff"), "path: not UTF-8"),
    ],
)  # fmt: skip
def test_reasons(raw, reason):
    assert one(raw, format="common") == reason


def test_parameters_of_the_request():
    decoder = AccessLog(
        format="common", p=pl.String, n=pl.Int64, who=Field(pl.String, source="user")
    )
    targets = [
        "/b.gif?p=a%20b&n=5&user=u",
        "/b.gif?user=%ff",
        "/b.gif",
        "/a=1?p=x",
        "/??p=y&n=#n=1",
        "/#?p=z",
        "/?p=%ff",
        "/?n=x",
        "http://h/?p=+",
    ]
    raw = [line(f"GET {target} HTTP/1.1") for target in targets] + [line("-")]
    rows, rejected = decoder.decode(pl.Series(raw))
    assert rows.select("row", "p", "n", "who").rows() == [
        (0, "a b", 5, "u"),
        (2, None, None, None),
        (3, "x", None, None),
        (4, None, None, None),
        (5, None, None, None),
        (8, " ", None, None),
        (9, None, None, None),
    ]
    assert rejected.rows() == [(1, "who: not UTF-8"), (6, "p: not UTF-8"), (7, "n: not an int64")]


def test_names_of_its_own_are_taken():
    with pytest.raises(ValueError, match=r"my_user=Field\(…, source='user'\)"):
        AccessLog(user=pl.String)
    assert "referer" in AccessLog(format="common", referer=pl.String).schema
    with pytest.raises(ValueError, match="neither 'common' nor 'combined'"):
        AccessLog(format="nginx")

"""Bodies of POSTs to beacons: what browsers and trackers send, and what nobody should."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.pipelines.collector import Unacceptable, beacons_of

FORM = "application/x-www-form-urlencoded"
JSON = "application/json; charset=utf-8"
TEXT = "text/plain;charset=UTF-8"  # of navigator.sendBeacon(url, "text")
MULTIPART = "multipart/form-data; boundary=----WebKitFormBoundaryX"
PARTS = (
    b'------WebKitFormBoundaryX\r\nContent-Disposition: form-data; name="n"\r\n\r\n1 2\r\n'
    b'------WebKitFormBoundaryX\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nfile\r\n"
    b'------WebKitFormBoundaryX\r\nContent-Disposition: form-data; name="u"\r\n\r\n\xc3\xa9\r\n'
    b"------WebKitFormBoundaryX--\r\n"
)


@pytest.mark.parametrize(
    ("target", "kind", "body", "beacons"),
    [
        (b"/b.gif?n=1", TEXT, b"", [b"/b.gif?n=1"]),
        (b"/b.gif", FORM, b"n=1&u=%20", [b"/b.gif?n=1&u=%20"]),
        (b"/b.gif?v=2", FORM, b"n=1", [b"/b.gif?v=2&n=1"]),
        (b"/b.gif", MULTIPART, PARTS, [b"/b.gif?n=1+2&u=%C3%A9"]),
        (b"/b", TEXT, b"n=1\r\nn=2\n\nn=3", [b"n=1", b"n=2", b"n=3"]),
        (b"/b", "", b"n=1", [b"n=1"]),
        (b"/b", "", b'{"n":1}\n{"n":2}', [b'{"n":1}', b'{"n":2}']),
        (b"/b", TEXT, b' {"n": 1.50}\n', [b'{"n": 1.50}']),
        (b"/b", "", b'[{"n":1},"n=2"]', [b'{"n":1}', b"n=2"]),
        (b"/b", "", b"[no json\nat all", [b"[no json", b"at all"]),
        (b"/b", JSON, b'[ {"a":[{"b":"]"}]} , [1] ]', [b'{"a":[{"b":"]"}]}', b"[1]"]),
        (b"/b", JSON, b'["\\u00e9\\n"]', [b"\xc3\xa9\n"]),
        (b"/b", "application/vnd.beacons+json", b'{"n":1}', [b'{"n":1}']),
        (b"/b", "application/x-ndjson", b'["a"]\n[', [b'["a"]', b"["]),
        (
            b"/com.snowplowanalytics.snowplow/tp2",
            JSON,
            b'{"schema": "iglu:x/payload_data/1-0-4", "data": [{"e": "pv"}, {"e": "se"}]}',
            [b'{"e":"pv"}', b'{"e":"se"}'],
        ),
    ],
)  # fmt: skip
def test_what_is_sent(target, kind, body, beacons):
    assert beacons_of(target, kind, body) == beacons


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("", b"", 400),
        (TEXT, b" \r\n", 400),
        (JSON, b"n=1", 400),
        (JSON, b"\xff", 400),
        (JSON, b"[]", 400),
        (JSON, b"[1, null]", 400),
        (JSON, b"3", 400),
        (JSON, b'{"a": NaN}', 400),
        (JSON, b"[" * 100_000, 400),
        (MULTIPART, b"no parts", 400),
        ("image/png", b"\x89PNG", 415),
        ("application/octet-stream", b"n=1", 415),
    ],
)
def test_what_is_refused(kind, body, status):
    with pytest.raises(Unacceptable) as refused:
        beacons_of(b"/b.gif", kind, body)
    assert refused.value.status == status
    assert "\n" not in str(refused.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), VALUES, min_size=1), min_size=1),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_elements_stand_as_they_stood(elements, ascii_only, indent):
    body = json.dumps(elements, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    beacons = beacons_of(b"/b", JSON, body)
    assert [json.loads(beacon) for beacon in beacons] == json.loads(body)
    assert all(beacon in body for beacon in beacons)


@given(
    st.binary(), st.sampled_from(["", TEXT, JSON, FORM, MULTIPART, "application/x-ndjson", "a/b"])
)
def test_any_body_has_beacons_or_is_refused(body, kind):
    try:
        beacons = beacons_of(b"/b.gif", kind, body)
    except Unacceptable as refused:
        beacons, status = [b"refused"], refused.status
    else:
        status = 400
    assert beacons
    assert all(beacons)
    assert status in {400, 415}

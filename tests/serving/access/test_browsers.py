"""What a page of another origin, and other clients that ask before they send, are told: CORS, OPTIONS, HEAD, 405."""

from __future__ import annotations

import argparse
import hashlib
import json

import pytest

from serving.access.browsers import Browsers, origin
from tests.recorded import recorded
from tests.serving.access.asking import ask

APP = "https://app.example.com"
KEY = "a key of some length"
EXPOSED = {"X-Model-Version", "X-Unseen-Categories", "Inference-Header-Content-Length", "Retry-After"}


@pytest.fixture(scope="module")
def open_to(start, flights, tmp_path_factory):
    """A server that lets one origin in, with a key."""
    file = tmp_path_factory.mktemp("open") / "keys"
    file.write_text(hashlib.sha256(KEY.encode()).hexdigest())
    options = ["--allow-origin", APP, "--allow-origin", "http://localhost:3000", "--api-key-file", str(file)]
    with start("--model", f"flights={flights}", *options) as served:
        yield served


def preflight(served, path, **headers):
    """What a browser asks before a fetch with JSON and a key."""
    wanted = {"Access_Control_Request_Headers": "authorization,content-type"} | headers
    return ask(served, "OPTIONS", path, Origin=APP, Access_Control_Request_Method="POST", **wanted)


PATHS = [
    *(
        "/models/flights/invocations",
        "/models/flights/predict",
        "/v2/models/flights/infer",
        "/v1/models/flights:predict",
    ),
    *(
        "/v2/models/flights",
        "/v2/models/flights/ready",
        "/v1/models/flights",
        "/v1/models",
        "/v2",
        "/v2/health/ready",
    ),
    *(
        "/readyz",
        "/metrics",
        "/status",
        "/models/flights/openapi.json",
        "/models/flights/version",
        "/nothing",
    ),
]


@pytest.mark.parametrize("path", PATHS)
def test_a_preflight_is_answered_on_each_path_without_a_key(open_to, path):
    """A browser sends no key with it, and reads no answer, not even a 404, where it fails."""
    status, headers, body = preflight(open_to, path)
    assert (status, body, headers["access-control-allow-origin"]) == (200, b"", APP)
    assert "POST" in headers["access-control-allow-methods"]
    assert headers["access-control-allow-headers"] == "authorization,content-type"
    assert int(headers["access-control-max-age"]) > 0


def test_the_answer_itself_may_be_read_with_its_headers(open_to, golden):
    """A refusal too: a page that cannot read a 401 or 400 shows 'network error'."""
    path, body = "/models/flights/invocations", json.dumps({"dataframe_records": [golden[0]["row"]]})
    json_type = {"Content_Type": "application/json", "Authorization": f"Bearer {KEY}"}
    asked = [
        (200, json_type, body),
        (400, json_type, "{"),
        (401, {}, body),
        (415, json_type | {"Content_Type": "text/xml"}, body),
    ]
    for expected, more, content in asked:
        status, headers, _ = ask(open_to, "POST", path, content, Origin=APP, **more)
        assert (status, headers["access-control-allow-origin"]) == (expected, APP)
        assert "Origin" in headers["vary"]
        assert set(headers["access-control-expose-headers"].split(", ")) >= EXPOSED


@pytest.mark.parametrize(
    "sender",
    ["https://evil.example", "https://app.example.com.evil.example", "null", "http://app.example.com"],
)
def test_another_origin_is_told_nothing(open_to, sender):
    """The browser keeps the answer from it. Vary tells caches that another origin's answer differs."""
    status, headers, _ = ask(open_to, "GET", "/readyz", Origin=sender)
    assert (status, headers["vary"]) == (200, "Origin")
    assert "access-control-allow-origin" not in headers
    assert ask(open_to, "GET", "/readyz")[1]["vary"] == "Origin"


def test_what_a_page_of_another_origin_gets_is_recorded(open_to, server):
    """The row of docs/security.md."""
    for served in (open_to, server):
        for method, host, expected in (
            ("GET", "localhost", 200),
            ("OPTIONS", "localhost", 200),
            ("GET", "evil.example", 421),
        ):
            status, headers, _ = ask(served, method, "/readyz", Origin="http://evil.example", Host=host)
            assert status == expected
            assert "access-control-allow-origin" not in headers
    recorded(
        "security",
        "a web page asks a server on loopback: from an origin that is not allowed, or by a host name of its own",
        "no Access-Control-Allow-Origin; 421 for the name, unless `--allow-host` has it",
        "no answer that it may read",
    )


def test_every_origin_may_be_let_in_and_loopback_asked_from_outside(start, line):
    """`*` names no origin, so caches may share it; Chrome asks more before a page reaches loopback."""
    with start("--model", str(line), "--allow-origin", "*") as served:
        status, headers, _ = preflight(served, "/predict", Access_Control_Request_Private_Network="true")
        assert (status, headers["access-control-allow-origin"]) == (200, "*")
        assert headers["access-control-allow-private-network"] == "true"
        status, headers, body = ask(served, "POST", "/predict", '{"x": 3}', Origin="null")
        assert (status, headers["access-control-allow-origin"], json.loads(body)["y"]) == (
            200,
            "*",
            pytest.approx(10.99, abs=0.1),
        )


def test_without_the_option_no_page_is_let_in(server):
    """As before: OPTIONS says what a path takes, and nothing to browsers."""
    status, headers, body = preflight(server, "/invocations")
    assert (status, body, headers["allow"]) == (200, b"", "POST, OPTIONS")
    assert not [name for name in headers if name.startswith("access-control")]
    assert preflight(server, "/nothing")[0] == 404


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        *[(path, "POST, OPTIONS") for path in ("/invocations", "/predict", "/invocations/")],
        *[
            (path, "GET, HEAD, OPTIONS")
            for path in ("/ping", "/metrics", "/openapi.json", "/v2", "/v1/models", "/readyz")
        ],
    ],
)
def test_what_a_path_allows_is_what_it_does(server, path, allowed):
    """OPTIONS and 405 name the same methods, all of them are answered, and no other is."""
    assert ask(server, "OPTIONS", path)[1]["allow"] == allowed
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
        status, headers, body = ask(server, method, path)
        assert (status == 405) == (method not in allowed.split(", ")), method
        assert headers.get("allow", allowed) == allowed
        assert method != "HEAD" or body == b""


def test_head_has_the_length_of_get(server):
    """A cache or `curl -I` asks so."""
    for path in ("/openapi.json", "/readyz", "/ping"):
        heads, gets = (ask(server, method, path)[1] for method in ("HEAD", "GET"))
        assert heads["content-length"] == gets["content-length"]
        assert heads["content-type"] == gets["content-type"]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://App.Example.com", APP),
        ("https://app.example.com:443/", APP),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("*", "*"),
        ("null", "null"),
    ],
)
def test_an_origin_is_read_as_browsers_send_it(given, read):
    """Browsers send lower case, no default port, no path and punycode."""
    assert origin(given) == read


@pytest.mark.parametrize(
    "given",
    [
        "app.example.com",
        "https://app.example.com/page",
        "https://",
        "",
        "https://a:b@c",
        "https://a?b",
        "http://a:port",
    ],
)
def test_what_is_no_origin_stops_the_start(given):
    """It would never be equal to what a browser sends."""
    with pytest.raises(argparse.ArgumentTypeError, match="is no origin"):
        origin(given)


def test_header_names_with_tricks_are_not_sent_back():
    """What a preflight asks for is sent back only where it is a list of names."""
    asked = {b"origin": APP.encode(), b"access-control-request-method": b"POST"}
    for names in (b"x-a\r\nset-cookie: b", b"a" * 2000, b"x\x00", b"\xff", b""):
        made = Browsers([APP]).preflight(asked | {b"access-control-request-headers": names})
        assert b"access-control-allow-headers" not in dict(made)

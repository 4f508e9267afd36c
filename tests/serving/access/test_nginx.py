"""The page's configuration in a real nginx, in front of a real server."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from serving.running import await_port, free_port
from tests.conftest import ROOT, missing_part
from tests.serving.conftest import Served

PAGE = (ROOT / "docs" / "proxies.md").read_text()
AROUND = """
{user} daemon off; pid {folder}/pid; error_log stderr warn; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {inside}
}}
"""
HOST = {"Host": "models.example.com"}


@pytest.fixture(scope="module")
def behind(start, flights):
    """The server as the page starts it."""
    (options,) = re.findall(r"(--prefix \S+ --allow-host \S+)", PAGE)
    with start("--model", str(flights), *options.split()) as served:
        yield served


@pytest.fixture(scope="module")
def site(behind, tmp_path_factory):
    """What nginx answers, with the page's own configuration and other ports."""
    if not shutil.which("nginx"):
        missing_part("nginx (apt-get install nginx-light)")
    (inside,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
    port, folder = free_port(), tmp_path_factory.mktemp("nginx")
    assert "listen 8080;" in inside
    assert "127.0.0.1:5002" in inside
    inside = inside.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    inside = inside.replace("127.0.0.1:5002", urlsplit(behind.url).netloc)
    user = "user root;" if os.geteuid() == 0 else ""  # its workers may else not write in a folder of ours
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, inside=inside, user=user))
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        await_port(port)
        yield Served(f"http://127.0.0.1:{port}/models/flights", process)
    finally:
        process.terminate()
        said = process.communicate(timeout=20)[1]
    assert "[error]" not in said, said


def one_row(golden):
    """A request."""
    return {"dataframe_records": [golden[0]["row"]]}


def test_rows_are_scored_through_the_proxy(site, behind, golden):
    """The same answer as without it, on every kind of path, the prefix kept."""
    expected = behind.call("/invocations", one_row(golden))[1]
    assert site.call("/invocations", one_row(golden), headers=HOST)[:2] == (200, expected)
    assert site.call("/invocations/?client=coverage-team", one_row(golden), headers=HOST)[1] == expected
    (name,) = site.call("/v1/models", headers=HOST)[1]["models"]
    found = site.call(f"/v1/models/{name}:predict", {"instances": [golden[0]["row"]]}, headers=HOST)[1]
    assert found == expected
    assert site.call(f"/v2/models/{name}/ready", headers=HOST)[1]["ready"] is True
    assert site.call("/openapi.json", headers=HOST)[1]["servers"] == [{"url": "/models/flights"}]


def test_refusals_come_through_as_they_are(site, golden):
    """Status, text and headers."""
    assert site.call("/nothing", headers=HOST)[0] == 404
    status, answer, headers = site.call("/invocations", b"{", headers=HOST)
    assert (status, "cut short" in answer["message"]) == (400, True)
    assert headers["X-Model-Version"]
    assert site.call("/invocations", headers=HOST)[2]["Allow"] == "POST, OPTIONS"


def test_a_name_that_the_server_was_not_told_is_refused(site):
    """Nginx sends on what it was asked for: another name for the same place is still rebinding."""
    assert site.call("/ping", headers={"Host": "evil.example"})[0] == 421


def test_large_bodies_and_gzip_go_through(site, behind, golden):
    """More than nginx's own limit of 1 MB, and a body that stays compressed on the way."""
    rows = {"dataframe_records": [golden[0]["row"]] * 10_000}
    body = json.dumps(rows).encode()
    assert len(body) > 1_500_000
    status, answer, _ = site.call("/invocations", body, headers=HOST)
    assert (status, len(answer["predictions"])) == (200, 10_000)
    packed = site.call("/invocations", gzip.compress(body), headers=HOST | {"Content-Encoding": "gzip"})
    assert packed[:2] == (200, answer)


def test_many_requests_share_connections_on_both_sides(site, behind, golden):
    """The client's connection stays open, and nginx's to the server: the server sees few of them."""
    host, port = urlsplit(site.url).netloc.split(":")
    body = json.dumps(one_row(golden))
    headers = HOST | {"Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:
        for _ in range(200):
            connection.request("POST", "/models/flights/invocations", body, headers)
            answer = connection.getresponse()
            assert (answer.status, len(json.loads(answer.read())["predictions"])) == (200, 1)
    assert len(connections_to(int(urlsplit(behind.url).port))) <= 4


def connections_to(port: int) -> set[str]:
    """The local ends of connections to a loopback port, those that were closed a moment ago included."""
    wanted = f"0100007F:{port:04X}"
    with Path("/proc/net/tcp").open() as table:
        return {line.split()[1] for line in table if line.split()[2] == wanted}


@pytest.mark.parametrize(
    "more",
    [
        "Expect: 100-continue",
        "Transfer-Encoding: chunked",
        "TE: trailers",
        "Accept: text/html",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    ],
)
def test_headers_that_clients_add_do_no_harm(site, golden, more):
    """As curl sends Expect for a large body, and Java an Upgrade: one right answer each."""
    host, port = urlsplit(site.url).netloc.split(":")
    body = json.dumps(one_row(golden)).encode()
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if "chunked" in more else body
    length = "" if "chunked" in more else f"Content-Length: {len(body)}\r\n"
    head = "POST /models/flights/invocations HTTP/1.1\r\nHost: models.example.com\r\n"
    head += f"Content-Type: application/json\r\n{length}{more}\r\n\r\n"
    with closing(socket.create_connection((host, int(port)), timeout=20)) as connection:
        connection.sendall(head.encode())
        if "Expect" in more:
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection, method="POST")
        answer.begin()
        assert (answer.status, len(json.loads(answer.read())["predictions"])) == (200, 1)

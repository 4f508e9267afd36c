"""Clients that ask for HTTP/2 on plain HTTP, as they come: the answer is HTTP/1.1, the body is read."""

import json
import re
import shutil
import socket
import subprocess
from contextlib import closing

import pytest

from tests.conftest import missing_part
from tests.recorded import recorded

JAVA = """
import java.net.URI;
import java.net.http.*;

class Ask {
    public static void main(String[] given) throws Exception {
        var client = HttpClient.newHttpClient();
        for (int round = 0; round < 3; round++) {
            for (var body : new HttpRequest.BodyPublisher[] {
                    HttpRequest.BodyPublishers.ofString(given[1]),
                    HttpRequest.BodyPublishers.fromPublisher(HttpRequest.BodyPublishers.ofString(given[1]))}) {
                var request = HttpRequest.newBuilder(URI.create(given[0] + "/invocations"))
                    .header("Content-Type", "application/json").POST(body).build();
                var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                System.out.println(answer.statusCode() + " " + answer.body());
            }
        }
        var request = HttpRequest.newBuilder(URI.create(given[0] + "/livez")).build();
        System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
    }
}
"""


@pytest.fixture
def asked(golden):
    """A request, and the answer that is right."""
    return json.dumps({"dataframe_records": [golden[0]["row"]]}), [golden[0]["prediction"]]


def test_javas_client_is_answered_with_its_defaults(server, asked, tmp_path):
    """JDK's HttpClient asks for h2c with every request on plain HTTP; bodies with a length, and chunked."""
    if shutil.which("java") is None:
        missing_part("java")
    body, right = asked
    source = tmp_path / "Ask.java"
    source.write_text(JAVA)
    command = ["java", "-XX:TieredStopAtLevel=1", str(source), server.url, body]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    *answers, last = done.stdout.splitlines()
    assert [answer.split(" ", 1)[0] for answer in answers] == ["200"] * 6, done.stdout
    assert all(json.loads(answer[4:])["predictions"] == right for answer in answers)
    assert last == "200"


@pytest.mark.parametrize("extra", [[], ["-H", "Transfer-Encoding: chunked"]])
def test_curls_http2_is_answered(server, asked, extra):
    """Two requests on one connection, which stays in step."""
    if "HTTP2" not in subprocess.run(["curl", "-V"], capture_output=True, text=True, check=True).stdout:
        missing_part("curl with HTTP/2")
    body, right = asked
    command = ["curl", "-sS", "--http2", "-w", "\n%{http_version} %{num_connects}\n", "-d", body, *extra]
    command += ["-H", "Content-Type: application/json", *[server.url + "/invocations"] * 2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    first, how, second, again = done.stdout.splitlines()
    assert json.loads(first)["predictions"] == json.loads(second)["predictions"] == right
    assert (how, again) == ("1.1 1", "1.1 0")


def test_a_body_behind_an_upgrade_is_never_a_request(server):
    """The request in the body comes in a packet of its own; what is behind it is answered."""
    inner = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=20)) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(inner))
        connection.sendall(inner)
        found = connection.recv(65536)
        assert found.startswith(b"HTTP/1.1 400 ")
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        while part := connection.recv(65536):
            found += part
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"400", b"200"]
    assert found.endswith(b'{"status":"alive"}')
    recorded(
        "security",
        "a request in the body of a request that asks for an upgrade (h2c, websocket, TLS)",
        "ignores the upgrade and reads the body as a body",
        "the answer to the one request that was sent",
    )

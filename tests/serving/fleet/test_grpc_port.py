"""The port of gRPC belongs to one server: not to two, and again to one that was stopped a moment ago."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.errors import SettingsError
from serving.fleet.grpc_port import Reserved, reserve
from serving.running import free_port
from tests.conftest import ROOT
from tests.recorded import recorded
from tests.serving.front.rpc.grpc_calls import Caller, one_row


def test_a_second_server_on_the_port_is_refused(start, line) -> None:
    """It would have got half of the first one's calls, and asked no key for them."""
    port = free_port()
    with start("--model", f"line={line}", "--grpc-port", str(port)):
        words = [sys.executable, "-m", "serving", "--model", str(line), "--port", "0"]
        for host in ("127.0.0.1", "0.0.0.0", "::"):
            done = subprocess.run(
                [*words, "--no-auth", "--host", host, "--grpc-port", str(port)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (done.returncode, done.stdout) == (2, "")
            (said,) = done.stderr.splitlines()
            assert f":{port}: the port is in use" in said
        with Caller(port) as caller:
            assert {caller.infer(one_row())[0] for _ in range(20)} == {"OK"}
    recorded(
        "reliability",
        "a second server on the same --grpc-port",
        "the second one says that the port is in use and ends with exit code 2",
        "nothing",
    )


def test_a_server_starts_again_where_one_was_stopped(start, line) -> None:
    """Connections that the first one closed stay with the kernel for a minute; they are no server."""
    port = free_port()
    for _ in range(2):
        with start("--model", f"line={line}", "--grpc-port", str(port)), Caller(port) as caller:
            assert caller.infer(one_row())[0] == "OK"
        leave_a_closed_connection(port)


@pytest.mark.parametrize("is_fresh", [True, False])
def test_of_starts_at_the_same_moment_one_gets_the_port(is_fresh: bool) -> None:
    """Whether or not connections of an earlier server stand in the way."""
    port = free_port()
    for _ in range(60):
        if not is_fresh:
            leave_a_closed_connection(port)
        together = threading.Barrier(6)
        with ThreadPoolExecutor(6) as starts:
            said = list(starts.map(contend, [port] * 6, [together] * 6))
        kept = [each for each in said if isinstance(each, Reserved)]
        for each in kept:
            each.close()
        assert len(kept) == 1, said
        assert all("in use" in each for each in said if each not in kept)


def contend(port: int, together: threading.Barrier) -> Reserved | str:
    """Reserve at the same moment as others; return why not."""
    together.wait(60)
    try:
        return reserve("127.0.0.1", port)
    except SettingsError as error:
        return str(error)


def leave_a_closed_connection(port: int) -> None:
    """Close a connection at the server's side first."""
    with socket.create_server(("127.0.0.1", port), reuse_port=True) as listener:
        client = socket.create_connection(("127.0.0.1", port))
        listener.accept()[0].close()
        client.close()


def test_those_who_share_a_reserved_port_get_all_its_connections() -> None:
    """The one that keeps it listens no more, or a share of them would be lost."""
    kept = reserve("127.0.0.1", free_port())
    workers = [socket.create_server(("127.0.0.1", kept.port), reuse_port=True) for _ in range(2)]
    for worker in workers:
        worker.setblocking(False)
    taken = 0
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", kept.port), timeout=20):
            for worker in workers:
                try:
                    worker.accept()[0].close()
                    taken += 1
                except BlockingIOError:
                    pass
    for worker in workers:
        worker.close()
    kept.close()
    assert taken == 30


@pytest.mark.parametrize("host", ["localhost", "::1", "::", "127.0.0.1"])
def test_any_free_port_is_kept_on_each_of_a_hosts_addresses(host: str) -> None:
    """And is in use from then on."""
    kept = reserve(host, 0)
    with pytest.raises(SettingsError, match="in use"):
        reserve(host, kept.port)
    kept.close()
    reserve(host, kept.port).close()


def test_an_address_of_another_machine_is_said() -> None:
    """As the kernel says it."""
    with pytest.raises(SettingsError, match=r"cannot listen for gRPC on 192\.0\.2\.1:1234: "):
        reserve("192.0.2.1", 1234)

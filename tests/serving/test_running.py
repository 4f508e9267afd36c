"""Servers that are started for a purpose: what is said where they fail, and that none stays behind."""

from __future__ import annotations

import socket
import sys

import psutil
import pytest

from serving import running
from serving.errors import ServerFailed
from tests.serving.processes import until

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {DEAF!r}]).pid, flush=True); input()"


def test_a_server_that_refuses_to_start_is_quoted(tmp_path):
    """Whoever started it, a promotion or a test, sees why."""
    with (
        pytest.raises(ServerFailed, match=r"the server did not start: .*nowhere"),
        running.served("--model", str(tmp_path / "nowhere"), stderr=-2),
    ):
        pass


def test_a_process_that_ends_early_is_not_waited_for():
    """The patience is for those that still may answer."""
    url = f"http://127.0.0.1:{running.free_port()}/"
    with (
        running.started([sys.executable, "-c", ""]) as process,
        pytest.raises(ServerFailed, match="did not get ready"),
    ):
        running.await_answer(url, process, seconds=3600)


def test_a_port_where_nobody_listens_is_named():
    """A test that hangs says nothing."""
    port = running.free_port()
    with pytest.raises(ServerFailed, match=f"nothing listens on port {port}"):
        running.await_port(port, seconds=0.1)


def test_a_free_port_is_given_to_nobody_else():
    """A server starts seconds after its port was chosen; until then another process asked for any, and answered."""
    others = [socket.create_server(("127.0.0.1", 0)) for _ in range(20)]
    given = {each.getsockname()[1] for each in others}
    for each in others:
        each.close()
    if min(given) <= max(running.PORTS):
        pytest.skip("this system gives ports of all numbers")
    assert {running.free_port() for _ in range(20)} <= set(running.PORTS)


def test_a_host_on_which_nobody_may_listen_is_named(monkeypatch):
    """Seeking on would never end."""
    monkeypatch.setattr("serving.running.socket.create_server", _refused)
    with pytest.raises(ServerFailed, match=r"no port of 127\.0\.0\.1"):
        running.free_port()


def _refused(*_: object) -> None:
    raise PermissionError


def test_a_process_that_does_not_listen_to_sigterm_is_killed(monkeypatch):
    """None stays behind, whatever it does."""
    monkeypatch.setattr(running, "STOPS_WITHIN", 0.2)
    with running.started([sys.executable, "-c", DEAF], stdout=-1, text=True) as process:
        process.stdout.readline()
    assert process.returncode == -9


def test_the_children_of_a_group_end_with_it(monkeypatch):
    """`mlflow models serve` starts its server through a shell, which does not pass a signal on."""
    monkeypatch.setattr(running, "STOPS_WITHIN", 0.2)
    words = [sys.executable, "-c", PARENT]
    opened = {"stdin": -1, "stdout": -1, "text": True, "start_new_session": True}
    with running.started(words, **opened) as process:
        child = int(process.stdout.readline())
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")


def test_a_socket_that_hears_itself_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks a free port again and again is once given that port for its own end, and then connects to itself."""
    port, made = running.free_port(), socket.socket

    def of_that_port() -> socket.socket:
        probe = made()
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return probe

    monkeypatch.setattr("serving.running.socket.socket", of_that_port)
    with pytest.raises(ServerFailed, match="nothing listens"):
        running.await_port(port, seconds=0.1)

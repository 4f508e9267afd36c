"""What one worker does with its parent's orders, and with files that it watches: without a socket or a process."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from serving.worker import draining_server as worker


@pytest.fixture
def server():
    """A worker's server that listens nowhere."""
    found = worker.DrainingServer.__new__(worker.DrainingServer)
    found._backend = SimpleNamespace(
        settings=SimpleNamespace(hung_seconds=20.0),
        draining=False,
        statuses={},
        watched=[],
        certificates=None,
    )
    found._admission = SimpleNamespace(leaving=False, draining=False)
    found._grpc, found.should_exit = None, False
    return found


def obeyed(server, *lines):
    """Have it read these lines, and no more; return what it answered."""
    written = []

    async def run():
        reader = asyncio.StreamReader()
        reader.feed_data(b"".join(lines))
        reader.feed_eof()
        await server._obey_line(reader, SimpleNamespace(write=written.append))
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(run())
    return written


def test_a_worker_leaves_while_it_loads_a_version(server, monkeypatch):
    """A version takes up to a minute; balancers would hear of the end when the server is gone."""
    begun = []

    async def load(order):
        begun.append(order["order"])
        await asyncio.Event().wait()

    monkeypatch.setattr(server, "_do", load)
    obeyed(server, b'{"order": 1, "prepare": {}}\n', b'{"order": 2, "prepare": {}}\n', b'{"leave": true}\n')
    assert (server._backend.draining, server._admission.leaving, begun) == (True, True, [1])


def test_versions_are_loaded_one_after_the_other(server, monkeypatch):
    """A swap counts on what was prepared before it."""
    loading = []

    async def load(order):
        loading.append(order["order"])
        assert len(loading) == 1
        await asyncio.sleep(0)
        loading.remove(order["order"])

    monkeypatch.setattr(server, "_do", load)
    orders = [b'{"order": %d, "prepare": {}}\n' % number for number in (1, 2)]
    assert obeyed(server, *orders)[-2:] == [
        b'{"order": 1, "refused": null}\n',
        b'{"order": 2, "refused": null}\n',
    ]


def test_files_are_looked_at_again_after_a_look_that_failed(server, monkeypatch, caplog):
    """With no file left to open, nothing can be read nor listened to: keys were never read again after that."""
    looks = []

    async def look():
        looks.append(1)
        server.should_exit = len(looks) == 4
        if len(looks) < 4:
            raise OSError(24, "Too many open files")

    monkeypatch.setattr(worker.Watched, "SECONDS", 0.0)
    monkeypatch.setattr(server, "_look", look)
    asyncio.run(server._watch())
    assert len(looks) == 4
    assert caplog.text.count("Too many open files") == 1

"""A connection that ended is gone at once: the collector, which comes by once in 700 of them, need not free it."""

import gc

import pytest

from serving.front.connections.connection import Connection
from tests.serving.front.connections import wire

HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
WHOLE = HEAD + b"Content-Length: 2\r\n\r\n{}"
ENDS = {
    "kept alive": [WHOLE],
    "closed": [HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"],
    "several requests": [WHOLE * 3],
    "left in the middle of a body": [HEAD + b"Content-Length: 9\r\n\r\n{}"],
    "left with requests ahead": [HEAD + b"Content-Length: 9\r\n\r\n123456789" * 2 + WHOLE[:-1]],
    "refused": [b"POST / HTTP/3.7\r\n\r\n"],
    "never asked": [],
}


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("what", ENDS)
def test_nothing_of_an_ended_connection_stays(what, secure, monkeypatch):
    """Its ties lead back to itself: 7 kB each, and a worker asked by many short connections grew by 5 MB."""
    extra = {"sslcontext": object()} if secure else {}
    monkeypatch.setattr(
        wire.Transport, "get_extra_info", lambda _, name, default=None: extra.get(name, default)
    )
    wire.converse(*ENDS[what])
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            wire.converse(*ENDS[what])
        left = [each for each in gc.get_objects() if isinstance(each, Connection)]
    finally:
        gc.enable()
    assert not left

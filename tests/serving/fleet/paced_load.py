"""A client at a steady rate over a few connections, whose every answer must prove its version."""

from __future__ import annotations

import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import orjson

ROWS = 1000
"""In a request, so that the server works harder than the client that measures it."""

STEP = 1000.0
"""Version n predicts n times so much more than version 0 would: each answer proves its version."""


class Paced:
    """What a paced load saw."""

    def __init__(self) -> None:
        self.good = self.failed = self.wrong = 0
        self.seconds = []


def paced(url, *, rate, until, stop="", connections=4):
    """Ask at a rate (None: as fast as it goes) until a moment, or until the file `stop` is there.

    A request's time runs from when it was due, so that a pause of the server counts for all it delays.
    """
    found, lock = Paced(), threading.Lock()
    host, port = url.removeprefix("http://").split(":")
    body = orjson.dumps({"x": [3.0] * ROWS})

    def one(place):
        connection = HTTPConnection(host, int(port), timeout=20)
        mine, due = Paced(), time.monotonic() + place * (connections / rate if rate else 0) / connections
        while time.time() < until and not (stop and Path(stop).exists()):
            if rate:
                time.sleep(max(0.0, due - time.monotonic()))
            began = due if rate else time.monotonic()
            due += connections / rate if rate else 0
            try:
                connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                ys = orjson.loads(answer.read())["y"]
            except (OSError, HTTPException, KeyError):
                mine.failed += 1
                connection.close()
                continue
            mine.seconds.append(time.monotonic() - began)
            mine.good += 1
            versions = {round((y - 11) / STEP) for y in set(ys)}
            mine.wrong += len(ys) != ROWS or versions != {int(answer.headers["X-Model-Version"])}
        connection.close()
        with lock:
            found.good += mine.good
            found.failed += mine.failed
            found.wrong += mine.wrong
            found.seconds += mine.seconds

    threads = [threading.Thread(target=one, args=(place,)) for place in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found

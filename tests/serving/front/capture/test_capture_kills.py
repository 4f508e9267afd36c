"""kill -9 at any moment costs the rows of the last 0.2 s and no other, and no row stands twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress

import pytest

from data.captures import Places
from tests.serving.front.capture.captures import kept_in
from tests.serving.processes import pace, processes_of, until

BOUND = 0.2
"""Seconds, as docs/captures.md says."""


class Asking(threading.Thread):
    """A client that asks until it is told to stop; it keeps each id with the moments of its question and answer."""

    def __init__(self, served):
        super().__init__()
        self.served, self.answers, self.going = served, [], True

    def run(self):
        """Ask; a killed worker's clients get no answer."""
        while self.going:
            asked = time.monotonic()
            with suppress(OSError):
                status, _, headers = self.served.call("/predict", {"x": 3})
                self.answers.append((asked, time.monotonic(), headers["X-Prediction-Id"]))
                assert status == 200


def killed(served, moment, lot):
    """Kill one of the workers after so many seconds; return when. At least two others are there."""
    until(lambda: len(processes_of(served)) > 2)
    time.sleep(moment)
    os.kill(lot.choice(processes_of(served)).pid, signal.SIGKILL)
    return time.monotonic()


def lost_after_kills(start, line, folder, moments):
    """Return how long before the next kill rows were answered that are not kept."""
    lot = random.Random(18)
    with start("--model", str(line), "--workers", "4", "--capture", str(folder)) as served:
        asking = Asking(served)
        asking.start()
        kills = [killed(served, moment, lot) for moment in moments]
        time.sleep(1.0)
        asking.going = False
        asking.join()
    found = kept_in(folder, endings=(".frames",))
    assert [path for path in Places(folder).frames.glob("*.open") if path.stat().st_size] == []
    assert found
    lost = [moments for *moments, first in asking.answers if first not in found]
    assert len(lost) < len(asking.answers) / 2
    return [
        min((kill - answered for kill in kills if kill >= asked), default=99.0) for asked, answered in lost
    ]


def test_a_worker_that_is_killed_loses_a_moment(start, line, tmp_path):
    """Its parent closes what it left, while the others write on."""
    lost = lost_after_kills(start, line, tmp_path / "captures", [0.5])
    assert max(lost, default=0.0) < BOUND * pace()


@pytest.mark.soak
def test_twenty_kills_at_random_moments_lose_a_moment_each(start, line, tmp_path):
    """Within a frame or a write: what was answered more than 0.2 s before is there, once."""
    lot = random.Random(81)
    moments = [lot.uniform(0.0, 0.6) for _ in range(20)]
    lost = lost_after_kills(start, line, tmp_path / "captures", moments)
    assert max(lost, default=0.0) < BOUND * pace()


def test_what_a_killed_server_left_is_closed_by_the_next(start, line, tmp_path):
    """Parent and worker at once, as when the machine takes the whole group."""
    folder = tmp_path / "captures"
    with start("--model", str(line), "--capture", str(folder)) as served:
        first = served.call("/predict", {"x": 3})[2]["X-Prediction-Id"]
        time.sleep(2 * BOUND)
        (worker,) = processes_of(served)
        served.process.kill()
        os.kill(worker.pid, signal.SIGKILL)
        served.process.wait(10)
    assert list(Places(folder).frames.glob("*.open"))
    with start("--model", str(line), "--capture", str(folder)):
        assert first in kept_in(folder, endings=(".frames",))

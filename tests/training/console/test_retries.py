"""What a command waits for is said at once, by MLflow's own clients against a server that fails."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.rest_utils import MlflowHostCreds, http_request

from tests.faulty_wire import INSUFFICIENT, Fault, FaultyWire, faulty_wire
from training.console import retries

BUSY = INSUFFICIENT.replace(b"507 Insufficient Storage", b"503 Service Unavailable")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a command says; nobody waits."""
    lines: list[str] = []
    monkeypatch.setattr(time, "sleep", lambda _: None)
    retries.tell(lambda step, outcome: lines.append(f"{step}: {outcome}"))
    return lines


@pytest.fixture
def wire() -> Iterator[FaultyWire]:
    """A wire before one who hears and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent, faulty_wire(silent.getsockname()[1]) as made:
        yield made


def put(wire: FaultyWire, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write to MLflow's server, with three attempts behind the first."""
    for name, value in {"MAX_RETRIES": "3", "BACKOFF_FACTOR": "2", "BACKOFF_JITTER": "0"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    http_request(MlflowHostCreds(f"http://127.0.0.1:{wire.port}"), address, "PUT", data=b"file")


def test_a_server_whose_bucket_is_full_is_waited_for_aloud(
    wire: FaultyWire, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow asks seven times again, for four minutes; the first time at once, which needs no word."""
    fault = Fault(b"PUT /", "says", answer=BUSY)
    with wire.failing(fault), pytest.raises(MlflowException, match="too many 503"):
        put(wire, "/api/2.0/mlflow-artifacts/artifacts/0/model", monkeypatch)
    why = "wait: the server answers 503 for files: its bucket may be down, or full; trying again in"
    assert (fault.happened, said) == (4, [f"{why} 4 s (2 of 3)", f"{why} 8 s (3 of 3)"])


def test_a_server_that_is_away_is_waited_for_aloud(
    wire: FaultyWire, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is restarted, or gone."""
    with wire.failing(Fault(b"PUT /", "lost")), pytest.raises(MlflowException):
        put(wire, "/api/2.0/mlflow/runs/update", monkeypatch)
    why = "wait: the server does not answer (ProtocolError) for tracking; trying again in"
    assert said == [f"{why} 4 s (2 of 3)", f"{why} 8 s (3 of 3)"]

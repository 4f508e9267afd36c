"""A server that is told to end before it serves."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from serving import __main__ as server
from serving.registry.errors import NotPromoted


@pytest.fixture(autouse=True)
def own_handler() -> Iterator[None]:
    """Give this process its handler back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("error", [ValueError("no schema"), NotPromoted(uri="models:/line/1")])
def test_it_ends_well_whatever_a_library_makes_of_the_signal(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pydantic made a SchemaError of it while MLflow was imported, and the server's end was a traceback with code 1."""

    def serve(*_: object) -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit as told:
            raise error from told
        return 1

    monkeypatch.setattr(server, "serve", serve)
    assert server.main(["--model", "models:/line@champion"]) == 0
    assert capsys.readouterr().err == ""


def test_what_fails_without_it_is_told() -> None:
    """A fault of ours is no end that somebody asked for."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="no schema"):
        patch.setattr(server, "serve", lambda *_: int("no schema"))
        server.main(["--model", "models:/line@champion"])

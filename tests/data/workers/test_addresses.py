"""An engine's address: what it may be, and who is told what."""

from __future__ import annotations

import pytest

from data.workers import Address
from data.workers.errors import BadEngine


@pytest.mark.parametrize(
    ("word", "where"),
    [
        ("dask", ""),
        ("dask://cluster", "tcp://cluster:8786"),
        ("dask://10.0.0.5:9000/", "tcp://10.0.0.5:9000"),
        ("tls://Cluster.example:8786", "tls://cluster.example:8786"),
        ("tls://[::1]:8786", "tls://[::1]:8786"),
    ],
)
def test_an_address_is_what_dask_takes(word: str, where: str) -> None:
    """With the port of a scheduler that was told none."""
    assert Address.of(word).where == where


@pytest.mark.parametrize(
    "word",
    [
        "",
        "Dask",
        "spark://h:1",
        "dask://",
        "dask://h:port",
        "dask://h:99999",
        "tls://me:secret@h",
        "tls://h/x",
    ],
)
def test_what_is_no_address_is_refused(word: str) -> None:
    """Before a model is fetched; and Dask has no passwords."""
    with pytest.raises(
        BadEngine, match=r"pass dask for processes here, dask://host:8786, or tls://host:8786"
    ) as told:
        Address.of(word)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("word", "is_told"),
    [
        ("dask", False),
        ("dask://localhost", False),
        ("dask://127.0.0.2:1", False),
        ("dask://[::1]", False),
        ("tls://10.0.0.5", False),
        ("dask://10.0.0.5", True),
        ("tcp://scheduler", True),
    ],
)
def test_who_sends_rows_unencrypted_to_another_machine_is_told(word: str, is_told: bool) -> None:
    """Dask's messages are pickles: who can write them runs code."""
    assert ("is not encrypted" in Address.of(word).warning) == is_told

"""Before a cluster is reached: what this machine itself lacks is said in one line, at once."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from data.workers import Address, reached, reaching
from data.workers.errors import EngineSilent, NoDask
from tests.conftest import ROOT
from tests.dask_cluster import needs_dask


def reach(word: str) -> None:
    """Look for workers."""
    with reached(Address.of(word), packages=(), needs=()):
        pass


def test_certificates_that_lack_are_asked_for_at_once() -> None:
    """Dask's client tried for 20 seconds to close what it had not opened, and told of it in a traceback."""
    needs_dask()
    began = time.monotonic()
    with pytest.raises(
        EngineSilent, match=r"asks for certificates: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
    ):
        reach("tls://127.0.0.1:1")
    assert time.monotonic() - began < 10.0


def test_a_certificate_that_is_not_there_is_named() -> None:
    """The file was moved, or the variable has a typing error."""
    needs_dask()
    import dask

    with (
        dask.config.set({"distributed.comm.tls.ca-file": "/nowhere/ca.pem"}),
        dask.config.set({"distributed.comm.tls.client.cert": "/nowhere/own.pem"}),
        pytest.raises(EngineSilent, match="No such file or directory"),
    ):
        reach("tls://127.0.0.1:1")


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no Dask gets no ModuleNotFoundError."""
    monkeypatch.setattr(reaching, "find_spec", lambda _: None)
    with pytest.raises(
        NoDask, match=r"^engine=dask needs Dask: pip install '\.\[dask\]' in Slipway's folder$"
    ):
        reach("dask")


def test_who_names_no_engine_imports_no_dask() -> None:
    """It takes 0.4 s and 20 MB."""
    words = (
        "import serving.batch.__main__, sys; sys.exit('distributed' in sys.modules or 'dask' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, check=False)
    assert done.returncode == 0

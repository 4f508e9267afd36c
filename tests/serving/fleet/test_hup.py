"""SIGHUP reads keys and certificate, and replaces the workers only where both can be used."""

import hashlib
import re
import shutil
import signal

import pytest

from tests.recorded import recorded
from tests.serving.processes import processes_of, until


@pytest.fixture
def copies(pair, tmp_path):
    """How to copy a good pair, where the copies are, and a file of keys."""
    places = (tmp_path / "cert.pem", tmp_path / "key.pem")
    keys = tmp_path / "keys"
    keys.write_text(hashlib.sha256(b"secret-of-this-test").hexdigest())

    def copy():
        for ours, given in zip(places, pair, strict=True):
            shutil.copy(given, ours)

    copy()
    return copy, *places, keys


@pytest.mark.parametrize("broken", ["no certificate", "another key"])
def test_a_broken_pair_costs_no_worker(start, line, copies, capfd, broken):
    """The old workers go on with the old pair; one line says why, and a good pair is taken later."""
    copy, cert, key, keys = copies
    options = ["--tls-cert", str(cert), "--tls-key", str(key), "--api-key-file", str(keys)]
    with start("--model", str(line), *options) as served:
        until(lambda: _listens(served))
        before = [worker.pid for worker in processes_of(served)]
        shutil.copy(key, cert) if broken == "no certificate" else key.write_text("no key")
        served.process.send_signal(signal.SIGHUP)
        said = _until_said(capfd, r"SIGHUP: --tls-cert .* no usable pair in PEM: .*; the workers stay")
        assert "Traceback" not in said
        assert [worker.pid for worker in processes_of(served)] == before
        copy()
        served.process.send_signal(signal.SIGHUP)
        _until_said(capfd, r"SIGHUP: keys and certificate read, 1 workers to be replaced")
        until(lambda: not set(before) & {worker.pid for worker in processes_of(served)})
    recorded(
        "reliability",
        f"SIGHUP with a broken certificate pair ({broken})",
        "said so in one line; the workers stayed with the old pair",
        "nothing",
    )


def _listens(served):
    """Return whether the worker has taken its first connection, and so hears signals."""
    import ssl
    import urllib.request
    from urllib.error import HTTPError

    trusting = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(served.url + "/livez", timeout=5, context=trusting) as answer:
            return answer.status == 200
    except HTTPError:
        return True
    except OSError:
        return False


def _until_said(capfd, words):
    """Wait for a line on stderr; return all that was said until then."""
    said = []

    def found():
        said.append(capfd.readouterr().err)
        return re.search(words, "".join(said))

    until(found)
    return "".join(said)

"""What the tests of several processes share."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.conftest import missing_part


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A self-signed certificate and its key."""
    if shutil.which("openssl") is None:
        missing_part("openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    alternative = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", *words, *alternative, "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    return cert, key

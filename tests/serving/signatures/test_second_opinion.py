"""The OpenSSF's own tool verifies what we sign, and we verify what it signs."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from serving.scorer.version_files import digests_in
from serving.signatures import Statement, Trust
from serving.signatures.errors import NotTrusted
from tests.keys import pair
from training.signing import given_key


@pytest.fixture(scope="session")
def model_signing(environment_of):
    """The tool; 1.1.1 does not name pyOpenSSL, which it imports."""
    return environment_of("model-signing==1.1.1", "pyopenssl") / "model_signing"


def run(*words):
    """Run it; return its exit code and what it says."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: curve.name)
def test_the_upstream_tool_verifies_ours_and_we_verify_its(model_signing, line, tmp_path, monkeypatch, curve):
    """A real version's folder as MLflow fetches it, with the file that it adds and the signature inside."""
    keys, folder = pair(tmp_path, curve=curve), tmp_path / "version"
    shutil.copytree(line, folder)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(keys.private))
    (folder / "scorer.sig").write_text(given_key().signed(Statement(digests_in(folder), "line", "1", 1)))
    (folder / "registered_model_meta").write_text("model_name: line")
    verify = (model_signing, "verify", "key", folder, "--public_key", keys.public, "--signature")
    code, said = run(*verify, folder / "scorer.sig")
    assert (code, "succeeded" in said) == (0, True), said

    theirs, trust = tmp_path / "theirs.sig", Trust((keys.public,))
    code, said = run(
        model_signing, "sign", "key", folder, "--private_key", keys.private, "--signature", theirs
    )
    assert code == 0, said
    signed = trust.signed_in(theirs.read_text(), "the folder")
    shutil.copytree(folder, tmp_path / "served")
    signed.check_files(folder / "scorer")
    with pytest.raises(NotTrusted, match="its signature is that of a folder, no version"):
        trust.check(theirs.read_text(), name="line", version="1")

    with (folder / "scorer" / "scorer.json").open("a") as document:
        document.write(" ")
    code, said = run(*verify, folder / "scorer.sig")
    assert code != 0, said
    assert "scorer/scorer.json" in said
    with pytest.raises(NotTrusted, match=r"scorer/scorer\.json is changed"):
        signed.check_files(folder / "scorer")

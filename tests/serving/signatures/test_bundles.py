"""A signature is believed for what a trusted key signed, and for nothing else."""

from __future__ import annotations

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.scorer.version_files import digests_in, files_digest
from serving.signatures import Statement, Trust
from serving.signatures.errors import BadTrust, NotTrusted
from serving.signatures.statements import read_statement
from tests.keys import pair, written
from training.errors import CannotSign
from training.signing import given_key


@pytest.fixture
def version(tmp_path):
    """A version's folder."""
    folder = tmp_path / "version"
    for path, content in {
        "scorer/model.onnx": "graph",
        "scorer/scorer.json": "{}",
        "MLmodel": "flavors",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """The pair of the one who signs."""
    made = pair(tmp_path)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(made.private))
    return made


@pytest.fixture
def trust(keys):
    """Trust in that key."""
    return Trust.in_files([str(keys.public)])


def signature(version, name="houses", number="3", sequence=5):
    """What the key says of the folder."""
    return given_key().signed(Statement(digests_in(version), name, number, sequence))


def reshaped(bundle, change):
    """A bundle with something else in it."""
    written = json.loads(bundle)
    change(written)
    return json.dumps(written)


@pytest.mark.parametrize(
    "curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name
)
def test_what_one_key_signs_its_public_half_verifies(tmp_path, version, monkeypatch, curve):
    """All three curves that the format knows."""
    made = pair(tmp_path, curve=curve)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(made.private))
    signed = Trust.in_files([str(made.public)]).check(signature(version), name="houses", version="3")
    assert (signed.statement.sequence, signed.statement.digest) == (5, files_digest(version))
    signed.check_files(version, whole=True)
    signed.check_files(version / "scorer")


def test_a_statement_is_read_back_as_it_was_written(version):
    """Nothing of it is lost between the two."""
    statement = Statement(digests_in(version), "houses", "3", 5)
    assert read_statement(statement.as_json()) == statement


def test_the_files_are_held_to_the_signature(version, trust):
    """Changed, added, removed: each by its name, and MLflow's own file and the signature beside them left out."""
    signed = trust.check(signature(version), name="houses", version="3")
    (version / "registered_model_meta").write_text("MLflow's")
    (version / "scorer.sig").write_text("{}")
    signed.check_files(version, whole=True)
    (version / "code").mkdir()
    (version / "code" / "door.py").write_text("import os")
    with pytest.raises(NotTrusted, match=r"houses version 3 is not trusted: code/door\.py was added"):
        signed.check_files(version, whole=True)
    (version / "code" / "door.py").unlink()
    (version / "MLmodel").unlink()
    with pytest.raises(NotTrusted, match="MLmodel is absent"):
        signed.check_files(version, whole=True)
    (version / "scorer" / "model.onnx").write_text("grapj")
    with pytest.raises(NotTrusted, match=r"scorer/model\.onnx is changed since it was signed"):
        signed.check_files(version / "scorer")
    (version / "scorer" / "model.onnx").unlink()
    with pytest.raises(NotTrusted, match=r"scorer/model\.onnx is absent"):
        signed.check_files(version / "scorer")


def test_a_signature_is_that_of_one_name_and_number(version, trust):
    """Else the signature of one version would open the door to another."""
    bundle = signature(version)
    for name, number in (("flights", "3"), ("houses", "4")):
        with pytest.raises(NotTrusted, match="its signature is that of houses version 3"):
            trust.check(bundle, name=name, version=number)


def test_an_unsigned_version_is_refused_with_the_command_that_signs_it(trust):
    """An empty tag is none."""
    for nothing in (None, ""):
        with pytest.raises(
            NotTrusted, match=r"sign it: mlflow run \. --env-manager local -e sign -P name=houses"
        ):
            trust.check(nothing, name="houses", version="3")


def test_another_key_is_refused_and_both_are_named(tmp_path, version, trust):
    """Whoever rotates keys sees which one is absent."""
    bundle = signature(version)
    other = Trust.in_files([str(pair(tmp_path, "other").public)])
    with pytest.raises(
        NotTrusted, match=r"signed by the key [0-9a-f]{16}, .* trusted are [0-9a-f]{16} \(other\.pub\)"
    ):
        other.check(bundle, name="houses", version="3")
    both = Trust((*other.paths, *trust.paths))
    assert both.check(bundle, name="houses", version="3").hint == trust.keys()[0].hint


def test_the_hint_of_a_trusted_key_opens_no_door(tmp_path, version, trust, monkeypatch):
    """It is not signed: an attacker writes there what he likes."""
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(pair(tmp_path, "attacker").private))
    hint = trust.keys()[0].hint
    forged = reshaped(signature(version), lambda b: b["verificationMaterial"]["publicKey"].update(hint=hint))
    with pytest.raises(NotTrusted, match="or changed since"):
        trust.check(forged, name="houses", version="3")


def payload_of(bundle):
    """The statement in a bundle."""
    return json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))


def test_a_statement_that_was_changed_is_refused(version, trust):
    """A newer number on an old signature."""
    bundle = signature(version)
    newer = payload_of(bundle)
    newer["predicate"]["slipway"]["sequence"] = 6
    text = base64.b64encode(json.dumps(newer).encode()).decode()
    with pytest.raises(NotTrusted, match="or changed since"):
        trust.check(
            reshaped(bundle, lambda b: b["dsseEnvelope"].update(payload=text)), name="houses", version="3"
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b["dsseEnvelope"].update(payloadType="text/plain"), "payload is of type 'text/plain'"),
        (lambda b: b.update(mediaType="application/json"), "bundle of type 'application/json'"),
        (lambda b: b["dsseEnvelope"].update(signatures=[]), "no Sigstore bundle"),
        (lambda b: b["dsseEnvelope"]["signatures"].append({"sig": ""}), "has 2 signatures"),
        (lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="*"), "no Sigstore bundle"),
        (lambda b: b["dsseEnvelope"]["signatures"][0].update(sig=""), "or changed since"),
        (lambda b: b["verificationMaterial"].pop("publicKey"), "no Sigstore bundle"),
        (lambda b: b.pop("dsseEnvelope"), "no Sigstore bundle"),
        (lambda b: b.update(padding="x" * 200_000), "at most 100,000 are read"),
    ],
)
def test_a_bundle_in_another_form_is_refused_with_what_is_wrong(version, trust, change, said):
    """One form, and no door beside it."""
    with pytest.raises(NotTrusted, match=said):
        trust.check(reshaped(signature(version), change), name="houses", version="3")


@pytest.mark.parametrize(
    "text", ["[]", "null", "7", "{", "[" * 90_000, '{"a":' * 10_000, "\x00", "NaN", "é" * 99_000]
)
def test_garbage_is_refused_at_once(trust, text):
    """Also what is nested as deep as a tag can hold."""
    started = time.perf_counter()
    with pytest.raises(NotTrusted, match="its signature cannot be read"):
        trust.check(text, name="houses", version="3")
    assert time.perf_counter() - started < 1


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "mediaType",
                        "dsseEnvelope",
                        "payload",
                        "signatures",
                        "sig",
                        "publicKey",
                        "verificationMaterial",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_no_text_raises_anything_else(tmp_path_factory, written_as):
    """The follower goes on after a refusal, and knows no other end."""
    made = pair(tmp_path_factory.mktemp("keys"))
    with pytest.raises(NotTrusted):
        Trust((made.public,)).check(json.dumps(written_as), name="houses", version="3")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "statement is of type"),
        (lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"), "predicate is of type"),
        (lambda s: s["subject"].append(s["subject"][0]), "not one subject"),
        (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "subject is not the digest"),
        (lambda s: s["predicate"]["resources"].pop(), "subject is not the digest"),
        (lambda s: s["predicate"].update(resources=[]), "lists no files"),
        (lambda s: s["predicate"]["resources"][0].update(name="../../etc/passwd"), "no file of one folder"),
        (lambda s: s["predicate"]["resources"][0].update(name="/etc/passwd"), "no file of one folder"),
        (lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]), "or twice there"),
        (lambda s: s["predicate"]["resources"][0].update(algorithm="md5"), "no SHA-256"),
        (lambda s: s["predicate"]["slipway"].update(sequence="5"), "does not name a version"),
        (lambda s: s["predicate"]["slipway"].update(sequence=-1), "does not name a version"),
        (lambda s: s["predicate"]["slipway"].update(sequence=True), "does not name a version"),
    ],
)
def test_a_statement_in_another_form_is_refused_though_it_is_signed(version, change, said):
    """A key may sign other things than versions."""
    statement = json.loads(Statement(digests_in(version), "houses", "3", 5).as_json())
    change(statement)
    with pytest.raises(ValueError, match=said):
        read_statement(json.dumps(statement).encode())


def test_a_key_file_that_cannot_be_used_is_refused_at_the_start(tmp_path, keys):
    """Not at the next promotion, at night."""
    rsa_key = written(rsa.generate_private_key(65537, 2048), tmp_path, "rsa")
    edwards = written(ed25519.Ed25519PrivateKey.generate(), tmp_path, "edwards")
    curve = pair(tmp_path, "bitcoin", ec.SECP256K1())
    (tmp_path / "garbage.pub").write_text("ssh-ed25519 AAAA")
    for path, said in (
        (keys.private, "is a private key: pass the public one"),
        (rsa_key.public, "kind RSAPublicKey, must be one of secp256r1"),
        (edwards.public, "kind Ed25519PublicKey"),
        (curve.public, "kind secp256k1"),
        (tmp_path / "garbage.pub", "no public key in PEM"),
        (tmp_path / "absent.pub", "cannot be read"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(BadTrust, match=said):
            Trust.in_files([str(path)])


def test_a_key_that_came_or_went_counts_from_the_next_version_on(tmp_path, version, keys, trust):
    """Keys are rotated without a restart."""
    bundle, kept = signature(version), keys.public.read_bytes()
    keys.public.write_bytes(pair(tmp_path, "next").public.read_bytes())
    with pytest.raises(NotTrusted, match="or changed since"):
        trust.check(bundle, name="houses", version="3")
    keys.public.unlink()
    with pytest.raises(NotTrusted, match="cannot be read"):
        trust.check(bundle, name="houses", version="3")
    keys.public.write_bytes(kept)
    assert trust.check(bundle, name="houses", version="3").statement.name == "houses"


def test_a_private_key_is_its_owners_alone(tmp_path, keys, monkeypatch):
    """And in a form that can be used without a person who types a password."""
    keys.private.chmod(0o640)
    with pytest.raises(CannotSign, match=r"key\.pem: can be read or written by others: chmod 600"):
        given_key()
    locked = pair(tmp_path, "locked", password=b"secret")
    edwards = written(ed25519.Ed25519PrivateKey.generate(), tmp_path, "edwards")
    for path, said in (
        (locked.private, "asks for a password"),
        (edwards.private, "kind Ed25519PrivateKey"),
        (tmp_path / "absent", "cannot be read"),
    ):
        monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(path))
        with pytest.raises(CannotSign, match=said):
            given_key()
    public = tmp_path / "public.pem"
    public.touch(mode=0o600)
    public.write_bytes(keys.public.read_bytes())
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(public))
    with pytest.raises(CannotSign, match="no private key in PEM"):
        given_key()
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", "")
    assert given_key() is None

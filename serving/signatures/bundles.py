"""How a statement travels: a Sigstore bundle v0.3, in it a DSSE envelope, in that the statement and one signature.

What stands around the statement is not signed: the kind of the payload is, since it is part of what the key signs, and
the hint only says which key to try. So nothing here is believed before a key has verified it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST = 100_000
"""Characters of a bundle: more go into no tag of MLflow's. A version has some fifteen files of 150 characters."""


@dataclass(frozen=True)
class Envelope:
    """A statement's bytes, their signature, and the SHA-256 of the key's PEM ("" where it is not said)."""

    payload: bytes
    signature: bytes
    hint: str = ""


def pae(payload: bytes) -> bytes:
    """Return what a key signs: DSSE's pre-authentication encoding."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def as_text(envelope: Envelope) -> str:
    """Return the bundle."""
    payload, signature = (base64.b64encode(each).decode() for each in (envelope.payload, envelope.signature))
    written = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": envelope.hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": payload,
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": signature, "keyid": ""}],
        },
    }
    return json.dumps(written, separators=(",", ":"))


def envelope_in(text: str) -> Envelope:
    """Read a bundle; raises ValueError with what is wrong with it."""
    if len(text) > LARGEST:
        raise ValueError(f"it has {len(text):,} characters, at most {LARGEST:,} are read")
    try:
        written = json.loads(text)
        media, envelope = written["mediaType"], written["dsseEnvelope"]
        kind, signatures = envelope["payloadType"], envelope["signatures"]
        result = _read(envelope, signatures, written["verificationMaterial"])
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError, ValueError) as error:
        raise ValueError(f"it is no Sigstore bundle ({type(error).__name__})") from error
    if media != MEDIA_TYPE:
        raise ValueError(f"it is a bundle of type {str(media)[:60]!r}")
    if kind != PAYLOAD_TYPE:
        raise ValueError(f"its payload is of type {str(kind)[:60]!r}, must be {PAYLOAD_TYPE}")
    if len(signatures) != 1:
        raise ValueError(f"it has {len(signatures)} signatures, must have one")
    return result


def _read(envelope: Any, signatures: Any, material: Any) -> Envelope:
    key = material.get("publicKey")
    if key is None:
        raise ValueError("signed by a certificate")
    payload, signature = (
        base64.b64decode(word, validate=True) for word in (envelope["payload"], signatures[0]["sig"])
    )
    return Envelope(payload, signature, str(key.get("hint") or ""))

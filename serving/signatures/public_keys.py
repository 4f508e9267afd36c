"""The keys of OpenSSF Model Signing: ECDSA on P-256, P-384 and P-521, each with the hash of its size.

`cryptography` is imported at its first use: a server without --trust does without it. The format knows no Ed25519.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.signatures.bundles import Envelope, pae
from serving.signatures.errors import BadTrust

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

KINDS = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""The hash that goes with each curve."""

LARGEST_KEY = 10_000
"""Bytes of a PEM file; a P-521 key has 268."""


@dataclass(frozen=True)
class PublicKey:
    """One trusted key, and the file that it came from."""

    path: Path
    hint: str
    key: EllipticCurvePublicKey

    def signed(self, envelope: Envelope) -> bool:
        """Return whether it signed a statement."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - see above
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415

        try:
            digest = getattr(hashes, KINDS[self.key.curve.name])()
            self.key.verify(envelope.signature, pae(envelope.payload), ECDSA(digest))
        except InvalidSignature:
            return False
        return True


def key_in(path: Path) -> PublicKey:
    """Return the public key in a PEM file; raises BadTrust."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    except ImportError as error:
        raise BadTrust(
            path=path, reason="needs a package: pip install '.[sign]' in Slipway's folder"
        ) from error
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_KEY)
        if b"PRIVATE KEY" in content:
            raise BadTrust(
                path=path, reason="is a private key: pass the public one, and nobody else the private"
            )
        key: Any = load_pem_public_key(content)
    except OSError as error:
        raise BadTrust(path=path, reason=f"cannot be read ({error.strerror})") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadTrust(path=path, reason="is no public key in PEM (openssl ec -pubout makes one)") from error
    curve = getattr(getattr(key, "curve", None), "name", type(key).__name__)
    if curve not in KINDS:
        raise BadTrust(path=path, reason=f"is a key of kind {curve}, must be one of {', '.join(KINDS)}")
    return PublicKey(path, hint_of(key), key)


def hint_of(key: EllipticCurvePublicKey) -> str:
    """Return how a bundle names a key: the SHA-256 of its PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - see above

    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()

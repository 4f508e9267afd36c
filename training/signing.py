"""The private key that signs versions, in a file that `SLIPWAY_SIGNING_KEY` names: never a parameter, never in MLflow.

Parameters are recorded with the run. The key is read where something is signed, and its file has to be its owner's
alone. It knows no version.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.signatures import KINDS, Envelope, Statement, as_text, hint_of, pae
from training.errors import CannotSign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

VARIABLE = "SLIPWAY_SIGNING_KEY"


@dataclass(frozen=True)
class SigningKey:
    """One private key, and how bundles name its public half."""

    key: EllipticCurvePrivateKey
    hint: str

    def signed(self, statement: Statement) -> str:
        """Return the bundle of a statement."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - for those who sign
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415

        payload = statement.as_json()
        digest = getattr(hashes, KINDS[self.key.curve.name])()
        return as_text(Envelope(payload, self.key.sign(pae(payload), ECDSA(digest)), self.hint))


def given_key() -> SigningKey | None:
    """Return the key that the environment names, None where it names none; raises CannotSign."""
    word = os.environ.get(VARIABLE, "")
    return _key_in(Path(word)) if word else None


def _key_in(path: Path) -> SigningKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - for those who sign
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ImportError as error:
        raise CannotSign(
            key=path, reason="needs a package: pip install '.[sign]' in Slipway's folder"
        ) from error
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise CannotSign(key=path, reason="can be read or written by others: chmod 600")
            key: Any = load_pem_private_key(file.read(10_000), password=None)
    except OSError as error:
        raise CannotSign(key=path, reason=f"cannot be read ({error.strerror})") from error
    except TypeError as error:
        raise CannotSign(
            key=path, reason="asks for a password: pass a key without one, in a secret's file"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CannotSign(
            key=path, reason="is no private key in PEM (openssl ecparam -genkey makes one)"
        ) from error
    curve = getattr(getattr(key, "curve", None), "name", type(key).__name__)
    if curve not in KINDS:
        raise CannotSign(key=path, reason=f"is of kind {curve}, must be one of {', '.join(KINDS)}")
    return SigningKey(key, hint_of(key.public_key()))

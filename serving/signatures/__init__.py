"""Who vouches for a version by a key that MLflow never sees: statements, the bundles that carry them, and trust."""

from serving.signatures.bundles import Envelope, as_text, pae
from serving.signatures.public_keys import KINDS, hint_of
from serving.signatures.statements import Statement
from serving.signatures.trust import SIGNATURE_FILE, Signed, Trust, signature_beside

__all__ = [
    "KINDS",
    "SIGNATURE_FILE",
    "Envelope",
    "Signed",
    "Statement",
    "Trust",
    "as_text",
    "hint_of",
    "pae",
    "signature_beside",
]

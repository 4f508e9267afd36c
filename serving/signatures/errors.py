"""What can go wrong where a version has to be signed.

NotTrusted  no trusted key signed these files as this version
BadTrust    a file of --trust holds no public key

Each class is a dataclass (`data.facts`): its facts are keywords and attributes, its template makes the text.
"""

from __future__ import annotations

from pathlib import Path

from serving.errors import ModelError, SettingsError


class NotTrusted(ModelError):
    """No trusted key signed these files as this version."""

    template = "{version} is not trusted: {fault}"
    version: str
    fault: str


class BadTrust(SettingsError):
    """A file of --trust holds no public key."""

    template = "--trust {path}: {reason}"
    path: Path
    reason: str

"""Keys to sign with, made for a test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class Pair:
    """The files of a private key and of its public half."""

    private: Path
    public: Path


def pair(folder: Path, name: str = "key", curve: Any = None, *, password: bytes = b"") -> Pair:
    """Make a pair of keys; on P-256 unless said otherwise."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    return written(key, folder, name, password=password)


def written(key: Any, folder: Path, name: str, *, password: bytes = b"") -> Pair:
    """Write a private key and its public half, as openssl does."""
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.touch(mode=0o600)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    private.write_bytes(key.private_bytes(*form, encryption))
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return Pair(private, public)

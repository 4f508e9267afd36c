"""Who may ask: keys kept as SHA-256 hashes, and the Host header where only this machine may reach us."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path

from serving.errors import NotAuthorized, SettingsError, WrongHost
from serving.settings import LOOPBACK_HOSTS

_HASH = re.compile(r"[0-9a-f]{64}")


class Access:
    """The rules of one worker."""

    def __init__(self, key_file: str | None, *, loopback: bool) -> None:
        self._key_file = key_file
        self._loopback = loopback
        self._hashes: tuple[bytes, ...] = ()
        self.reload()

    def reload(self) -> None:
        """Read the key file again; raises SettingsError and keeps the old keys where it is broken."""
        if self._key_file is not None:
            self._hashes = read_hashes(Path(self._key_file))

    def check_host(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise WrongHost where a loopback server is called by another machine's name."""
        host = headers.get(b"host", b"localhost").lower()
        if self._loopback and host not in LOOPBACK_HOSTS and host.rpartition(b":")[0] not in LOOPBACK_HOSTS:
            raise WrongHost("this server listens on loopback: call it as localhost")

    def check_key(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise NotAuthorized unless a known key came with the request; every hash is compared."""
        if self._key_file is None:
            return
        sent = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        digest = hashlib.sha256(sent).hexdigest().encode()
        if not sum(hmac.compare_digest(digest, known) for known in self._hashes):
            raise NotAuthorized("send a key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'")


def read_hashes(path: Path) -> tuple[bytes, ...]:
    """Return the hashes of a key file, one a line, # for comments; raises SettingsError."""
    try:
        lines = [line.split("#")[0].strip().lower() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--api-key-file {path}: cannot be read") from error
    hashes = [line for line in lines if line]
    if not hashes or not all(_HASH.fullmatch(line) for line in hashes):
        raise SettingsError(
            f"--api-key-file {path}: must hold SHA-256 hashes in hex, one a line (sha256sum writes one)"
        )
    return tuple(line.encode() for line in hashes)

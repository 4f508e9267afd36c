"""Who may ask: keys kept as SHA-256 hashes, and the Host header.

It sees headers only. A key reaches it in one piece: how it got to the server is not its matter.
"""

from __future__ import annotations

import argparse
import codecs
import hashlib
import hmac
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from serving.errors import NotAuthorized, SettingsError, WrongHost
from serving.settings import LOOPBACK_HOSTS, Settings

SHORTEST_KEY = 16
"""Bytes. The hash of a shorter key is guessed within hours by who has the file."""

_HASH = re.compile(
    r"\\?(?!.*  [0-9a-f]{64}$)(?P<hash>[0-9a-f]{64})(?:  .*| \*.*)?"  # sha256sum's, with or without a file's name
    r"|SHA(?:2-)?256 ?\(.*\) ?= ?(?P<tagged>[0-9a-f]{64})",  # openssl, BSD
    re.IGNORECASE,
)
_HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?")
_PORT = re.compile(rb"(?<=[^:]):\d*$")
_OF_NOTHING = {hashlib.sha256(nothing).hexdigest() for nothing in (b"", b"\n", b"\r\n")}
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

logger = logging.getLogger(__name__)


class Access:
    """The rules of one worker."""

    def __init__(self, settings: Settings) -> None:
        self._key_file = settings.key_file
        self._hosts = _hosts(settings)
        self._hashes: tuple[bytes, ...] = ()
        self._warned = False
        self.reload()

    @property
    def asks_for_keys(self) -> bool:
        """Whether requests need a key."""
        return self._key_file is not None

    def reload(self) -> None:
        """Read the key file again; raises SettingsError and keeps the old keys where it is broken."""
        if self._key_file is not None:
            self._hashes = read_hashes(Path(self._key_file))

    def check_host(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise WrongHost where the request names a host that this server was not told of."""
        if self._hosts is not None:
            host, known = headers.get(b"host", b"localhost"), self._hosts
            if host in known or host.rpartition(b":")[0] in known:
                return
            if _name_of(host) not in known:
                raise WrongHost(
                    "this server does not answer to that Host: call it as localhost, or start it with --allow-host NAME"
                )

    def check_key(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise NotAuthorized unless a known key came with the request, in lower-case header names."""
        if not self.knows(headers):
            raise NotAuthorized()

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a known key came with the request, or none is needed; every hash is compared."""
        if self._key_file is None:
            return True
        fits = [key for key in _keys(headers) if self._fits(key)]
        if fits and not self._warned and min(map(len, fits)) < SHORTEST_KEY:
            self._warned = True
            logger.warning(
                "a key of fewer than %d characters is in use: its hash in %s is soon guessed; make longer ones",
                SHORTEST_KEY,
                self._key_file,
            )
        return bool(fits)

    def _fits(self, key: bytes) -> bool:
        digest = hashlib.sha256(key).hexdigest().encode()
        return bool(sum(hmac.compare_digest(digest, known) for known in self._hashes))


def _keys(headers: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Give each key that came; a proxy may have put another in the header that the client left free."""
    if given := headers.get(b"x-api-key", b"").strip():
        yield given
    scheme, _, key = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() == b"bearer" and key.strip():
        yield key.strip()


def host(given: str) -> str:
    """Return the name of a host as browsers send it, for argparse."""
    try:
        name = given.encode("idna").decode() if not given.startswith("[") else given
    except UnicodeError:
        name = ""
    if given != "*" and not _HOST.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{given!r} is no host such as models.example.com, nor *")
    return name


def _hosts(settings: Settings) -> frozenset[bytes] | None:
    """Return the names that the server answers to, or None for any."""
    if "*" in settings.allowed_hosts or not (settings.is_loopback or settings.allowed_hosts):
        return None
    return LOOPBACK_HOSTS | {_name_of(host.encode()) for host in settings.allowed_hosts}


def _name_of(host: bytes) -> bytes:
    """Return a host without its port and the root's dot, in lower case."""
    return _PORT.sub(b"", host.lower()).removesuffix(b".")


def read_hashes(path: Path) -> tuple[bytes, ...]:
    """Return the hashes of a key file, one a line, # for comments; raises SettingsError."""
    try:
        lines = _text(path.read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--api-key-file {path}: cannot be read") from error
    hashes = [
        _hash_in(path, number, line)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not hashes:
        raise SettingsError(f"--api-key-file {path}: holds no hash; {_HOW}")
    return tuple(digest.encode() for digest in hashes)


_HOW = 'add one a line with: printf %s "$KEY" | sha256sum'


def _text(written: bytes) -> str:
    """Decode a file that PowerShell or Notepad may have written."""
    encoding = next((name for bom, name in _BOMS.items() if written.startswith(bom)), "utf-8")
    return written.decode(encoding)


def _hash_in(path: Path, number: int, line: str) -> str:
    """Return a line's hash; the line itself may be a key, so no error quotes it."""
    where = f"--api-key-file {path}, line {number}"
    match = _HASH.fullmatch(line.strip()) or _HASH.fullmatch(line.partition("#")[0].strip())
    if not match:
        raise SettingsError(f"{where}: is no SHA-256 hash in hex; keys themselves don't belong there, {_HOW}")
    digest = (match["hash"] or match["tagged"]).lower()
    if digest in _OF_NOTHING:
        raise SettingsError(f"{where}: is the hash of an empty key, which anybody has; {_HOW}")
    return digest

"""Who may ask, by keys, tokens and certificates, and by the Host header.

It sees headers and the names in a certificate only. A key reaches it in one piece: how it got to the server is not its
matter. A certificate is asked for beside keys and tokens, not in their place; where it comes alone, it is who asked.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from serving.access.buckets import Buckets, whole_seconds
from serving.access.identities import ANYBODY, FEEDBACK, NOBODY, SCORING, Identity
from serving.access.keys import credentials, key_files
from serving.access.tls import ClientNames, Names
from serving.access.tokens import tokens_of
from serving.access.watched_files import Watched
from serving.errors import (
    NoCertificate,
    NoFeedbackKey,
    NotAllowed,
    NotAuthorized,
    NoToken,
    TooOften,
    WrongHost,
)
from serving.settings import LOOPBACK_HOSTS, Settings

LABELS = frozenset({FEEDBACK})

_HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?")
_PORT = re.compile(rb"(?<=[^:]):\d*$")


class Access:
    """The rules of one worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._hosts = settings, _hosts(settings)
        self._keys, self._tokens = key_files(settings), tokens_of(settings)
        self._names = ClientNames(settings.tls_client_sans) if settings.tls_client_ca else None
        self._buckets = Buckets(os.environ.get("PROMETHEUS_MULTIPROC_DIR"), settings.workers)
        self._asks = settings.key_file is not None or self._tokens is not None
        self.asks_for_certificates = self._names is not None
        self.asks = self._asks or self.asks_for_certificates or settings.feedback_key_file is not None
        """Whether it makes a difference who asks."""

    def reload(self) -> None:
        """Read the key files again; raises SettingsError and keeps the old keys where one is broken."""
        self._keys = key_files(self._settings)

    def watched(self) -> list[Watched]:
        """Return the files that are read again when they change."""
        settings = self._settings
        files = [path for path in (settings.key_file, settings.feedback_key_file) if path is not None]
        option = "--api-key-file" if settings.key_file is not None else "--feedback-key-file"
        result = [Watched(option, files, self.reload)] if files else []
        if self._tokens:
            result.append(Watched("--jwks", [settings.tokens.jwks], self._tokens.load))
        return result

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

    def identify(
        self, headers: Mapping[bytes, bytes], names: Names = (), asked: Sequence[str] = ()
    ) -> Identity:
        """Return who asks, in lower-case header names; nobody without the certificate that is asked for.

        Of several keys that came, the one counts that may do one of what is asked, then the one that may do most.
        """
        if not self.asks:
            return ANYBODY
        certificate = self._names.admitted(names) if self._names else ""
        if self._names is not None and not certificate:
            return Identity(stranger=names[0][1]) if names else NOBODY
        result = NOBODY
        for credential in credentials(headers):
            each = self._holder(credential)
            if not result.kind or _weight(each, asked) > _weight(result, asked):
                result = each
        if not self._asks:  # a certificate is all that is asked for, or keys where labels come
            result = _unasked(result, certificate)
        return _certified(result, certificate) if certificate else result

    def _holder(self, credential: bytes) -> Identity:
        digest = hashlib.sha256(credential).digest()
        result = self._keys.holder(credential, digest)
        if result is None and self._tokens and credential.count(b".") == 2:
            result = self._tokens.holder(credential, digest)
        return result or NOBODY

    def check_certificate(self, names: Names) -> None:
        """Raise NoCertificate where one is asked for, and none that is let in came with the connection."""
        if self._names is not None and not self._names.admitted(names):
            raise NoCertificate(
                which="whose name is let in" if names else "of its CA, with a name in its subjectAltName"
            )

    def allow(self, who: Identity, *scopes: str) -> None:
        """Count a request of who may do one of these; raises NoCertificate, NotAuthorized, NotAllowed or TooOften."""
        if self._names is not None and not who.certificate:
            raise NoCertificate(which="of its CA, whose name is let in")
        if who.scopes.isdisjoint(scopes):
            self._refuse(who, scopes)
        if who.limit is not None and (seconds := self._buckets.take(who.limit)):
            raise TooOften(seconds=whole_seconds(seconds))

    def _refuse(self, who: Identity, scopes: tuple[str, ...]) -> None:
        if FEEDBACK in scopes:
            raise NoFeedbackKey()
        if who.kind and who.scopes != LABELS:  # whoever scores does not know those keys
            raise NotAllowed(scope=" or ".join(scopes))
        if self._tokens and (who.doubt or self._settings.key_file is None):
            raise NoToken(doubt=who.doubt or "no token came")
        raise NotAuthorized()


def _weight(who: Identity, asked: Sequence[str]) -> tuple[bool, int]:
    return not who.scopes.isdisjoint(asked), len(who.scopes)


@lru_cache(4096)
def _unasked(found: Identity, certificate: str) -> Identity:
    """Return who asks where no key has to come: he may do all but send labels, which his key may allow."""
    by = found if found.kind or not certificate else Identity("certificate", certificate)
    return replace(by, scopes=by.scopes | SCORING)


@lru_cache(4096)
def _certified(found: Identity, certificate: str) -> Identity:
    return replace(found, certificate=certificate)


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

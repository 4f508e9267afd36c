"""Who may ask, by keys and by the Host header.

It sees headers only. A key reaches it in one piece: how it got to the server is not its matter.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping

from serving.access.keys import key_files
from serving.errors import NoFeedbackKey, NotAuthorized, WrongHost
from serving.settings import LOOPBACK_HOSTS, Settings

_HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?")
_PORT = re.compile(rb"(?<=[^:]):\d*$")


class Access:
    """The rules of one worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._hosts = settings, _hosts(settings)
        self._keys, self._feedback_keys = key_files(settings)

    @property
    def asks_for_keys(self) -> bool:
        """Whether requests need a key."""
        return self._keys is not None

    def reload(self) -> None:
        """Read the key files again; raises SettingsError and keeps the old keys where one is broken."""
        self._keys, self._feedback_keys = key_files(self._settings)

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
        """Return whether a known key came with the request, or none is needed."""
        return self._keys is None or self._keys.knows(headers)

    def check_feedback_key(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise NoFeedbackKey unless a key came that may send labels, or none is needed."""
        if self._feedback_keys is not None and not self._feedback_keys.knows(headers):
            raise NoFeedbackKey()


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

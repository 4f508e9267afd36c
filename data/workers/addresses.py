"""Where an engine is: a word of the command line, and what it means to Dask."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from data.workers.errors import BadEngine

LOCAL = "dask"
SCHEMES = {"dask": "tcp", "tcp": "tcp", "tls": "tls"}
PORT = 8786
"""Where a scheduler listens that was told nothing else."""


@dataclass(frozen=True)
class Address:
    """An engine's address, as the user wrote it, and as Dask takes it: nothing for processes of our own."""

    word: str
    where: str = ""

    @classmethod
    def of(cls, word: str) -> Address:
        """Read a word; raises BadEngine.

        >>> Address.of("dask://cluster").where
        'tcp://cluster:8786'
        """
        if word == LOCAL:
            return cls(word)
        try:
            parts = urlsplit(word)
            host, port = parts.hostname, parts.port or PORT
        except ValueError:
            raise BadEngine(word=word) from None
        beyond = parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password
        if parts.scheme not in SCHEMES or not host or beyond:
            raise BadEngine(word=word)
        return cls(word, f"{SCHEMES[parts.scheme]}://{f'[{host}]' if ':' in host else host}:{port}")

    @property
    def is_here(self) -> bool:
        """Whether it is a cluster of our own, on this machine."""
        return not self.where

    @property
    def warning(self) -> str:
        """What is to be said of an address that others can read along."""
        if not self.where.startswith("tcp:") or _is_loopback(str(urlsplit(self.where).hostname)):
            return ""
        return (
            f"{self.word} is not encrypted: whoever is on that network can read the rows, and run code on its workers; "
            "tls:// with certificates is"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Certificates: the server's own, read again when its files change, and those that clients show.

A client's certificate is verified by the TLS library against the CA of `--tls-client-ca`; here its names are compared
with those that are let in. Which are revoked is read from a file: nobody is asked.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from serving.errors import SettingsError
from serving.settings import Settings

Names = tuple[tuple[str, str], ...]
"""A certificate's subject alternative names: kind and text of each."""

KINDS = {"peer_dns": "DNS", "peer_uri": "URI", "peer_email": "email", "peer_ip": "IP Address"}
"""What gRPC calls them."""


class Certificates:
    """What one worker shows its clients, and by which CA it knows theirs."""

    def __init__(
        self, cert: str, key: str, client_ca: str | None = None, client_crl: str | None = None
    ) -> None:
        self._paths = (cert, key, client_ca, client_crl)
        self.files = tuple(path for path in self._paths if path)
        self.context: ssl.SSLContext
        self.pair = (b"", b"")
        self.client_ca: bytes | None = None
        self._read: tuple[bytes, ...] = ()
        self.load()

    def load(self) -> None:
        """Read the files; raises SettingsError, and keeps what was read before."""
        cert, key, client_ca, client_crl = self._paths
        assert cert is not None
        assert key is not None
        context = check_pair(cert, key)
        if client_ca:
            _verify_clients(context, client_ca)
        if client_crl:
            _refuse_revoked(context, client_crl)
        read = tuple(map(_bytes, self.files))
        if read != self._read:
            self.pair, self.client_ca = (read[1], read[0]), read[2] if client_ca else None
            self._read, self.context = read, context


def certificates_of(settings: Settings) -> Certificates | None:
    """Return the server's certificates, if it has any; raises SettingsError."""
    if not settings.tls_cert or not settings.tls_key:
        return None
    return Certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca, settings.tls_client_crl)


def check_pair(cert: str, key: str) -> ssl.SSLContext:
    """Return a context of TLS 1.2 and up; raises SettingsError unless both fit and ask for no password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SettingsError(
            f"--tls-cert {cert} and --tls-key {key}: no usable pair in PEM: {said}"
        ) from error
    return context


def _verify_clients(context: ssl.SSLContext, client_ca: str) -> None:
    """Have certificates verified where they come: probes come without, what else does is refused by its request.

    No tickets are given out, so that each connection shows its certificate; a client of TLS 1.2 that resumes by a
    session's id is held to the names of that session.
    """
    try:
        context.load_verify_locations(client_ca)
    except (OSError, ValueError) as error:
        raise SettingsError(f"--tls-client-ca {client_ca}: no certificate in PEM") from error
    context.verify_mode = ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _refuse_revoked(context: ssl.SSLContext, client_crl: str) -> None:
    """Have a list of revoked certificates looked at; where it is too old, the TLS library lets none in."""
    try:
        context.load_verify_locations(client_crl)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"--tls-client-crl {client_crl}: no list of revoked certificates in PEM"
        ) from error
    if not context.cert_store_stats()["crl"]:
        raise SettingsError(f"--tls-client-crl {client_crl}: holds no list of revoked certificates")
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def names_of(connection: Any) -> Names:
    """Return the names in the certificate that a client showed, of the kinds that can be let in; none without one."""
    shown = connection.getpeercert() if connection else None
    return tuple(each for each in (shown or {}).get("subjectAltName", ()) if each[0] in KINDS.values())


def names_over_grpc(shown: dict[str, Iterable[bytes]]) -> Names:
    """Return the same of gRPC's connection."""
    return tuple(
        (kind, text.decode("latin-1")) for name, kind in KINDS.items() for text in shown.get(name, ())
    )


class ClientNames:
    """The names that are let in, every one where none is listed."""

    def __init__(self, listed: Iterable[str]) -> None:
        self._listed = {(_kind(name), _plain(name)) for name in listed}
        self.admitted = lru_cache(4096)(self._admitted)

    def _admitted(self, names: Names) -> str:
        """Return the first name of a certificate that is let in, nothing where none is."""
        for kind, text in names:
            if not self._listed or (kind, _plain(text)) in self._listed:
                return text
        return ""


def _kind(name: str) -> str:
    """Return which kind of name one is: they are compared with those of their kind alone."""
    if "://" in name:
        return "URI"
    if "@" in name:
        return "email"
    try:
        ip_address(name)
    except ValueError:
        return "DNS"
    return "IP Address"


def _plain(name: str) -> str:
    """Return a name as it is compared: hosts in lower case, addresses in their short form."""
    try:
        return str(ip_address(name))
    except ValueError:
        return name if "://" in name or "@" in name else name.lower()


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:  # it was there a moment ago
        raise SettingsError(f"{path}: cannot be read") from error


def _no_password() -> str:
    raise ValueError("the key asks for a password: pass one without")

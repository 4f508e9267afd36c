"""Whether a certificate and its key can be used, found out before any worker needs them."""

from __future__ import annotations

import ssl

from serving.errors import SettingsError


def check_pair(cert: str, key: str) -> None:
    """Raise SettingsError unless both can be read, belong together, and ask for no password."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SettingsError(
            f"--tls-cert {cert} and --tls-key {key}: no usable pair in PEM: {said}"
        ) from error


def _no_password() -> str:
    raise ValueError("the key asks for a password: pass one without")

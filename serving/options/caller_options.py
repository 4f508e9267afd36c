"""What the command line says of callers: keys, tokens, certificates, and the audit; checked before a worker starts.

What a worker does with it is in `serving.access` and `serving.front`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from serving.errors import SettingsError
from serving.settings import LOOPBACK, STDOUT, TokenRules


def add_callers(line: argparse.ArgumentParser) -> None:
    """Add the options."""
    line.add_argument(
        "--api-key-file",
        help="SHA-256 hashes of the keys, one a line, each alone or with NAME SCOPES LIMIT; read again when it changes",
    )
    line.add_argument("--no-auth", action="store_true", help="serve beyond this machine without keys")
    line.add_argument(
        "--metrics-need-key", action="store_true", help="ask for a key at /metrics too, which names models"
    )
    line.add_argument(
        "--tls-cert", help="PEM file of the certificate; with --tls-key; both are read again on change"
    )
    line.add_argument("--tls-key", help="PEM file of its key")
    line.add_argument(
        "--tls-client-ca", metavar="FILE", help="PEM file of the CA whose certificates clients have to show"
    )
    line.add_argument(
        "--tls-client-crl",
        metavar="FILE",
        help="PEM file of the certificates that this CA has revoked; read again on change; not with --grpc-port",
    )
    line.add_argument(
        "--tls-client-san",
        metavar="NAME",
        action="append",
        default=[],
        help="let in clients with this name in their certificate alone: a host, a URI (spiffe://...), an address, an "
        "e-mail; may be given several times",
    )
    line.add_argument(
        "--jwks", metavar="FILE", help="public keys of who issues tokens (JWT); read again when it changes"
    )
    line.add_argument("--issuer", help="what a token has to say as iss")
    line.add_argument("--audience", help="what a token has to say as aud, or among others there")
    line.add_argument(
        "--scope",
        action="append",
        default=[],
        help="what a token has to hold to score; predict=, metrics=, page=, feedback=SCOPE for one of these; may be "
        "given several times",
    )
    line.add_argument(
        "--audit-log", metavar="FILE", help="a line of JSON for each request that was refused; - for stdout"
    )
    line.add_argument(
        "--audit-accepted", action="store_true", help="one for each that was answered, too; with --audit-log"
    )


def check_callers(given: argparse.Namespace) -> None:
    """Check what these options say together; raises SettingsError."""
    knows_callers = given.api_key_file or given.jwks or given.tls_client_ca
    if given.host not in LOOPBACK and not knows_callers and not given.no_auth:
        raise SettingsError(
            f"--host {given.host} is open to others: pass --api-key-file, --jwks or --tls-client-ca, or --no-auth "
            "to mean it"
        )
    if bool(given.tls_cert) != bool(given.tls_key):
        raise SettingsError("--tls-cert and --tls-key go together")
    if given.tls_client_ca and not given.tls_cert:
        raise SettingsError("--tls-client-ca goes with --tls-cert and --tls-key")
    if given.tls_client_crl and not given.tls_client_ca:
        raise SettingsError("--tls-client-crl goes with --tls-client-ca")
    if given.tls_client_crl and given.grpc_port is not None:
        raise SettingsError(
            "--tls-client-crl does not go with --grpc-port: gRPC reads no list of revoked certificates, and would "
            "let them in"
        )
    if given.tls_client_san and not given.tls_client_ca:
        raise SettingsError("--tls-client-san goes with --tls-client-ca")
    if given.metrics_need_key and not knows_callers:
        raise SettingsError("--metrics-need-key goes with --api-key-file, --jwks or --tls-client-ca")
    if given.audit_accepted and not given.audit_log:
        raise SettingsError("--audit-accepted goes with --audit-log")
    _check_audit(given.audit_log)


def token_rules(given: argparse.Namespace) -> TokenRules:
    """Return which tokens are taken; raises SettingsError."""
    if not given.jwks:
        alone = next((name for name in ("issuer", "audience", "scope") if getattr(given, name)), None)
        if alone:
            raise SettingsError(f"--{alone} goes with --jwks FILE")
        return TokenRules()
    if not given.issuer or not given.audience:
        raise SettingsError(
            "--jwks needs --issuer and --audience: else tokens for other servers are taken here"
        )
    return TokenRules(str(Path(given.jwks).absolute()), given.issuer, given.audience, tuple(given.scope))


def _check_audit(path: str | None) -> None:
    """See that the file can be written."""
    if not path or path == STDOUT:
        return
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise SettingsError(f"--audit-log {path}: cannot be written: {error.strerror}") from error

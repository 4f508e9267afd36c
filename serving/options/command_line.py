"""What `python -m serving` may be told, and the settings that this makes; what does not go together is refused."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Sequence
from dataclasses import fields

from serving import access
from serving.errors import SettingsError
from serving.options.caller_options import add_callers, check_callers, token_rules
from serving.options.capture_options import add_captures, capture_rules, check_feedback
from serving.options.number_ranges import number_in
from serving.settings import LOOPBACK, Limits, Model, Settings

NAMED = re.compile(r"(?P<key>[A-Za-z0-9][\w.-]{0,63})=(?P<uri>.+)", re.ASCII)
"""--model NAME=PLACE; a folder whose name looks so is written ./NAME=PLACE."""


class _WithDefaults(argparse.HelpFormatter):
    """Help that names each default, unless that is to do nothing."""

    def _get_help_string(self, action: argparse.Action) -> str:
        said = action.help or ""
        said_already = f"({action.default})" in said
        if said_already or not action.default or action.default == argparse.SUPPRESS:
            return said
        return f"{said} ({action.default})"


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    line = argparse.ArgumentParser(
        prog="python -m serving",
        description="Serve a model over HTTP.",
        allow_abbrev=False,
        formatter_class=_WithDefaults,
    )
    line.add_argument(
        "--model",
        required=True,
        action="append",
        help="models:/NAME@ALIAS, models:/NAME/3, runs:/..., or a folder; NAME=... for several",
    )
    line.add_argument(
        "--poll-seconds", type=number_in(float, 0.05, 3600), default=2.0, help="between two looks"
    )
    line.add_argument("--cache", help="where versions are kept; the user's cache folder if not given")
    line.add_argument(
        "--allow-unpromoted", action="store_true", help="serve versions whose files no promotion vouches for"
    )
    line.add_argument(
        "--trust",
        metavar="FILE",
        action="append",
        default=[],
        help="public key in PEM: serve only versions that it signed; may be given several times",
    )
    line.add_argument(
        "--runtime",
        choices=("scorer", "pyfunc"),
        default="scorer",
        help="pyfunc: MLflow loads the model, which may run code of its own, in processes beside each worker",
    )
    line.add_argument(
        "--processes", type=number_in(int, 1, 256), default=1, help="with pyfunc, of each worker"
    )
    line.add_argument(
        "--joining",
        action=argparse.BooleanOptionalAction,
        help="with pyfunc, requests that wait go into one call; for models that look at each row for itself",
    )
    line.add_argument("--host", default="127.0.0.1", help="the address to listen on; 0.0.0.0 or :: for all")
    line.add_argument("--port", type=number_in(int, 0, 65535), default=5002, help="0 for any free port")
    line.add_argument(
        "--grpc-port", type=number_in(int, 0, 65535), help="also serve gRPC; 0 for any free port"
    )
    line.add_argument(
        "--grpc-compression",
        action="store_true",
        help="let clients compress gRPC messages: 15 kB may become 16 MiB before anything can be checked",
    )
    line.add_argument("--workers", type=number_in(int, 1, 256), default=1, help="processes that answer")
    line.add_argument(
        "--threads", type=number_in(int, 1, 256), default=1, help="of the scorer in each worker"
    )
    add_callers(line)
    line.add_argument(
        "--allow-host",
        type=access.host,
        action="append",
        default=[],
        help="answer to this Host header too, as proxies send it; on loopback only localhost if not given, "
        "elsewhere any; may be given several times",
    )
    line.add_argument(
        "--allow-origin",
        type=access.origin,
        action="append",
        default=[],
        help="let pages of this origin, such as https://app.example.com, ask from a browser; * for all; "
        "may be given several times",
    )
    line.add_argument(
        "--page",
        action=argparse.BooleanOptionalAction,
        help="answer browsers at / with a page to try the model; on for this machine alone if not given",
    )
    line.add_argument(
        "--prefix", type=access.prefix, default="", help="answer under this path too, such as /models/flights"
    )
    line.add_argument(
        "--trust-proxy",
        action="store_true",
        help="take the prefix in /openapi.json from the header X-Forwarded-Prefix",
    )
    line.add_argument(
        "--access-log", type=number_in(float, 0, 1), default=0.0, help="share of requests to log"
    )
    line.add_argument(
        "--drain-seconds",
        type=number_in(float, 0, 3600),
        default=30.0,
        help="for requests under way at the end",
    )
    line.add_argument(
        "--drain-delay",
        type=number_in(float, 0, 3600),
        default=0.0,
        help="seconds after SIGTERM for which requests are still taken while /readyz says 503: as long as a balancer "
        "takes to notice",
    )
    line.add_argument(
        "--load-seconds",
        type=number_in(float, 1, 3600),
        default=60.0,
        help="of processor time that loading a version may take",
    )
    line.add_argument(
        "--load-bytes",
        type=number_in(int, 2**20, 2**44),
        default=2**30,
        help="of memory that loading a version may take, beside 60 times its file",
    )
    line.add_argument(
        "--hung-seconds",
        type=number_in(float, 1, 3600),
        default=20.0,
        help="without a sign of life after which a worker is killed and replaced",
    )
    add_captures(line)
    said = _said_of(Limits)
    for limit in fields(Limits):
        kind, default = type(limit.default), getattr(Limits(), limit.name)
        low = min(default, 1 if kind is int else 0.001)
        line.add_argument(
            f"--{limit.name.replace('_', '-')}",
            type=number_in(kind, low, 2**40),
            default=default,
            help=f"{said.get(limit.name, '')} ({default})",
        )
    return line


def _said_of(limits: type) -> dict[str, str]:
    """Return what a class's docstring says of each attribute."""
    described = re.findall(r"^(\w+) : \w+\n((?:    .+\n?)+)", inspect.getdoc(limits) or "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in described}


def sources_of(models: Sequence[str]) -> dict[str, str]:
    """Return what to serve under which key: one place without a key, or NAME=PLACE each; raises SettingsError."""
    named = [NAMED.fullmatch(model) for model in models]
    if len(models) == 1 and not named[0]:
        return {"": models[0]}
    sources = {match["key"]: match["uri"] for match in named if match}
    if len(sources) != len(models):
        raise SettingsError("several --model need a name of their own each: --model NAME=PLACE")
    return sources


def _check_pyfunc(given: argparse.Namespace) -> None:
    """Raise SettingsError for what would do nothing where MLflow runs the model."""
    if given.capture:
        raise SettingsError(
            "--capture does not go with --runtime pyfunc: what MLflow's models predict is not kept"
        )
    for name in ("threads", "load_seconds", "load_bytes"):
        if getattr(given, name) != getattr(Settings, name):
            raise SettingsError(
                f"--{name.replace('_', '-')} does not go with --runtime pyfunc: nothing bounds what MLflow's "
                "libraries take, and a model has 300 s to load"
            )


def settings_of(given: argparse.Namespace, models: tuple[Model, ...] = ()) -> Settings:
    """Check what the options say together; raises SettingsError."""
    check_callers(given)
    check_feedback(given)
    if given.runtime == "scorer" and (given.processes != 1 or given.joining is not None):
        raise SettingsError("--processes and --joining go with --runtime pyfunc")
    if given.runtime == "pyfunc":
        _check_pyfunc(given)
    settings = Settings(
        models=models,
        host=given.host,
        grpc_compression=given.grpc_compression,
        workers=given.workers,
        processes=given.processes,
        joins=bool(given.joining),
        threads=given.threads,
        key_file=given.api_key_file,
        feedback_key_file=given.feedback_key_file,
        metrics_need_key=given.metrics_need_key,
        allowed_hosts=tuple(given.allow_host),
        allowed_origins=tuple(given.allow_origin),
        page=given.host in LOOPBACK if given.page is None else given.page,
        prefix=given.prefix,
        trust_proxy=given.trust_proxy,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        tls_client_ca=given.tls_client_ca,
        tls_client_crl=given.tls_client_crl,
        tls_client_sans=tuple(given.tls_client_san),
        tokens=token_rules(given),
        audit_log=given.audit_log or "",
        audit_accepted=given.audit_accepted,
        access_log=given.access_log,
        drain_seconds=given.drain_seconds,
        drain_delay=given.drain_delay,
        load_seconds=given.load_seconds,
        load_bytes=given.load_bytes,
        hung_seconds=given.hung_seconds,
        limits=Limits(**{limit.name: getattr(given, limit.name) for limit in fields(Limits)}),
        capture=capture_rules(given),
    )
    access.Access(settings)
    access.tls.certificates_of(settings)
    return settings

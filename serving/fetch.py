"""Fetch a registered version's two files into a folder, for a server that starts without the registry.

    python -m serving.fetch models:/flights@champion /mnt/models
    python -m serving --model flights=/mnt/models

KServe runs it so, as its storage initializer, and so can any init container or the build of an image. What a server
that follows a registry asks of a version is asked here too: a promotion's digest, and a ledger that says the same.
The folder holds a whole version afterwards, or what it held before: no half one ever stands under the name that is
read. Any user may read it, since the server is another one in some clusters.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from data.redaction import log_to
from serving.errors import ModelError, ServingError
from serving.registry import Cache, is_remote, resolve, signed_for, vouched
from serving.registry.errors import CacheDown, ModelNotFound, NotFetched
from serving.signatures import SIGNATURE_FILE, Trust

SCORER = "scorer"

logger = logging.getLogger(__name__)


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    line = argparse.ArgumentParser(
        prog="python -m serving.fetch",
        description="Fetch a registered version's files into a folder.",
        allow_abbrev=False,
    )
    line.add_argument("uri", help="models:/NAME@ALIAS or models:/NAME/3")
    line.add_argument("target", type=Path, help="a folder, made where it is not there; gets scorer/")
    line.add_argument(
        "--allow-unpromoted", action="store_true", help="fetch versions whose files no promotion vouches for"
    )
    line.add_argument(
        "--trust",
        metavar="FILE",
        action="append",
        default=[],
        help="public key in PEM: fetch only versions that it signed; may be given several times",
    )
    return line


def fetch(uri: str, target: Path, *, allow_unpromoted: bool = False, trust: Trust | None = None) -> str:
    """Put a version's files into `target/scorer`, and return which version it is; raises ServingError."""
    if not is_remote(uri):
        raise NotFetched(uri=uri, target=target, reason="write models:/NAME@ALIAS or models:/NAME/VERSION")
    os.environ.setdefault("HOME", str(target))  # MLflow does not even import for a user without a home
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=target) as fetched:
            resolved = resolve(uri)
            said = vouched(resolved, by_alias="@" in uri)
            if said.moved:
                logger.warning("%s", said.moved)
            signed = signed_for(trust, uri, resolved, newest=said.newest) if trust else None
            model = Cache(Path(fetched) / "cache").fetch(resolved, allow_unpromoted=allow_unpromoted)
            if signed:
                signed.check_files(Path(model.folder))
            _replace(Path(model.folder), target / SCORER)
            _sign(target / SIGNATURE_FILE, resolved.signature)
    except ModelNotFound as error:
        raise NotFetched(uri=uri, target=target, reason=error.reason) from error
    except CacheDown as error:
        reason = f"{error.reason}: make room there, or give the volume a larger sizeLimit"
        raise NotFetched(uri=uri, target=target, reason=reason) from error
    except OSError as error:
        raise NotFetched(uri=uri, target=target, reason=error.strerror or str(error)) from error
    return f"version {resolved.version} of {resolved.name}, {str(model.digest)[:12]}"


def _sign(file: Path, signature: str | None) -> None:
    """Put the signature beside the files, for a server with --trust; one of another version would be refused."""
    if not signature:
        file.unlink(missing_ok=True)
        return
    written = file.with_name(f".{file.name}")
    written.write_text(signature, encoding="utf-8")
    written.chmod(0o644)
    written.replace(file)


def _replace(made: Path, scorer: Path) -> None:
    """Give a scorer's folder its place; what stood there goes."""
    for file in made.iterdir():
        file.chmod(0o644)
    made.chmod(0o755)
    before = made.with_name("before")
    with suppress(FileNotFoundError):
        scorer.rename(before)
    try:
        made.rename(scorer)
    except OSError:
        with suppress(OSError):  # nothing stood there
            before.rename(scorer)
        raise
    shutil.rmtree(before, ignore_errors=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch; 0, 2 where the words or the place don't hold or nobody answers, 3 where the version is refused."""
    given = parser().parse_args(argv)
    log_to(logging.StreamHandler(), level=logging.WARNING, form="%(asctime)s %(levelname)s %(message)s")
    try:
        trust = Trust.in_files(given.trust)
        fetched = fetch(given.uri, given.target, allow_unpromoted=given.allow_unpromoted, trust=trust)
    except ServingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, ModelError) else 2
    print(f"fetched {given.uri}, {fetched}, into {given.target / SCORER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

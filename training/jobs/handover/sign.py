"""A version is signed with the key of whoever vouches for it, for servers that ask for that."""

from __future__ import annotations

from pathlib import Path

from serving.registry import promotions
from training.commands import registered
from training.console import Say
from training.errors import UsageError
from training.records import ledger, model_registry, signatures, tracking
from training.signing import VARIABLE, given_key


def sign(config: registered.SignConfig, say: Say) -> None:
    """Sign the files that a version has now, which are what was registered and what the ledger says.

    Raises
    ------
    UsageError, CannotSign
        There is no key, or none that can be used.
    WrongFiles, Unvouched, NotLoadable, TagsDiffer
        Nobody should sign this.
    """
    tracking.check_tracking(must_exist=True)
    key = given_key()
    if key is None:
        raise UsageError(message=f"there is no key: let {VARIABLE} name the file of a private key in PEM")
    history = ledger.settle(config.name)
    version = model_registry.chosen(config.name, config.version)
    history.check(version)
    entry = promotions.newest_move(history.entries, version.number)
    bundle = signatures.signed(history.as_recorded(version), key, sequence=entry)
    signatures.keep(version, bundle)
    if config.output:
        Path(config.output).write_text(bundle, encoding="utf-8")
    place = f"entry {entry} of the ledger" if entry else "not promoted yet: sign it again after that"
    say("sign", f"{version.name} version {version.number} with the key {key.hint[:16]}, {place}")

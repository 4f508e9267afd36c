"""A version goes to another name or another registry, with its files byte for byte and what speaks for it.

What was decided about it stays where it was decided: neither pin nor mark nor signature goes along. The ledger of the
target gets an entry of its own, which names the source; a signature is made anew, where a key is given.
"""

from __future__ import annotations

from serving.registry import promotions
from training.commands import registered
from training.console import Say
from training.errors import CannotCopy, UsageError
from training.records import copies, ledger, model_registry, tracking


def copy(config: registered.CopyConfig, say: Say) -> None:
    """Copy a version, and make it champion there unless the gate of the target is to decide.

    Raises
    ------
    UsageError, CannotCopy
        Source and target are one, or the target's champion is no copy of this name in this registry.
    LedgerError, RegistryError
        The source is not what its ledger says; nothing is written then.
    """
    tracking.check_tracking(must_exist=True)
    source = _source(config)
    say("source", f"{source.words}, {len(source.files)} files as its ledger says")
    with copies.elsewhere(config.to_registry):
        tracking.check_tracking()
        if config.promote == "auto":
            _refuse_others(ledger.settle(config.to).current, source)
        version = copies.find(config.to, source) or copies.write(config.to, source, config.job)
        say("register", f"{version.name} version {version.number} in {model_registry.address()}")
        if config.promote == "auto":
            _enter(version, source, say)
        else:
            say("decision", f"undecided: -e promote -P name={version.name} -P version={version.number}")


def _source(config: registered.CopyConfig) -> copies.Original:
    history = ledger.settle(config.name)
    version = model_registry.chosen(config.name, config.version)
    history.check(version)
    entry = promotions.newest_move(history.entries, version.number)
    if config.promote == "auto" and not entry:
        raise UsageError(
            message=f"{version.name} version {version.number} was never promoted: promote it there, or pass "
            "promote=never and let the gate of the target decide"
        )
    version.verified_digest()
    result = history.entries[entry - 1] if entry else None
    return copies.read(history.as_recorded(version), result)


def _refuse_others(champion: model_registry.Version | None, source: copies.Original) -> None:
    """Raise CannotCopy where a model of another origin would lose its place without a comparison."""
    if champion and not source.is_origin_of(champion):
        raise CannotCopy(name=champion.name, version=champion.number, source=source.origin)


def _enter(version: model_registry.Version, source: copies.Original, say: Say) -> None:
    """Make a copy champion; whoever became it while the files were written is asked for its origin too."""
    history = ledger.settle(version.name)
    if history.serving == version.number:
        say("decision", f"version {version.number} is the champion already")
        return
    _refuse_others(history.current, source)
    reason = f"copied from {source.words}"
    entry = ledger.record(history, version, kind="copy", reason=reason, evidence=version.run_id)
    say("decision", f"promoted: {entry.from_version or 'none'} -> {entry.to_version}")
    say("ledger", f"entry {entry.sequence}: {entry.reason}")

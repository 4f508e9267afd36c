"""The ledger for people: a table, the champion at a moment, and what does not add up. Nothing is printed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from rich.table import Table
from rich.text import Text

from serving.registry import promotions
from training.commands import registered
from training.errors import TrainingError
from training.jobs.champions.clocks import right_clocks, true_times
from training.records import ledger, model_registry, signatures, tag_names, tracking
from training.records.errors import FilesAway, NoSuchModel


@dataclass(frozen=True)
class LedgerAnswer:
    """What a question to the ledger is answered with.

    Attributes
    ----------
    shown : rich.table.Table or str
        The ledger, or who was champion at the moment that was asked about.
    notes, findings : list of str
        What a reader should know, and what does not add up now.
    verdict : tuple of str
        A step and its outcome, true where there are no findings.
    """

    shown: Table | str
    notes: list[str]
    findings: list[str]
    verdict: tuple[str, str]


def answer(config: registered.HistoryConfig) -> LedgerAnswer:
    """Read the ledger of a name, and hold it to the registry and the files.

    Raises
    ------
    LedgerBroken
        The ledger itself was changed.
    NoSuchModel
        There is neither a ledger nor a model of the name.
    """
    tracking.check_tracking(must_exist=True)
    history = ledger.settle(config.name)
    if not history.entries and not model_registry.is_known(config.name):
        raise NoSuchModel(name=config.name, where=tracking.tracking_uri())
    shown = champion_at(history, config.at) if config.at else table_of(history)
    signed, unsigned = _signature_of(history, config.trust)
    return LedgerAnswer(
        shown,
        [*notes(history), *copied_by_others(history)],
        [*findings(history), *unsigned],
        _verdict(history, signed),
    )


def _signature_of(history: ledger.History, trust: str) -> tuple[str, list[str]]:
    """Return who signed the champion, and what is wrong with that; nothing where nobody asks."""
    if not trust or history.current is None:
        return "", []
    try:
        newest = promotions.newest_move(history.entries)
        return f"; signed {signatures.check(history.current, trust, newest=newest)}", []
    except TrainingError as error:
        return "", [str(error)]


def _verdict(history: ledger.History, signed: str) -> tuple[str, str]:
    champion = f"the champion is {history.serving or 'none'}"
    if not history.entries:
        return "ledger", f"nothing was entered yet; {champion}"
    whole = f"a whole chain of {len(history.entries)}"
    return "verified", f"{whole}; {champion}, its pin and files as promoted{signed}"


def table_of(history: ledger.History) -> Table:
    """Return the ledger as a table, oldest entry first."""
    table = Table("#", "when (UTC)", "what", "version", "who", "why", title=f"the ledger of {history.name}")
    for entry in history.entries:
        arrow = "->" if entry.moves else "kept against"
        cells = (
            str(entry.sequence),
            _minute(entry.when),
            entry.kind,
            f"{entry.from_version or 'none'} {arrow} {entry.to_version}",
            f"{entry.user}@{entry.host}",
            entry.reason,
        )
        table.add_row(*map(Text, cells))  # Text: a reason may hold what rich takes for markup
    return table


def champion_at(history: ledger.History, moment: datetime) -> str:
    """Return one sentence: which version was champion at a moment."""
    when = f"at {_minute(moment.isoformat())} UTC"
    before = [
        entry for entry, at in zip(history.entries, true_times(history.entries), strict=True) if at <= moment
    ]
    if not history.entries:
        return f"{history.name} has no ledger: nobody can say who was champion {when}"
    if not before:
        first = history.entries[0]
        start = f"before the ledger's first entry of {_minute(first.when)} UTC"
        return f"{_was(first.from_version)} champion of {history.name} {when}, {start}"
    last = next((entry for entry in reversed(before) if entry.moves), before[-1])
    return (
        f"{_was(before[-1].champion)} champion of {history.name} {when} (entry {last.sequence}: {last.kind})"
    )


def notes(history: ledger.History) -> list[str]:
    """Return what a reader should know: moves by others that the ledger has taken in, and clocks that were wrong."""
    result = [
        f"between entries {before.sequence} and {after.sequence} somebody else moved the champion "
        f"from version {before.champion or 'none'} to {after.from_version or 'none'}"
        for before, after in pairwise(history.entries)
        if before.champion != after.from_version
    ]
    right = right_clocks(history.entries)
    wrong = [entry for entry in history.entries if entry.sequence not in right]
    return result + [
        f"entry {entry.sequence} says {_minute(entry.when)} UTC: the clock of {entry.host} was wrong; it is taken to "
        "have been entered just after the one before it"
        for entry in wrong
    ]


def findings(history: ledger.History) -> list[str]:
    """Return what does not add up now: alias, pin, files, or entries that are gone."""
    moved = [history.moved_in_words] if history.moved else []
    return [*moved, *_champion_faults(history), *lost_entries(history)]


def _champion_faults(history: ledger.History) -> list[str]:
    """Hold the champion's tags to the ledger, and its files in the registry to both."""
    if history.current is None or not history.current.digest:  # the alias points to a model of others
        return []
    current = history.current
    return [*_fault(lambda: history.check(current)), *_fault(current.check_files_now)]


def _fault(check: Callable[[], None]) -> list[str]:
    try:
        check()
    except FilesAway:
        raise  # nothing was found: nobody could look
    except TrainingError as error:
        return [str(error)]
    return []


def lost_entries(history: ledger.History) -> list[str]:
    """Return which versions bear the mark of an entry that this ledger lacks: it was deleted or written anew."""
    marks = history.marks
    return [
        f"version {version.number} bears the mark of a ledger entry that is gone ({mark}): "
        "the ledger was deleted or rewritten"
        for version in model_registry.versions(history.name)
        if (mark := version.tags.get(tag_names.ENTRY)) and mark not in marks and not ledger.origin_of(version)
    ]


def copied_by_others(history: ledger.History) -> list[str]:
    """Return which versions bear the mark of another name's ledger: MLflow's own copy takes it along."""
    return [
        f"version {version.number} was copied from {origin} without its ledger: nobody promoted it as {history.name}"
        for version in model_registry.versions(history.name)
        if version.tags.get(tag_names.ENTRY) not in history.marks and (origin := ledger.origin_of(version))
    ]


def _was(version: str) -> str:
    return f"version {version} was" if version else "no version was"


def _minute(when: str) -> str:
    return when[:16].replace("T", " ")

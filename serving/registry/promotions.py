"""The ledger of promotions as the registry keeps it: entries, their chain, and whether one vouches for a version.

Training writes it (`training.records.registry.ledger`), the server and `score` ask it before they believe a pin: who
can write a tag cannot put a line into a chain that others have read. Who can write the whole database can;
docs/registry.md says what that means. MLflow's client is handed in: this module knows neither MLflow nor where its
store is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from uuid import uuid4

from serving.registry.errors import LedgerUnreadable, NotInLedger

Kind = Literal["promotion", "forced", "rollback", "refusal", "copy"]

RUN_TAG = "slipway.ledger_run"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow answers for what it does not have."""


@dataclass(frozen=True)
class Entry:
    """One line of the ledger; each field is a key of its JSON.

    Attributes
    ----------
    when : str
        UTC in ISO 8601, by the writer's clock.
    from_version, to_version : str
        The champion at that time ("" for none), and the version that was promoted, gone back to or refused.
    evidence : str
        The run that holds the figures.
    previous : str
        SHA-256 hex of the entry before, "" in the first.
    nonce : str
        The writer's own: MLflow lets an equal value pass.
    to_files : str
        The digest of all files of `to_version`; no key where it is not known, as in entries of earlier releases.
    """

    name: str
    sequence: int
    when: str
    kind: Kind
    user: str
    host: str
    commit: str
    from_version: str
    from_digest: str
    to_version: str
    to_digest: str
    evidence: str
    policy: str
    reason: str
    previous: str
    nonce: str = field(default_factory=lambda: uuid4().hex)
    to_files: str = ""

    @property
    def text(self) -> str:
        """The entry as it is kept."""
        written = {key: value for key, value in asdict(self).items() if (key, value) != ("to_files", "")}
        return json.dumps(written, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def digest(self) -> str:
        """SHA-256 hex of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def moves(self) -> bool:
        """Whether the alias moves by it."""
        return self.kind != "refusal"

    @property
    def champion(self) -> str:
        """The champion after it, "" for none."""
        return self.to_version if self.moves else self.from_version


def home(name: str) -> str:
    """Return the name of the experiment that holds a model's ledger."""
    return f"slipway ledger: {name}"


def find_run(client: Any, name: str) -> Any:
    """Return the run that holds the ledger, or None where a name has none; raises LedgerUnreadable."""
    experiment = client.get_experiment_by_name(home(name))
    if experiment is None:
        return None
    if experiment.lifecycle_stage != "active":
        repair = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
        raise LedgerUnreadable(name=name, fault="its experiment was deleted", repair=repair)
    try:
        run = client.get_run(experiment.tags.get(RUN_TAG, ""))
    except Exception as error:
        if getattr(error, "error_code", "") not in ABSENT:
            raise
        raise LedgerUnreadable(name=name, fault="its run is gone", repair=_restart(name)) from error
    if run.info.lifecycle_stage != "active":
        repair = f"mlflow runs restore --run-id {run.info.run_id}"
        raise LedgerUnreadable(name=name, fault="its run was deleted", repair=repair)
    return run


def entries_of(name: str, params: Mapping[str, str]) -> tuple[Entry, ...]:
    """Return the entries among a run's parameters, their chain verified; raises LedgerUnreadable."""
    texts = {key: text for key, text in params.items() if re.fullmatch(r"\d{6,}", key)}
    entries: list[Entry] = []
    for sequence in range(1, len(texts) + 1):
        previous = entries[-1].digest if entries else ""
        entries.append(_verified(name, texts, sequence=sequence, previous=previous))
    return tuple(entries)


def _verified(name: str, texts: Mapping[str, str], *, sequence: int, previous: str) -> Entry:
    """Return one entry; raises LedgerUnreadable where it is not what the writer of the next one saw."""
    text = texts.get(f"{sequence:06d}", "")
    fault = f"entry {sequence} is not an entry: {text[:60]!r}" if text else f"entry {sequence} is missing"
    with suppress(ValueError, TypeError):
        entry = Entry(**json.loads(text))
        if entry.text == text and (entry.name, entry.sequence, entry.previous) == (name, sequence, previous):
            return entry
        fault = f"entry {sequence} does not follow entry {sequence - 1}: one of the two was changed"
    raise LedgerUnreadable(name=name, fault=fault, repair=_restart(name))


def _restart(name: str) -> str:
    return (
        f"restore MLflow's database, or rename the experiment {home(name)!r} to keep it as evidence: "
        "a new ledger then starts from the present champion"
    )


@dataclass(frozen=True)
class Recorded:
    """What the ledger says of a version: the digests of its scorer and of all its files ("" where unknown)."""

    entry: int
    digest: str
    files: str = ""


def recorded(entries: Sequence[Entry], version: str) -> Recorded | None:
    """Return what the last entry that moved the alias to a version says, or the first entry of where it started."""
    for entry in reversed(entries):
        if entry.moves and entry.to_version == version:
            return Recorded(entry.sequence, entry.to_digest, entry.to_files)
    if entries and entries[0].from_version == version:  # it was champion before there was a ledger
        return Recorded(1, entries[0].from_digest)
    return None


def origin_of(client: Any, mark: str, name: str) -> str:
    """Return of which other name's ledger a mark is, which MLflow's own copy of a version takes along; else nothing.

    The entry itself says so: an experiment can be renamed.
    """
    run_id, _, rest = mark.partition("/")
    try:
        text = client.get_run(run_id).data.params[f"{int(rest.partition('/')[0]):06d}"]
        other = str(json.loads(text)["name"])
    except (KeyError, ValueError, TypeError):
        return ""
    except Exception as error:
        if getattr(error, "error_code", "") not in ABSENT:
            raise
        return ""
    return "" if other == name else other


def newest_move(entries: Sequence[Entry], version: str = "") -> int:
    """Return the number of the last entry that moved the alias, or that moved it to a version; 0 for none."""
    moves = [entry.sequence for entry in entries if entry.moves and version in ("", entry.to_version)]
    return moves[-1] if moves else 0


def vouch(
    entries: Sequence[Entry], *, name: str, version: str, pinned: str | None, files: str | None
) -> Recorded | None:
    """Hold a version's tags to the ledger, and return what it says of the version, if anything.

    Raises
    ------
    NotInLedger
        The version is pinned and no entry says so, or its tags say other digests than the entry.
    """
    said = recorded(entries, version)
    if said is None:
        if pinned and entries:
            raise NotInLedger(name=name, version=version, fault="it is pinned, and no entry promotes it")
        return None
    for tag, value, expected in (
        ("pinned digest", pinned, said.digest),
        ("files' digest", files, said.files),
    ):
        if expected and (value or "") != expected:
            fault = f"its {tag} is {(value or 'gone')[:16]}, entry {said.entry} says {expected[:16]}"
            raise NotInLedger(name=name, version=version, fault=fault)
    return said


def moved_in_words(entries: Sequence[Entry], name: str, serving: str) -> str:
    """Say that the alias is not where the ledger left it, or nothing."""
    if not entries or entries[-1].champion == serving:
        return ""
    now = f"moved to version {serving}" if serving else "deleted"
    was = f"version {entries[-1].champion}" if entries[-1].champion else "none"
    return f"the champion of {name} is {was} in the ledger, but its alias was {now} by somebody else"

"""Who is champion, since when, why and on whose word: a hash-chained ledger kept in MLflow.

A registered model has one ledger run, alone in an experiment of its own. Entry N is that run's
parameter N: MLflow's database refuses a parameter that exists with another value, so of two writers
that follow the same history exactly one is entered, and the other is told (`Superseded`).

The ledger is the truth, and the alias follows: entry, pinned digest, alias, then a mark on the version that the
entry is carried out. Whoever reads the ledger next finishes an entry without its mark, which a crash
left; an alias that differs from a marked entry was moved by somebody else, and is reported and left alone.

Who can write to MLflow's database can write the whole chain anew: docs/registry.md says what that means.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from training import registry, tracking
from training.errors import LedgerBroken, NoEarlierChampion, Superseded

Kind = Literal["promotion", "forced", "rollback", "refusal"]

RUN_TAG = "slipway.ledger_run"
LONGEST_REASON = 2000
"""Characters: an entry stays under the 6,000 of a parameter, were each of these to be escaped."""

ABOUT = (
    "The ledger of {name}: each promotion, forced change, rollback and refusal is a parameter of the one run in here, "
    "chained by hashes. Slipway writes it, and stops where it is changed or deleted. "
    "To read it: `mlflow run . --env-manager local -e history -P name={name}`."
)


@dataclass(frozen=True)
class Entry:
    """One line of the ledger; each field is a key of its JSON.

    Attributes
    ----------
    when : str
        UTC in ISO 8601, never before the entry that it follows.
    from_version, to_version : str
        The champion at that time ("" for none), and the version that was promoted, gone back to or refused.
    evidence : str
        The run that holds the figures.
    previous : str
        SHA-256 hex of the entry before, "" in the first.
    nonce : str
        The writer's own: MLflow lets an equal value pass.
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

    @property
    def text(self) -> str:
        """The entry as it is kept."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

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


@dataclass(frozen=True)
class History:
    """A ledger as it was read, its chain verified.

    Attributes
    ----------
    run_id : str
        "" where nothing was ever entered.
    current : Version or None
        What the alias points to.
    """

    name: str
    run_id: str = ""
    entries: tuple[Entry, ...] = ()
    current: registry.Version | None = None

    @property
    def serving(self) -> str:
        """The number of the version that the alias points to, "" for none."""
        return self.current.number if self.current else ""

    @property
    def recorded(self) -> str:
        """The number of the version that the alias should point to."""
        return self.entries[-1].champion if self.entries else self.serving

    @property
    def moved(self) -> bool:
        """Whether somebody else moved the alias; of a ledger that is settled."""
        return self.serving != self.recorded

    @property
    def moved_in_words(self) -> str:
        """What was done behind the ledger's back."""
        now = f"moved to version {self.serving}" if self.serving else "deleted"
        was = f"version {self.recorded}" if self.recorded else "none"
        return f"the champion of {self.name} is {was} in the ledger, but its alias was {now} by somebody else"

    @property
    def marks(self) -> dict[str, Entry]:
        """The entries by the mark that their version bears once they are carried out."""
        return {f"{self.run_id}/{entry.sequence}/{entry.digest[:16]}": entry for entry in self.entries}

    @property
    def pending(self) -> bool:
        """Whether the last entry was not carried out, and nobody has moved the alias since."""
        if not self.entries:
            return False
        last = self.entries[-1]
        version = registry.find_version(self.name, last.to_version)
        untouched = not last.moves or self.serving in (last.from_version, last.to_version)
        mark = version.tags.get(registry.ENTRY_TAG, "") if version else ""
        # A mark with another hash is no crash: the entry was changed after it was carried out.
        found = re.fullmatch(rf"{self.run_id}/(\d+)/\w+", mark)
        return untouched and version is not None and not (found and int(found[1]) >= last.sequence)

    def champions(self) -> list[str]:
        """Return the champions up to the present one; who was left by a rollback is not among them."""
        line: list[str] = []
        for entry in self.entries:
            _go_to(line, entry.from_version)
            if entry.kind == "rollback":
                _go_to(line, entry.to_version)
            elif entry.moves:
                line.append(entry.to_version)
        _go_to(line, self.serving)
        return line


def _go_to(line: list[str], version: str) -> None:
    """Go back to a version in the line, or forward to one that is new: somebody moved the alias."""
    if version in line:
        del line[len(line) - line[::-1].index(version) :]
    elif version:
        line.append(version)


def read(name: str) -> History:
    """Return the ledger of a model and verify its chain; raises LedgerBroken."""
    run = _find(name)
    if run is None:
        return History(name, current=registry.champion(name))
    texts = {key: text for key, text in run.data.params.items() if re.fullmatch(r"\d{6,}", key)}
    entries: list[Entry] = []
    for sequence in range(1, len(texts) + 1):
        previous = entries[-1].digest if entries else ""
        entries.append(_verified(name, texts, sequence=sequence, previous=previous))
    return History(name, run.info.run_id, tuple(entries), registry.champion(name))


def settle(name: str) -> History:
    """Read the ledger and carry out what a crash left; say whether the alias was moved by others.

    A writer may be overtaken between its entry and its alias. So each looks again after it has
    set the alias, until what it carried out is the newest; and an alias that seems to be moved is
    looked at twice.
    """
    ours: Entry | None = None
    looked_again = False
    while True:
        history = read(name)
        newest = next((entry for entry in reversed(history.entries) if entry.moves), None)
        overtaken, pending = ours is not None and ours != newest, history.pending
        if newest and (overtaken or (pending and newest == history.entries[-1])):
            registry.promote(name, newest.to_version, digest=newest.to_digest)
            ours = newest
        if pending:
            _mark(history)
        elif overtaken:
            continue
        elif looked_again or not history.moved:
            return history
        else:
            looked_again = True
            time.sleep(0.3)


def record(
    history: History,
    chosen: registry.Version,
    *,
    kind: Kind,
    reason: str,
    policy: str = "",
    evidence: str = "",
) -> Entry:
    """Enter what was decided on this history, then carry it out.

    Raises
    ------
    Superseded
        Another writer was first: nothing is entered, and the decision has to be taken again.
    WrongFiles, NotOurs
        The version's files are not those that it was registered with; nothing is entered.
    """
    digest = chosen.tags.get(registry.DIGEST_TAG, "") if kind == "refusal" else chosen.verified_digest()
    last = history.entries[-1] if history.entries else None
    current: Mapping[str, str] = history.current.tags if history.current else {}
    entry = Entry(
        name=history.name,
        sequence=len(history.entries) + 1,
        when=max(datetime.now(UTC).isoformat(timespec="milliseconds"), last.when if last else ""),
        kind=kind,
        **_who(),
        from_version=history.serving,
        from_digest=current.get(registry.PINNED_TAG) or current.get(registry.DIGEST_TAG, ""),
        to_version=chosen.number,
        to_digest=digest,
        evidence=evidence,
        policy=_plain(policy, 200),
        reason=_plain(reason, LONGEST_REASON),
        previous=last.digest if last else "",
    )
    _append(history.run_id or _create(history.name), entry)
    settle(history.name)
    return entry


def rollback(name: str, *, reason: str = "") -> Entry:
    """Go back to the champion before the present one.

    Superseded is not tried again here: two people who leave the same version would go back two.
    """
    history = settle(name)
    champions = history.champions()
    if len(champions) < 2:
        raise NoEarlierChampion(name=name, version=history.serving)
    target = registry.version(name, champions[-2])
    why = reason or f"rolled back from version {history.serving}"
    return record(history, target, kind="rollback", reason=why, evidence=target.run_id)


def _append(run_id: str, entry: Entry) -> None:
    """Put the entry under its number unless that is taken."""
    try:
        mlflow.MlflowClient().log_param(run_id, f"{entry.sequence:06d}", entry.text)
    except MlflowException:
        entries = read(entry.name).entries
        if len(entries) < entry.sequence:
            raise
        if entries[entry.sequence - 1] != entry:
            raise Superseded(name=entry.name, champion=entries[-1].champion) from None


def _mark(history: History) -> None:
    """Let the version of the last entry say what came of it, and that it is carried out."""
    mark, entry = list(history.marks.items())[-1]
    word = "promoted" if entry.moves else "kept champion"
    said = {"slipway.decision": word, "slipway.reason": entry.reason, registry.ENTRY_TAG: mark}
    registry.tag(history.name, entry.to_version, said)


def _find(name: str) -> Run | None:
    """Return the ledger run, or None where there is none yet."""
    client = mlflow.MlflowClient()
    home = client.get_experiment_by_name(_home(name))
    if home is None:
        return None
    if home.lifecycle_stage != "active":
        repair = f"mlflow experiments restore --experiment-id {home.experiment_id}"
        raise LedgerBroken(name=name, fault="its experiment was deleted", repair=repair)
    try:
        run = client.get_run(home.tags.get(RUN_TAG, ""))
    except MlflowException as error:
        if error.error_code not in registry.ABSENT:
            raise
        raise LedgerBroken(name=name, fault="its run is gone", repair=_restart(name)) from error
    if run.info.lifecycle_stage != "active":
        repair = f"mlflow runs restore --run-id {run.info.run_id}"
        raise LedgerBroken(name=name, fault="its run was deleted", repair=repair)
    return run


def _create(name: str) -> str:
    """Return the id of the ledger run: our new one, or that of a writer who was first.

    An experiment's name is unique in the database. So the experiment gets its run under a name of its own,
    and takes the ledger's name when it is whole.
    """
    client, about = mlflow.MlflowClient(), ABOUT.format(name=name)
    tags = {"mlflow.note.content": about, tracking.EXPERIMENT_KIND: "custom_model_development"}
    home = client.create_experiment(f"{_home(name)} (starting {uuid4().hex})", tags=tags)
    run_id = str(
        client.create_run(home, run_name=_home(name), tags={"mlflow.note.content": about}).info.run_id
    )
    client.set_terminated(run_id)
    client.set_experiment_tag(home, RUN_TAG, run_id)
    try:
        client.rename_experiment(home, _home(name))
    except MlflowException:
        client.delete_experiment(home)
        first = _find(name)
        if first is None:
            raise
        return str(first.info.run_id)
    return run_id


def _verified(name: str, texts: Mapping[str, str], *, sequence: int, previous: str) -> Entry:
    """Return one entry; raises LedgerBroken where it is not what the writer of the next one saw."""
    text = texts.get(f"{sequence:06d}", "")
    fault = f"entry {sequence} is not an entry: {text[:60]!r}" if text else f"entry {sequence} is missing"
    with suppress(ValueError, TypeError):
        entry = Entry(**json.loads(text))
        if entry.text == text and (entry.name, entry.sequence, entry.previous) == (name, sequence, previous):
            return entry
        fault = f"entry {sequence} does not follow entry {sequence - 1}: one of the two was changed"
    raise LedgerBroken(name=name, fault=fault, repair=_restart(name))


def _restart(name: str) -> str:
    return (
        f"restore MLflow's database, or rename the experiment {_home(name)!r} to keep it as evidence: "
        "a new ledger then starts from the present champion"
    )


def _home(name: str) -> str:
    return f"slipway ledger: {name}"


def _who() -> dict[str, str]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = f"uid {os.getuid()}"
    host = socket.gethostname()
    return {"user": _plain(user, 100), "host": _plain(host, 100), "commit": tracking.git_commit()}


def _plain(text: str, longest: int) -> str:
    """Return one line of printable text."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:longest]

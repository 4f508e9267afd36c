"""Who is champion, since when, why and on whose word: a hash-chained ledger kept in MLflow.

A registered model has one ledger run, alone in an experiment of its own. Entry N is that run's
parameter N: MLflow's database refuses a parameter that exists with another value, so of two writers
that follow the same history exactly one is entered, and the other is told (`Superseded`).

The ledger is the truth, and the alias follows: entry, signature (where a key is given), pinned digest, alias, then a
mark on the version that the entry is carried out. Whoever reads the ledger next finishes an entry without its mark,
which a crash left; an alias that differs from a marked entry was moved by somebody else, and is reported and left
alone.

Who can write to MLflow's database can write the whole chain anew: docs/registry.md says what that means.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import mlflow
from mlflow.exceptions import MlflowException

from serving.registry import promotions
from serving.registry.errors import LedgerUnreadable, NotInLedger
from training.records import tag_names, tracking
from training.records.errors import LedgerBroken, NoEarlierChampion, Superseded, TagsDiffer
from training.records.registry import model_pages, model_registry, signatures
from training.records.runs import views
from training.signing import given_key

UNEVEN = timedelta(minutes=5)
"""How far two writers' clocks may be apart: beyond it one of them is wrong, and each writes its own time."""

LONGEST_REASON = 2000
"""Characters: an entry stays under the 6,000 of a parameter, were each of these to be escaped."""

ABOUT = (
    "The ledger of {name}: each promotion, forced change, rollback and refusal is a parameter of the one run in here, "
    "chained by hashes. Slipway writes it, and stops where it is changed or deleted. "
    "To read it: `mlflow run . --env-manager local -e history -P name={name}`."
)


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
    entries: tuple[promotions.Entry, ...] = ()
    current: model_registry.Version | None = None

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
        return promotions.moved_in_words(self.entries, self.name, self.serving)

    def as_recorded(self, version: model_registry.Version) -> model_registry.Version:
        """Return a version with the digests that the ledger has of it, whatever its tags say now."""
        said = promotions.recorded(self.entries, version.number)
        if said is None:
            return version
        digests = {tag_names.PINNED: said.digest, tag_names.FILES: said.files}
        return replace(
            version, tags={**version.tags, **{tag: digest for tag, digest in digests.items() if digest}}
        )

    def check(self, version: model_registry.Version) -> None:
        """Hold a version's tags to what the ledger says of it; raises TagsDiffer."""
        tags = version.tags
        try:
            promotions.vouch(
                self.entries,
                name=self.name,
                version=version.number,
                pinned=tags.get(tag_names.PINNED),
                files=tags.get(tag_names.FILES),
            )
        except NotInLedger as error:
            raise TagsDiffer(str(error)) from error

    @property
    def marks(self) -> dict[str, promotions.Entry]:
        """The entries by the mark that their version bears once they are carried out."""
        return {f"{self.run_id}/{entry.sequence}/{entry.digest[:16]}": entry for entry in self.entries}

    @property
    def pending(self) -> bool:
        """Whether the last entry was not carried out, and nobody has moved the alias since."""
        if not self.entries:
            return False
        last = self.entries[-1]
        version = model_registry.find_version(self.name, last.to_version)
        untouched = not last.moves or self.serving in (last.from_version, last.to_version)
        mark = version.tags.get(tag_names.ENTRY, "") if version else ""
        # A mark with another hash is no crash: the entry was changed after it was carried out.
        result = re.fullmatch(rf"{self.run_id}/(\d+)/\w+", mark)
        return untouched and version is not None and not (result and int(result[1]) >= last.sequence)

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
    try:
        run = promotions.find_run(mlflow.MlflowClient(), name)
        if run is None:
            return History(name, current=model_registry.champion(name))
        entries = promotions.entries_of(name, run.data.params)
    except LedgerUnreadable as error:
        raise LedgerBroken(str(error)) from error
    return History(name, run.info.run_id, entries, model_registry.champion(name))


def origin_of(version: model_registry.Version) -> str:
    """Return of which other name's ledger a version bears the mark, or nothing."""
    mark = version.tags.get(tag_names.ENTRY, "")
    return promotions.origin_of(mlflow.MlflowClient(), mark, version.name) if mark else ""


def settle(name: str) -> History:
    """Read the ledger and carry out what a crash left; say whether the alias was moved by others.

    A writer may be overtaken between its entry and its alias. So each looks again after it has
    set the alias, until what it carried out is the newest; and an alias that seems to be moved is
    looked at twice.
    """
    ours: promotions.Entry | None = None
    looked_again = False
    while True:
        history = read(name)
        newest = next((entry for entry in reversed(history.entries) if entry.moves), None)
        overtaken, pending = ours is not None and ours != newest, history.pending
        if newest and (overtaken or (pending and newest == history.entries[-1])):
            _sign(history, newest)
            model_registry.promote(name, newest.to_version, digest=newest.to_digest, files=newest.to_files)
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
    chosen: model_registry.Version,
    *,
    kind: promotions.Kind,
    reason: str,
    policy: str = "",
    evidence: str = "",
) -> promotions.Entry:
    """Enter what was decided on this history, then carry it out.

    Raises
    ------
    Superseded
        Another writer was first: nothing is entered, and the decision has to be taken again.
    WrongFiles, NotOurs
        The version's files are not those that it was registered with; nothing is entered.
    CannotSign, Unvouched
        A key is given, and cannot be used, or nobody recorded what it would sign; nothing is entered.
    """
    if kind != "refusal" and given_key() and not chosen.files:
        raise chosen.unvouched()
    digest = chosen.tags.get(tag_names.DIGEST, "") if kind == "refusal" else chosen.verified_digest()
    last = history.entries[-1] if history.entries else None
    current: Mapping[str, str] = history.current.tags if history.current else {}
    entry = promotions.Entry(
        name=history.name,
        sequence=len(history.entries) + 1,
        when=_now(last.when if last else ""),
        kind=kind,
        **_who(),
        from_version=history.serving,
        from_digest=current.get(tag_names.PINNED) or current.get(tag_names.DIGEST, ""),
        to_version=chosen.number,
        to_digest=digest,
        to_files=chosen.files if kind != "refusal" else "",
        evidence=evidence,
        policy=_plain(policy, 200),
        reason=_plain(reason, LONGEST_REASON),
        previous=last.digest if last else "",
    )
    _append(history.run_id or _create(history.name), entry)
    settle(history.name)
    return entry


def rollback(name: str, *, reason: str = "") -> promotions.Entry:
    """Go back to the champion before the present one: the newest of them that the registry still has.

    Superseded is not tried again here: two people who leave the same version would go back two.
    """
    history = settle(name)
    *earlier, _ = history.champions() or [""]
    kept = [version for number in earlier if (version := model_registry.find_version(name, number))]
    if not kept:
        raise NoEarlierChampion(name=name, version=history.serving, gone=earlier)
    gone = earlier[len(earlier) - earlier[::-1].index(kept[-1].number) :]
    target = history.as_recorded(kept[-1])
    why = reason or f"rolled back from version {history.serving}"
    why += f" (gone from the registry: {', '.join(gone)})" if gone else ""
    return record(history, target, kind="rollback", reason=why, evidence=target.run_id)


def _sign(history: History, entry: promotions.Entry) -> None:
    """Sign the version of an entry, where a key is given, before the alias points to it: servers may ask for that.

    Who carries out what another process left may have no key: the version is unsigned until somebody signs it.
    """
    key = given_key()
    version = model_registry.find_version(history.name, entry.to_version) if key else None
    if key and version:
        bundle = signatures.signed(history.as_recorded(version), key, sequence=entry.sequence)
        signatures.keep(version, bundle)


def _append(run_id: str, entry: promotions.Entry) -> None:
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
    said = {tag_names.DECISION: word, tag_names.REASON: entry.reason, tag_names.ENTRY: mark}
    model_registry.tag(history.name, entry.to_version, said)
    model_pages.show(history.name, entry.to_version)


def _create(name: str) -> str:
    """Return the id of the ledger run: our new one, or that of a writer who was first.

    An experiment's name is unique in the database. So the experiment gets its run under a name of its own,
    and takes the ledger's name when it is whole. Where no answer says whether it did, the name is looked up: ours may
    be the ledger already. One that nobody knows of is left, since it may take the name a moment later.
    """
    client, about = mlflow.MlflowClient(), ABOUT.format(name=name)
    tags = {"mlflow.note.content": about, views.EXPERIMENT_KIND: "custom_model_development"}
    place = client.create_experiment(f"{promotions.home(name)} (starting {uuid4().hex})", tags=tags)
    run_id = str(
        client.create_run(
            place, run_name=promotions.home(name), tags={"mlflow.note.content": about}
        ).info.run_id
    )
    client.set_terminated(run_id)
    client.set_experiment_tag(place, promotions.RUN_TAG, run_id)
    try:
        client.rename_experiment(place, promotions.home(name))
    except MlflowException:
        first = promotions.find_run(client, name)
        if first is None:
            raise
        if first.info.run_id != run_id:
            client.delete_experiment(place)
        return str(first.info.run_id)
    return run_id


def _now(last: str) -> str:
    """Return the time, as the last entry's where that writer's clock is a little ahead, but not where it was wrong."""
    now = datetime.now(UTC)
    little = bool(last) and timedelta(0) < datetime.fromisoformat(last) - now < UNEVEN
    return last if little else now.isoformat(timespec="milliseconds")


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

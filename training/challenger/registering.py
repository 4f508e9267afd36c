"""A version is registered, decided about, and told: on its page in the registry, on its run, to the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from training.challenger.judging import Decide, enter
from training.console import Say
from training.gate import deciding
from training.pages import plain
from training.records import Job, model_registry, tag_names
from training.rows import PreparedTable
from training.versions import flavor


@dataclass(frozen=True)
class Outcome:
    """What a training or a promotion came to."""

    version: model_registry.Version
    decision: deciding.Decision
    run_id: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


def register(
    job: Job,
    rows: PreparedTable,
    logged: flavor.Logged,
    *,
    summary: str,
    tags: Mapping[str, str] | None = None,
) -> model_registry.Version:
    """Register the version; nothing is decided about it yet."""
    return model_registry.register(
        job.config.name,
        logged,
        run_id=job.run.run_id,
        tags=model_registry.describe_rows(rows.split, rows.schema, rows.fingerprint, rows.checked.weight)
        | ({tag_names.TIME: job.config.time_column} if job.config.time_column else {})
        | {tag_names.DIGEST: logged.digest, tag_names.DECISION: "undecided"}
        | dict(tags or {}),
        description=plain(summary),
    )


def conclude(job: Job, version: model_registry.Version, decide: Decide, *, summary: str) -> Outcome:
    """Decide, carry it out, and write it on the version and the run."""
    if job.config.promote == "never":  # nobody asked: that is no refusal, and needs no ledger
        decision = deciding.never()
        model_registry.tag(version.name, version.number, tags_of(version, decision))
    else:
        decision = enter(version, decide, run_id=job.run.run_id, say=job.say)
    page = f"\n\n[evidence]({job.run.evidence_page})" if decision.checks else ""
    model_registry.describe(version, f"{summary}{page}")  # its tags say what was decided, then and later
    text = f"{summary}\n\n{decision.word}: {plain(decision.reason)}{page}"
    figures = decision.champion.as_metrics("champion_holdout") if decision.champion else {}
    tags = {"mlflow.note.content": text, "mlflow.runName": f"{version.name} {version.number}"}
    job.run.log(metrics=figures, tags=tags | tags_of(version, decision))
    job.say("register", f"{version.name} version {version.number}: {summary.splitlines()[0]}")
    say_decision(decision, job.say)
    job.say("see", f"mlflow ui, then {job.run.page}")
    return Outcome(version, decision, job.run.run_id)


def say_decision(decision: deciding.Decision, say: Say) -> None:
    """Say what was decided and why, and what would help."""
    say("decide", f"{decision.word}: {decision.reason}")
    if decision.advice:
        say("help", decision.advice)


def tags_of(version: model_registry.Version, decision: deciding.Decision) -> dict[str, str]:
    """Return the tags of a run that decided about a version."""
    return {
        tag_names.VERSION: version.number,
        tag_names.DECISION: decision.word,
        tag_names.REASON: decision.reason,
    }

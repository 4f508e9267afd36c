"""Whether a version takes the champion's place: what has to hold, and what was found.

Sees figures and says yes or no, with a reason and the evidence. It moves nothing and measures little: the comparison
is `training.measuring.comparison`'s, the proof of the version's files `training.gate.proof`'s. Each requirement is a
`Check` with its figure and its limit, and all of them have to hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from data.figures import figure, number, percent
from data.schema import Schema
from serving.scorer import Parity
from training.commands import Policy
from training.compiling import cost
from training.measuring import Scores, comparison

FEWEST_ROWS = 5
BETTER = f"{comparison.CONFIDENCE:.0%} interval of the change in RMSE"
BESIDE_MEAN = "RMSE beside that of the training mean"

BASELINE_MARGIN = 0.01
"""A model must beat the training mean by this share of its RMSE: below it, a constant is the better service."""

SLICE_LIMIT = 0.05
"""No part of the rows may surely get worse than this; about what a person would notice."""


@dataclass(frozen=True)
class Check:
    """One requirement: what was found, what is asked, and whether it holds."""

    name: str
    passed: bool
    found: str
    limit: str


@dataclass(frozen=True)
class Decision:
    """What was decided and why.

    Attributes
    ----------
    promoted : bool
        Whether the alias is to move.
    reason : str
        One sentence with the figures.
    champion : Scores or None
        The champion's errors on the shared holdout rows, where it could be scored.
    policy : str
        What was asked of the challenger.
    checks, change, slices
        The evidence, where there is any.
    notes : tuple of str
        What a reader should know beside it.
    advice : str
        What would help a version that was not promoted, where figures say it.
    """

    promoted: bool
    reason: str
    champion: Scores | None = None
    policy: str = ""
    checks: tuple[Check, ...] = ()
    change: comparison.Change | None = None
    slices: tuple[comparison.Slice, ...] = ()
    notes: tuple[str, ...] = ()
    advice: str = ""

    @property
    def word(self) -> str:
        """The decision as a tag."""
        return "promoted" if self.promoted else "kept champion"

    @property
    def evidence(self) -> Mapping[str, Any]:
        """Everything that led to it, for JSON."""
        return asdict(self) | {"word": self.word}


def never() -> Decision:
    """Decide where the user asked for no promotion."""
    return Decision(promoted=False, reason="promote=never was asked for")


def forced(reason: str) -> Decision:
    """Decide where a person answers for it."""
    return Decision(promoted=True, reason=f"forced: {reason}", policy="forced")


def cannot_tell(why: str) -> Decision:
    """Decide where the two cannot be compared: a person has to."""
    return Decision(promoted=False, reason=f"cannot be compared with the champion: {why}")


def decide(
    policy: Policy,
    checks: list[Check],
    *,
    change: comparison.Change | None,
    slices: list[comparison.Slice],
    name: str = "",
    champion: Scores | None = None,
    champion_version: str = "",
    unit: str = "",
    weight: str = "",
    notes: list[str] | None = None,
) -> Decision:
    """Promote where every requirement holds; without a `change` there is no champion to compare with."""
    compared = [] if change is None else [better(policy, change), *_slices_check(slices)]
    everything = [*compared, *checks]
    failed = [check for check in everything if not check.passed]
    figures = f"{name} had no champion" if change is None else in_words(change, champion_version, unit)
    figures += f", errors weighted by {weight}" if weight else ""
    lacking = "; ".join(f"{check.name}: {check.found}, must be {check.limit}" for check in failed)
    return Decision(
        promoted=not failed,
        reason=f"{figures}; {lacking}" if failed else figures,
        champion=champion,
        policy=str(policy),
        checks=tuple(everything),
        change=change,
        slices=tuple(slices),
        notes=(*([] if change is None else [power_in_words(change)]), *(notes or [])),
        advice=_advice(policy, change, {check.name for check in failed}),
    )


def better(policy: Policy, change: comparison.Change) -> Check:
    """Require the interval to lie below zero, or below the margin."""
    return Check(
        BETTER,
        change.high < policy.highest,
        f"{percent(change.low)} to {percent(change.high)}",
        f"below {percent(policy.highest)}",
    )


def _advice(policy: Policy, change: comparison.Change | None, failed: set[str]) -> str:
    if BESIDE_MEAN in failed:
        return "the columns say next to nothing of the target: see what check names, add columns or rows"
    if change is not None and BETTER in failed:
        return advice(policy, change)
    return ""


def advice(policy: Policy, change: comparison.Change) -> str:
    """Say what would help a version of which these rows do not show that it is good enough."""
    if change.low > policy.highest:
        return (
            "it is surely worse: more training rows, better columns or a longer time_budget may change that"
        )
    within, wanted = _margin(policy, change), policy.highest - change.change
    if not change.detectable:
        return f"the two predict the same on every row{within and f'; {within}'}"
    if wanted <= 0.0:
        return f"it is no better on these rows, and more of them would not show otherwise{within and f'; {within}'}"
    return (
        f"{change.rows:,} shared rows are too few to tell, to show {percent(change.change)} takes about "
        f"{change.rows_to_see(wanted):,}: pass more rows{within and f', or {within}'}"
    )


def _margin(policy: Policy, change: comparison.Change) -> str:
    """Name the margin that would let it pass, if there is one: it is for the user to say whether that will do."""
    margin = max(math.floor(100.0 * change.high + 1.0) / 100.0, Policy.margin)
    if margin > Policy.MOST_MARGIN or margin <= policy.highest:
        return ""
    larger = f" -P margin={margin:g}" if margin > Policy.margin else ""
    return f"-P policy=not-worse{larger} if up to {margin:.0%} worse will do"


def accepts_requests(new: Schema, old: Schema, policy: Policy) -> Check:
    """Require that whoever can ask the champion can ask the challenger: no new column, no other kind."""
    kinds = {column.name: column.kind for column in old.columns}
    faults = [
        f"{column.name!r} is new"
        if column.name not in kinds
        else f"{column.name!r} was a {kinds[column.name]}"
        for column in new.columns
        if kinds.get(column.name) != column.kind
    ]
    result = ", ".join(faults[:5]) or "all of them"
    return Check(
        "requests that the champion accepts",
        not faults or policy.allow_schema_change,
        result,
        "accepted, or pass allow_schema_change=true",
    )


def beats_baseline(rmse: float, baseline: float, unit: str = "") -> Check:
    """Require a margin to the training mean."""
    return Check(
        BESIDE_MEAN,
        rmse <= (1.0 - BASELINE_MARGIN) * baseline,
        f"{figure(rmse, unit)} of {figure(baseline, unit)}",
        f"at least {BASELINE_MARGIN:.0%} lower",
    )


def agrees(door: str, distance: float, tolerance: float = Parity.TOLERANCE) -> Check:
    """Require two ways to score the same rows to agree."""
    return Check(door, distance <= tolerance, f"{distance:.1e} apart", f"at most {tolerance:.0e}")


def fits_budgets(row_microseconds: float, megabytes: float) -> list[Check]:
    """Require a row's time and the files' size to stay within what serving was promised."""
    return [
        Check(
            "time for one row",
            row_microseconds <= cost.MOST_MICROSECONDS,
            f"{row_microseconds:.0f} µs",
            f"at most {cost.MOST_MICROSECONDS:.0f} µs",
        ),
        Check(
            "size",
            1e6 * megabytes <= cost.MOST_BYTES,
            f"{number(megabytes, 2)} MB",
            f"at most {cost.MOST_BYTES / 1e6:.0f} MB",
        ),
    ]


def _slices_check(slices: list[comparison.Slice]) -> list[Check]:
    if not slices:
        return []
    worse = [part for part in slices if part.surely_worse]
    shown = ", ".join(f"{part.name} ({percent(part.change.change)})" for part in worse[:3])
    name = f"slices surely more than {SLICE_LIMIT:.0%} worse, of {len(slices)}"
    return [Check(name, not worse, f"{len(worse)}: {shown}" if worse else "0", "0")]


def in_words(change: comparison.Change, champion_version: str, unit: str = "") -> str:
    """Return the comparison as a sentence."""
    return (
        f"holdout RMSE {figure(change.challenger, unit)}, {percent(change.change)} [{percent(change.low)}, "
        f"{percent(change.high)}] "
        f"of champion version {champion_version}'s {figure(change.champion, unit)} on {change.rows:,} shared rows"
    )


def power_in_words(change: comparison.Change) -> str:
    """Return what these rows could have shown."""
    if not change.detectable:
        return "the two predict the same on every row"
    seen, half = percent(change.detectable, sign=False), change.detectable / 2
    return (
        f"with {change.rows:,} rows a change of {seen} in RMSE would be seen {comparison.POWER:.0%} of the time; "
        f"to see {percent(half, sign=False)} takes {change.rows_to_see(half):,} rows"
    )

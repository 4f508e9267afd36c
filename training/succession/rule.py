"""Whether to train a challenger, and why or why not: a function of facts, each answer a sentence.

    alarm     errors or harm stand: the rows are predicted worse than was promised
    rows      half as many labelled rows are new as the champion learned from, and more of them help; or as many
    age       the champion is older than the operator wants

Compute is cheap, attention is not: train readily, promote rarely. An alarm of the inputs alone never trains, for rows
may change and predictions stay right. Nothing is trained within a day of the last training. Costs, where they are
given, have the last word but for the age.

Nor is anything trained while a challenger is being judged, unless an alarm stands and the challenger does not know the
world that it found: the challenger learned no row since then, or older ones too, for few had come, and by now enough
have. Then a new one takes its place. One that learned the rows since the first alarm alone is the answer to later ones,
too, so at most two are replaced beside one champion.

It knows neither MLflow nor files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.checks import FEWEST_ROWS
from data.figures import figure, percent
from training.measuring import comparison

ACTING = ("errors", "harm")
"""Alarms on which a training follows."""

HALF, WHOLE = 0.5, 1.0
"""New labelled rows, as shares of those learned from."""

COOL_DOWN = 1.0
"""Days between two trainings."""


@dataclass(frozen=True)
class Costs:
    """What errors and trainings cost, in one currency.

    Attributes
    ----------
    value : float
        Of one unit of mean absolute error on one row.
    cost : float
        Of one retraining.
    days : float
        For which the new version would serve.
    """

    value: float
    cost: float
    days: float


@dataclass(frozen=True)
class Facts:
    """What is known when the question is asked.

    Attributes
    ----------
    alarms : mapping of kind to sentence
        Those that stand over the champion.
    changed_on : str
        The day of the first of them on which a training follows, an ISO date; or nothing.
    enough : bool
        Whether the labelled rows since then are enough to learn from alone.
    learned_rows : int
        That the champion was fitted on, zero where nobody counted them.
    new_rows : int
        Labelled ones that were predicted after its last.
    tried_rows : int
        Of these, that a challenger has learned from which did not become champion.
    doubling : tuple of float, or None
        The interval of the change in RMSE that the last doubling of rows made; None where nobody measured it.
    age, max_age : float, float or None
        Of the champion, in days.
    since_training, since_challenger : float or None
        Days since the last training for this model, and since the last that made a challenger; None where there was
        none.
    in_shadow : str
        The number of a challenger that is being judged, or nothing.
    shadow_learned : tuple of str, or None
        The days of the first and the last captured row that it learned, the first is nothing where it learned all;
        None where a person named it, whom no alarm outweighs.
    live, held_out : float
        The lower bound of the live mean absolute error, and what was measured on held-out rows; NaN where unknown.
    rows_a_day : float
        That are predicted.
    unit : str
        Of the target.
    left_out : int
        Files of captured rows without one of the champion's columns.
    """

    alarms: Mapping[str, str]
    learned_rows: int
    new_rows: int
    doubling: tuple[float, float] | None = None
    age: float = 0.0
    max_age: float | None = None
    tried_rows: int = 0
    since_training: float | None = None
    since_challenger: float | None = None
    in_shadow: str = ""
    shadow_learned: tuple[str, str] | None = None
    live: float = float("nan")
    held_out: float = float("nan")
    rows_a_day: float = 0.0
    unit: str = ""
    left_out: int = 0
    changed_on: str = ""
    enough: bool = False

    @property
    def not_now(self) -> str:
        """What forbids a training whatever rows there are, or nothing."""
        if self.in_shadow and not self.overtaken:
            return f"challenger version {self.in_shadow} is still being judged"
        if self.since_training is not None and self.since_training < COOL_DOWN:
            return "the last training was on this day, and a day has to pass"
        return ""

    @property
    def overtaken(self) -> str:
        """Why the challenger in the shadow does not know the world that an alarm found, in words; or nothing."""
        if not self.in_shadow or not self.changed_on or self.shadow_learned is None:
            return ""
        since, until = self.shadow_learned
        if until < self.changed_on:
            return f"challenger version {self.in_shadow} learned no row after {until}"
        if not since and self.enough:
            return f"challenger version {self.in_shadow} learned older rows, too, for few had come by {until}"
        return ""

    @property
    def untried_rows(self) -> int:
        """The new rows that no challenger has learned from: those that others learned from have had their answer."""
        return self.new_rows - self.tried_rows

    @property
    def is_too_old(self) -> bool:
        """Whether the champion is older than the operator wants, and no challenger is younger than that."""
        ages = [self.age] if self.since_challenger is None else [self.age, self.since_challenger]
        return self.max_age is not None and min(ages) >= self.max_age


@dataclass(frozen=True)
class RetrainDecision:
    """Whether to train.

    Attributes
    ----------
    cause : {"", "errors", "harm", "rows", "age"}
        Nothing where it is not to be.
    sentence : str
        Why, or why not.
    sum : str
        What worse errors cost, in figures; nothing where no costs were given.
    """

    cause: str
    sentence: str
    sum: str = ""


def decide(facts: Facts, costs: Costs | None = None) -> RetrainDecision:
    """Return whether to train a challenger."""
    gain = None if costs is None else _gain(facts, costs)
    told = "" if costs is None or gain is None else _in_words(facts, costs, gain)
    if hindrance := _hindrance(facts):
        return RetrainDecision("", f"did not retrain, because {hindrance}", told)
    cause, why = _cause(facts)
    if not cause:
        return RetrainDecision("", f"did not retrain, because {why}", told)
    if costs is not None and gain is not None and cause != "age" and not gain > costs.cost:
        return RetrainDecision("", f"did not retrain, because it would not pay, although {why}", told)
    return RetrainDecision(cause, f"retrain, because {why}", told)


def _hindrance(facts: Facts) -> str:
    """Return what forbids a training whatever speaks for it."""
    if facts.not_now:
        return facts.not_now
    if facts.new_rows < FEWEST_ROWS:
        lacking = (
            f"; {facts.left_out:,} captured files lack a column, or hold its hash" if facts.left_out else ""
        )
        return f"only {facts.new_rows:,} labelled rows are new, {FEWEST_ROWS} are needed{lacking}"
    return ""


def _cause(facts: Facts) -> tuple[str, str]:
    """Return what speaks for a training and how it is said, or nothing and why nothing does."""
    for kind in ACTING:
        if kind in facts.alarms:
            overtaken = f"; {facts.overtaken}" if facts.overtaken else ""
            return kind, f"the alarm {kind} stands: {facts.alarms[kind]}{overtaken}"
    share, has_more = _share(facts), f"{facts.untried_rows:,} labelled rows are new"
    if share >= WHOLE:
        return "rows", f"{has_more}, as many as the {facts.learned_rows:,} that it learned from"
    if share >= HALF and facts.doubling and comparison.lowers(*facts.doubling):
        low, high = facts.doubling
        return "rows", f"{has_more}, and a doubling changed RMSE by {percent(low)} to {percent(high)}"
    if facts.is_too_old:
        return "age", f"the champion is {facts.age:.0f} days old, {facts.max_age:g} are allowed"
    return "", "; ".join(_silent(facts, share))


def _silent(facts: Facts, share: float) -> list[str]:
    """Return why nothing speaks for a training."""
    others = ", ".join(kind for kind in facts.alarms if kind not in ACTING)
    reasons = [f"neither errors nor harm alarm{others and f' ({others} alone never retrains)'}"]
    since = " since the last challenger" if facts.tried_rows else ""
    new = f"{facts.untried_rows:,} new labelled rows{since}"
    of_all = f"{new} are {share:.0%} of the {facts.learned_rows:,} learned from"
    if share < HALF:
        return [*reasons, of_all]
    unsure = (
        "nobody measured whether more help" if facts.doubling is None else "there is no sign that more help"
    )
    return [*reasons, f"{of_all}, and {unsure}"]


def _share(facts: Facts) -> float:
    """Return the new rows as a share of those learned from; zero where nobody counted these."""
    return facts.untried_rows / facts.learned_rows if facts.learned_rows else 0.0


def _gain(facts: Facts, costs: Costs) -> float:
    """Return what worse errors cost until the horizon; NaN where the live error is unknown.

    The lower bound of the live error stands against the held-out one: CARA's cumulative threshold (Mahadevan &
    Mathioudakis, arXiv 2310.04216), on the careful side.
    """
    return (facts.live - facts.held_out) * costs.value * facts.rows_a_day * costs.days


def _in_words(facts: Facts, costs: Costs, gain: float) -> str:
    rows = facts.rows_a_day * costs.days
    return (
        f"({figure(facts.live, facts.unit)} - {figure(facts.held_out, facts.unit)}) * {costs.value:g} * {rows:,.0f} "
        f"rows in {costs.days:g} days = {gain:,.4g}, a retraining costs {costs.cost:g}"
    )

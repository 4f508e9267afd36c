"""What Optuna proposes: it is told all that was tried, whoever thought of it.

Twenty known settings come first. Untold of them, its sampler would begin with ten drawn at random.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from training.models import Spec, portfolio, ranges

if TYPE_CHECKING:
    import optuna

Ask = tuple[Spec, Callable[[float], None]]
"""A specification to try, and who is told its error."""


class Proposals:
    """A study of Optuna's, which begins where the known settings end."""

    def __init__(self, task: portfolio.Task, seed: int) -> None:
        self._task = task
        self._seed = seed
        self._known: list[tuple[dict[str, Any], float]] = []

    def known(self, spec: Spec) -> Ask:
        """Return a setting that somebody else thought of; its error is passed on."""
        return spec, partial(self._learn, spec)

    def ask(self) -> Ask:
        """Return the next proposal."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Optuna's, about its own experiments
            trial = self._study.ask()
            return ranges.proposed(trial, self._task), partial(_tell, self._study, trial)

    def _learn(self, spec: Spec, rmse: float) -> None:
        answers = ranges.answers_of(spec, self._task)
        if answers is None:  # no proposal can come near it
            return
        self._known.append((answers, rmse))
        if "_study" in self.__dict__:  # it was under way when the first proposal was made
            _add(self._study, answers, rmse, self._task)

    @cached_property
    def _study(self) -> optuna.Study:
        import optuna  # noqa: PLC0415 - half a second that a short search never needs

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(
            seed=self._seed, multivariate=True, group=True, constant_liar=True
        )
        study = optuna.create_study(sampler=sampler)
        for answers, rmse in self._known:
            _add(study, answers, rmse, self._task)
        return study


def _add(study: optuna.Study, answers: dict[str, Any], rmse: float, task: portfolio.Task) -> None:
    from optuna.trial import FixedTrial, create_trial  # noqa: PLC0415 - as above

    trial = FixedTrial(answers)
    ranges.proposed(trial, task)  # which notes the distributions that the answers come from
    study.add_trial(create_trial(params=trial.params, distributions=trial.distributions, **_outcome(rmse)))


def _tell(study: optuna.Study, trial: optuna.Trial, rmse: float) -> None:
    outcome = _outcome(rmse)
    study.tell(trial, outcome.get("value"), state=outcome["state"])


def _outcome(rmse: float) -> dict[str, Any]:
    from optuna.trial import TrialState  # noqa: PLC0415 - as above

    if np.isfinite(rmse):
        return {"state": TrialState.COMPLETE, "value": rmse}
    return {"state": TrialState.PRUNED}

"""`python -m training`: what MLproject's entry points call.

Each command imports only what it needs, and obeys a signal after that.

Progress goes to standard output, one line a step; what libraries have to say goes to
`slipway.log`. Exit codes: 0 done, whether the version was promoted or the champion kept, 2 the user can
mend it, 3 `history` found that something was changed behind its back, or an alarm of
`monitor` stands, 4 not promoted, where `fail_if_kept` was asked for, 1 we have to mend it, 130 interrupted.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.redaction import redact
from serving.registry import given_run
from training.commands import CheckConfig, Command, parse, registered, trainings, watches
from training.console import Console, failures, follow, interrupts, preload_processes, prepare_process
from training.jobs import result
from training.signing import given_key

if TYPE_CHECKING:
    from rich.table import Table

    from training.challenger import Outcome

STARTED = time.perf_counter()
CONSOLE = Console()

DONE, NOT_REPRODUCED, FOUND_SOMETHING = 0, 1, 3
"""Exit codes beside those of a failure. The last is for cron and CI: ledger, registry and files do not agree, or an
alarm stands."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    job = next(iter(words), "")
    try:
        prepare_process(say)
        command = parse(words)
        job = command.job
        with interrupts.deferred():
            given_run.load()
        given_run.began(job)
        code = RUN[type(command)](command)
    except (Exception, KeyboardInterrupt) as error:
        return failed(job, failures.failure_of(error))
    if code in (DONE, result.NOT_PROMOTED):
        given_run.done(job)
    return code


def failed(job: str, failure: failures.Failure) -> int:
    """Print why, leave it on the run that `mlflow run` opened, and return the exit code."""
    if failure.is_for_log:
        logging.getLogger(__name__).exception("command failed")
    print(failure.line, file=sys.stderr)
    given_run.refused(job, failure.reason)
    return failure.code


def say(step: str, outcome: str) -> None:
    """Print one line of progress."""
    CONSOLE.say(step, redact(outcome))


def say_done() -> None:
    """Print how long it took."""
    say("done", f"{time.perf_counter() - STARTED:.1f} s")


def train(config: trainings.TrainConfig) -> int:
    """Do what `train` asks for."""
    preload_processes()
    with CONSOLE.loading():
        from training.jobs import train as job  # noqa: PLC0415 - see above

    return concluded(config, lambda: job.train(config, say, CONSOLE.watch))


def adopt(config: trainings.AdoptConfig) -> int:
    """Do what `adopt` asks for."""
    with CONSOLE.loading():
        from training.jobs import adopt as job  # noqa: PLC0415 - see above

    return concluded(config, lambda: job.adopt(config, say))


def promote(config: registered.PromoteConfig) -> int:
    """Do what `promote` asks for."""
    with CONSOLE.loading():
        from training.jobs.champions import promote as job  # noqa: PLC0415 - see above

    return concluded(config, lambda: job.promote(config, say))


def concluded(config: trainings.TrainConfig | registered.PromoteConfig, work: Callable[[], Outcome]) -> int:
    """Do what may promote a version, and say what came of it in every way that was asked for."""
    result.make_room(config.result)
    given_key()  # one that cannot be used is told of before the search, not after it
    outcome = work()
    if config.result:
        result.write(config.result, outcome)
        say("result", config.result)
    say_done()
    return result.NOT_PROMOTED if config.fail_if_kept and not outcome.decision.promoted else DONE


def check(config: CheckConfig) -> int:
    """Do what `check` asks for."""
    with interrupts.deferred():
        from training.jobs import check as job  # noqa: PLC0415 - see above

    job.check(config, say)
    say_done()
    return DONE


def recalibrate(config: registered.RecalibrateConfig) -> int:
    """Do what `recalibrate` asks for."""
    with CONSOLE.loading():
        from training.jobs import recalibrate as job  # noqa: PLC0415 - see above

    job.recalibrate(config, say)
    say_done()
    return DONE


def compact(config: watches.CompactConfig) -> int:
    """Do what `compact` asks for."""
    with interrupts.deferred():
        from training.jobs.loop import compact as job  # noqa: PLC0415 - see above

    job.compact(config, say)
    say_done()
    return DONE


def feedback(config: watches.FeedbackConfig) -> int:
    """Do what `feedback` asks for."""
    with interrupts.deferred():
        from training.jobs.loop import feedback as job  # noqa: PLC0415 - see above

    job.feedback(config, say)
    say_done()
    return DONE


def monitor(config: watches.MonitorConfig) -> int:
    """Do what `monitor` asks for; 3 where an alarm stands, 0 once it was asked to end that followed."""
    with CONSOLE.loading():
        from training.jobs import monitor as job  # noqa: PLC0415 - see above

    if config.follow:
        follow(lambda: job.monitor(config, say), config.every, say)
        return DONE
    stands = job.monitor(config, say)
    say_done()
    if stands:
        given_run.done(config.job)  # it did what it was asked
    return FOUND_SOMETHING if stands else DONE


def reproduce(config: registered.ReproduceConfig) -> int:
    """Do what `reproduce` asks for."""
    with CONSOLE.loading():
        from training.jobs import reproduce as job  # noqa: PLC0415 - see above

    return DONE if job.reproduce(config, say) else NOT_REPRODUCED


def rollback(config: registered.RollbackConfig) -> int:
    """Do what `rollback` asks for."""
    with interrupts.deferred():
        from training.jobs.champions import rollback as job  # noqa: PLC0415 - see above

    job.roll_back(config, say)
    say_done()
    return DONE


def copy(config: registered.CopyConfig) -> int:
    """Do what `copy` asks for."""
    with CONSOLE.loading():
        from training.jobs.handover import copy as job  # noqa: PLC0415 - see above

    given_key()
    job.copy(config, say)
    say_done()
    return DONE


def sign(config: registered.SignConfig) -> int:
    """Do what `sign` asks for."""
    with interrupts.deferred():
        from training.jobs.handover import sign as job  # noqa: PLC0415 - see above

    job.sign(config, say)
    say_done()
    return DONE


def history(config: registered.HistoryConfig) -> int:
    """Do what `history` asks for; 3 where the ledger, the registry and the files do not agree."""
    with interrupts.deferred():
        from training.jobs.champions import history as job  # noqa: PLC0415 - see above
        from training.records.errors import LedgerBroken  # noqa: PLC0415 - see above

    try:
        answer = job.answer(config)
    except LedgerBroken as error:
        return failed(config.job, failures.refusal(str(error), code=FOUND_SOMETHING))
    show(answer.shown)
    for note in answer.notes:
        say("warning", note)
    if answer.findings:
        return max(
            failed(config.job, failures.refusal(each, code=FOUND_SOMETHING)) for each in answer.findings
        )
    say(*answer.verdict)
    return DONE


def show(answer: Table | str) -> None:
    """Print a sentence, or a table as wide as the terminal; 100 characters where there is none."""
    from rich.console import Console as Terminal  # noqa: PLC0415 - see above

    if isinstance(answer, str):
        print(answer)
        return
    terminal = Terminal()
    (terminal if terminal.is_terminal else Terminal(width=100)).print(answer)


RUN: Mapping[type[Command], Callable[[Any], int]] = {
    trainings.TrainConfig: train,
    trainings.AdoptConfig: adopt,
    registered.PromoteConfig: promote,
    CheckConfig: check,
    registered.RecalibrateConfig: recalibrate,
    watches.CompactConfig: compact,
    watches.FeedbackConfig: feedback,
    watches.MonitorConfig: monitor,
    registered.ReproduceConfig: reproduce,
    registered.RollbackConfig: rollback,
    registered.CopyConfig: copy,
    registered.SignConfig: sign,
    registered.HistoryConfig: history,
}
"""What does each command."""


if __name__ == "__main__":
    sys.exit(main())

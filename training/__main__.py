"""`python -m training`: what MLproject's entry points call.

Progress goes to standard output, one line a step; what libraries have to say goes to
`slipway.log`. Exit codes: 0 done, whether the version was promoted or the champion kept, 2 the user can
mend it, 3 `history` found that something was changed behind its back, 4 not promoted, where
`fail_if_kept` was asked for, 1 we have to mend it, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data.errors import DataError
from data.redaction import addresses_around, log_to, redact
from serving.registry import given_run
from training.commands.config import (
    AdoptConfig,
    CheckConfig,
    Config,
    HistoryConfig,
    PromoteConfig,
    RecalibrateConfig,
    ReproduceConfig,
    RollbackConfig,
    TrainConfig,
    job_of,
)
from training.commands.parser import parse
from training.errors import LedgerBroken, NoSuchModel, Terminated, TrainingError
from training.jobs import result
from training.progress import Console

LOG_FILE = Path("slipway.log")
STARTED = time.perf_counter()
CONSOLE = Console()

DISAGREES = 3
"""`history` found that ledger, registry and files do not say the same: an exit code for monitors."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    job = next(iter(sys.argv[1:] if arguments is None else arguments), "")
    try:
        send_chatter_to_log()
        config = parse(arguments)
        job = job_of(config)
        given_run.began(job)
        code = run(config)
    except KeyboardInterrupt:
        print("interrupted: nothing was registered after this line", file=sys.stderr)
        given_run.refused(job, "interrupted")
        return 130
    except (DataError, TrainingError) as error:
        return refused(job, str(error))
    except OSError as error:
        return refused(job, f"{error.filename or 'a file'} cannot be used: {error.strerror or error}")
    except Exception as error:
        logging.getLogger(__name__).exception("command failed")
        if broken := database_fault(error):
            return refused(
                job, f"tracking or registry cannot be used: {broken}: the details are in {LOG_FILE}"
            )
        print(f"internal error ({type(error).__name__}): the details are in {LOG_FILE}", file=sys.stderr)
        given_run.refused(job, f"internal error ({type(error).__name__})")
        return 1
    if code in (0, result.NOT_PROMOTED):
        given_run.done(job)
    return code


def database_fault(error: BaseException | None) -> str:
    """Return what MLflow's database said, where that is behind an error of MLflow's; nothing elsewhere."""
    while error is not None:
        if type(error).__module__.partition(".")[0] in ("sqlite3", "sqlalchemy", "psycopg", "psycopg2"):
            return str(error).splitlines()[0] if str(error) else type(error).__name__
        error = error.__cause__ or error.__context__
    return ""


def run(config: Config) -> int:
    """Import what the command needs (three seconds of scikit-learn and MLflow for a training), and do it."""
    if isinstance(config, HistoryConfig):
        return show_history(config)
    if isinstance(config, CheckConfig):
        from training.jobs import check  # noqa: PLC0415 - see above

        check.check(config, say)
    elif isinstance(config, RollbackConfig):
        roll_back(config)
    else:
        say("start", "loading scikit-learn and MLflow")
        return learning(config)
    say("done", f"{time.perf_counter() - STARTED:.1f} s")
    return 0


def learning(config: TrainConfig | PromoteConfig | ReproduceConfig | RecalibrateConfig) -> int:
    """Do what needs the whole of training."""
    if isinstance(config, TrainConfig | PromoteConfig):
        return promotion(config)
    if isinstance(config, ReproduceConfig):
        from training.jobs import reproduce  # noqa: PLC0415 - see above

        return 0 if reproduce.reproduce(config, say) else 1
    from training.jobs import recalibrate  # noqa: PLC0415 - see above

    recalibrate.recalibrate(config, say)
    say("done", f"{time.perf_counter() - STARTED:.1f} s")
    return 0


def promotion(config: TrainConfig | PromoteConfig) -> int:
    """Do what may promote a version, and say what came of it in every way that was asked for."""
    from training.jobs import adopt, promote, train  # noqa: PLC0415 - see above

    result.make_room(config.result)
    if isinstance(config, PromoteConfig):
        outcome = promote.promote(config, say)
    elif isinstance(config, AdoptConfig):
        outcome = adopt.adopt(config, say)
    else:
        outcome = train.train(config, say, CONSOLE.watch)
    if config.result:
        result.write(config.result, outcome)
        say("result", config.result)
    say("done", f"{time.perf_counter() - STARTED:.1f} s")
    return result.NOT_PROMOTED if config.fail_if_kept and not outcome.decision.promoted else 0


def roll_back(config: RollbackConfig) -> None:
    """Go back to the champion before, without what only a training needs."""
    from training.records import ledger, tracking  # noqa: PLC0415 - see above

    tracking.check_tracking(must_exist=True)
    entry = ledger.rollback(config.name, reason=config.reason)
    say("rollback", f"{entry.name}: version {entry.from_version or 'none'} -> {entry.to_version}")
    say("ledger", f"entry {entry.sequence}: {entry.reason}")


def show_history(config: HistoryConfig) -> int:
    """Print the ledger or the champion at a moment; 3 where the ledger, the registry and the files do not agree."""
    from rich.console import Console  # noqa: PLC0415 - see above

    from training.jobs import history  # noqa: PLC0415
    from training.records import ledger, model_registry, tracking  # noqa: PLC0415

    tracking.check_tracking(must_exist=True)
    try:
        found = ledger.settle(config.name)
    except LedgerBroken as error:
        return refused(job_of(config), str(error), code=DISAGREES)
    if not found.entries and not model_registry.is_known(config.name):
        raise NoSuchModel(name=config.name, where=tracking.tracking_uri())
    if config.at:
        print(history.champion_at(found, config.at))
    else:
        terminal = Console()
        (terminal if terminal.is_terminal else Console(width=100)).print(history.table_of(found))
    for note in history.notes(found):
        say("warning", note)
    if faults := history.findings(found):
        return max(refused(job_of(config), fault, code=DISAGREES) for fault in faults)
    champion = f"the champion is {found.serving or 'none'}"
    if found.entries:
        say("verified", f"a whole chain of {len(found.entries)}; {champion}, its pin and files as promoted")
    else:
        say("ledger", f"nothing was entered yet; {champion}")
    return 0


def refused(job: str, reason: str, *, code: int = 2) -> int:
    """Print why, leave it on the run that `mlflow run` opened, and return the exit code."""
    shown = redact(reason, *addresses_around())
    print(f"slipway: {shown}", file=sys.stderr)
    given_run.refused(job, shown)
    return code


def say(step: str, outcome: str) -> None:
    """Print one line of progress."""
    CONSOLE.say(step, redact(outcome))


def send_chatter_to_log() -> None:
    """Log to a file, warnings too; a folder that takes no log file gets none."""
    try:
        handler: logging.Handler = logging.FileHandler(LOG_FILE, delay=True)
        LOG_FILE.touch()
    except OSError:
        handler = logging.NullHandler()
    log_to(handler, level=logging.INFO, form="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(capture=True)
    # MLflow configures its own loggers on import, unless told not to.
    os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Boosting on 18,000 rows takes 0.12 s on one thread of OpenMP, 0.21 s on two, and minutes on two where
    # another process has the cores: the search runs several fits at once instead.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(_number: int, _frame: object) -> None:
    """End as Ctrl-C does outside a search: the run is closed, and says so."""
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())

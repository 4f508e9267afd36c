"""What a command sets up before it begins: the log file, the libraries' environment, SIGTERM, and its processes."""

from __future__ import annotations

import gc
import logging
import os
import signal
from multiprocessing import forkserver
from pathlib import Path

from data.redaction import log_to
from training.console import retries
from training.console.progress import Say
from training.errors import Terminated

LOG_FILE = Path("slipway.log")
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

ENVIRONMENT = {
    # MLflow configures its own loggers on import, unless told not to.
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Boosting on 18,000 rows takes 0.12 s on one thread of OpenMP, 0.21 s on two, and minutes on two where
    # another process has the cores: the search runs several fits at once instead.
    "OMP_NUM_THREADS": "1",
}

ALLOCATIONS = 20_000
"""After how many more objects garbage is looked for. By Python's default, 700, that is an eighth of a command's start:
the libraries' imports make a million objects that stay."""


PROCESSES = "training.search.processes.pool"
"""What the search's processes begin with: by its name, for to import it here would take as long as there."""


def preload_processes() -> None:
    """Let the server of the search's processes import what they need, while this process imports the rest."""
    forkserver.set_forkserver_preload([PROCESSES])
    forkserver.ensure_running()


def prepare_process(say: Say) -> None:
    """Log to a file, warnings too, end at SIGTERM as at Ctrl-C, and say what is waited for.

    What the environment says already stands.
    """
    gc.set_threshold(ALLOCATIONS)
    log_to(_handler(), level=logging.INFO, form=FORMAT)
    logging.captureWarnings(capture=True)
    retries.tell(say)
    set_environment()
    signal.signal(signal.SIGTERM, _terminate)


def set_environment() -> None:
    """Set what libraries read when they are imported; what is set already stands."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _handler() -> logging.Handler:
    """Return what writes the log file; a folder that takes none gets none."""
    try:
        handler = logging.FileHandler(LOG_FILE, delay=True)
        LOG_FILE.touch()
    except OSError:
        return logging.NullHandler()
    return handler


def _terminate(_number: int, _frame: object) -> None:
    """End as Ctrl-C does outside a search: the run is closed, and says so."""
    raise Terminated

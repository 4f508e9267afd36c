"""What a command owes to who started it: its lines, its log, its signals, and one line where it fails.

startup       the log file, the libraries' environment, SIGTERM
progress      one line a step, and the step under way
failures      an exception -> one line, and the exit code
interrupts    Ctrl-C and SIGTERM, remembered or deferred until they can be obeyed
repeating     the same look again and again
retries       what MLflow's clients wait for
"""

from training.console import failures, interrupts
from training.console.failures import denial_of
from training.console.progress import Console, Say, Watch, silent
from training.console.repeating import follow
from training.console.startup import preload_processes, prepare_process

__all__ = [
    "Console",
    "Say",
    "Watch",
    "denial_of",
    "failures",
    "follow",
    "interrupts",
    "preload_processes",
    "prepare_process",
    "silent",
]

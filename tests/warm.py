"""A `python` that starts `python -m training` as the fork of a process that has imported what its commands import.

Their imports take four seconds of a processor at each start, which is most of a short command. Each command is still a
process of its own, with its folder, environment, standard streams and exit code; what it does not have is a hash seed
of its own. Anything else than `-m training`, and another PYTHONPATH than the tests', gets the real Python.
"""

from __future__ import annotations

import array
import gc
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from contextlib import ExitStack
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parent.parent
BESIDE = (
    *("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store"),
    *(
        "training.search.processes.pool",
        "matplotlib.backends.backend_agg",
        "sqlalchemy.dialects.sqlite",
        "git",
    ),
)
"""What commands import later than their modules."""

ASKING = """#!{python} -IS
import array, json, os, socket, sys

words = sys.argv[1:]
if words[:2] != ["-m", "training"] or os.environ.get("PYTHONPATH") != {root!r}:
    os.execv({python!r}, [{python!r}, *words])
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({door!r})
    streams = array.array("i", [0, 1, 2])
    asked.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    asked.sendall(json.dumps([words[2:], os.getcwd(), dict(os.environ)]).encode())
    asked.shutdown(socket.SHUT_WR)
    code = int(asked.recv(10))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@cache
def commands() -> Path:
    """Return the folder of that `python`; the process that it asks begins here, once."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    door = folder / "door"
    asking = folder / "python"
    asking.write_text(ASKING.format(python=sys.executable, root=str(ROOT), door=str(door)))
    asking.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.warm", str(door)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,  # which closes when this process ends
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    _begun.callback(shutil.rmtree, folder)
    _begun.callback(process.communicate)  # closes its input, and waits
    return folder


_begun = ExitStack()
end = _begun.close
"""End the process, where one was begun."""


def python() -> str:
    """Return the path of that `python`."""
    return str(commands() / "python")


def serve(door: str) -> None:
    """Answer who knocks, each in a process, until the standard input ends."""
    jobs = import_module("training.jobs")
    for module in pkgutil.walk_packages(jobs.__path__, "training.jobs."):
        import_module(module.name)
    for name in BESIDE:
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who was answered leaves nothing to be waited for
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(door)
        listening.listen(16)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([listening, 0], [], [])
            if 0 in ready:
                return
            asked, _ = listening.accept()
            with asked:
                if fork() == 0:
                    listening.close()
                    answer(asked)


def fork() -> int:
    """Fork; the one thread that runs beside this one is that of Arrow's allocator, which expects forks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def answer(asked: socket.socket) -> NoReturn:
    """Run what is asked for in a process of its own, and say how it ended; where nobody waits any more, end it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, passed, _, _ = asked.recvmsg(1, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    streams = array.array("i", passed[0][2])
    words, folder, environment = json.loads(b"".join(iter(lambda: asked.recv(65536), b"")))
    process = fork()
    if process == 0:
        asked.close()
        begin(words, folder, environment, streams)
    gone = select.poll()
    gone.register(asked, 0)  # tells of a hang-up alone
    while (ended := os.waitpid(process, os.WNOHANG))[0] == 0:
        if gone.poll(20):
            os.kill(process, signal.SIGKILL)
    asked.sendall(b"%d" % os.waitstatus_to_exitcode(ended[1]))
    os._exit(0)


def begin(words: list[str], folder: str, environment: dict[str, str], streams: array.array[int]) -> NoReturn:
    """Become what `python -m training` would be."""
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0], sys.argv = folder, ["training", *words]
    runpy.run_module("training", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])

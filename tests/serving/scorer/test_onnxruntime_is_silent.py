"""What scores a model tells nobody of it; onnxruntime would, from threads that Python's audit does not hear."""

import os
import subprocess
import sys

from tests.conftest import ROOT
from tests.recorded import recorded

SCRIPT = """
import os, sys
from pathlib import Path
from serving.scorer import Scorer
Scorer.load(Path(sys.argv[1])).replay_golden()
print(len(os.listdir("/proc/self/task")), os.environ["ORT_DISABLE_TELEMETRY"])
"""
ITS_WORD = ("CI", "GITHUB", "TF_BUILD", "ORT_", "BUILD", "JENKINS", "TRAVIS")
"""What makes it silent by itself: a continuous integration's environment."""


def run(line, home, **said):
    """Score in a process of its own; return how many threads it has, and what the variable was."""
    environment = {name: word for name, word in os.environ.items() if not name.startswith(ITS_WORD)}
    environment |= {"HOME": str(home), "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | said
    environment.pop("XDG_CACHE_HOME", None)
    words = [sys.executable, "-c", SCRIPT, str(line / "scorer")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_no_thread_waits_to_tell_and_no_id_is_kept(line, tmp_path):
    """A worker's requests are nobody else's business; who wants to tell sets the variable."""
    assert run(line, tmp_path) == ["1", "1"]
    assert not list(tmp_path.rglob("*"))
    assert run(line, tmp_path, ORT_DISABLE_TELEMETRY="true") == ["1", "true"]
    recorded(
        "security",
        "somebody listens where onnxruntime's telemetry goes (from 1.29 on)",
        "Sets ORT_DISABLE_TELEMETRY before onnxruntime is imported, unless the user has set it",
        "Nothing is sent, and no id is left in the home folder",
    )

"""Each benchmark still runs: on next to nothing, two at a time; its figures say nothing then."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter

import pytest

from benchmarks.__main__ import BENCHMARKS, LONGER
from benchmarks.steps import STEPS
from tests.conftest import ROOT, missing_part

NO_BENCHMARKS = {"__init__", "__main__", "models", "sizes"}
EACH = [*BENCHMARKS, *LONGER]


def tiny(name: str) -> subprocess.CompletedProcess[str]:
    """Run one benchmark at its smallest."""
    command = [sys.executable, "-m", "benchmarks", "--tiny", name]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.bench
@pytest.mark.timeout(1200)
def test_each_benchmark_runs_on_a_tiny_size() -> None:
    """What mypy cannot see is found before the hour that figures take; six minutes are more than CI has."""
    if not shutil.which("wrk"):
        missing_part("wrk (apt-get install wrk)")
    with ThreadPoolExecutor(2) as pool:
        here = [name for name in EACH if name != "spark" or find_spec("pyspark")]
        done = dict(zip(here, pool.map(tiny, here), strict=True))
    assert {name: each.stderr[-600:] for name, each in done.items() if each.returncode} == {}
    silent = [name for name, each in done.items() if not re.search(r"\d", each.stdout.partition("\n")[2])]
    assert silent == [], "a benchmark prints figures"


@pytest.mark.parametrize(
    ("module", "step"), [(module, step) for module, steps in STEPS.items() for step in steps.split()]
)
def test_the_steps_that_are_timed_exist(module: str, step: str) -> None:
    """They are named in text, which no tool renames."""
    assert callable(attrgetter(step)(import_module(module)))


def test_each_benchmark_is_known_by_name() -> None:
    """One that is not can rot."""
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert modules - NO_BENCHMARKS == set(EACH)

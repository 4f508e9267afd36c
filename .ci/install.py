"""Install this project with its extras into a virtual environment, and tell how far that is.

    PYTHONPATH=. .venv/bin/python .ci/install.py .venv dev,bench

What pip says is kept in `pip.log` of the environment, and its end is shown where pip fails.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from training.console.progress import Console

PIP = [
    "-m",
    "pip",
    "install",
    "--disable-pip-version-check",
    "--progress-bar",
    "off",
    "--use-pep517",
    "--editable",
]
LAST_LINES = 15


def main(folder: Path, extras: str) -> int:
    """Run pip; return its exit code."""
    log, before = folder / "pip.log", installed(folder)
    console = Console()
    with (
        log.open("w") as said,
        console.watch("install", lambda seconds: f"{seconds:.0f} s, {how_far(folder, log, before)}"),
    ):
        command = [str(folder / "bin" / "python"), *PIP, f".[{extras}]"]
        code = subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        sys.stderr.write("\n".join([*log.read_text().splitlines()[-LAST_LINES:], ""]))
    else:
        console.say("install", f"{installed(folder)} packages in {folder}")
    return code


def how_far(folder: Path, log: Path, before: int) -> str:
    """Count what pip has found so far, then what stands in the environment: pip is silent while it unpacks."""
    lines = log.read_text(errors="replace").splitlines()
    unpacking = next((line for line in lines if line.startswith("Installing collected packages:")), "")
    if unpacking:
        return f"{installed(folder) - before} of {unpacking.count(',') + 1} packages installed"
    return f"{sum(line.startswith('Collecting ') for line in lines)} packages found"


def installed(folder: Path) -> int:
    """Count the packages of an environment but pip and setuptools, which came with it."""
    found = {path.name.partition("-")[0] for path in folder.glob("lib/python3*/site-packages/*.dist-info")}
    return len(found - {"pip", "setuptools"})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))

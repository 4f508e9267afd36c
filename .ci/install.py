"""Install this project with its extras into a virtual environment, and tell how far that is.

    PYTHONPATH=. .venv/bin/python .ci/install.py .venv dev,bench

uv does it, in a quarter of pip's time, and pip where uv cannot: behind an index that asks for more than its address.
What they say is kept in `install.log` of the environment, and its end is shown where both fail.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from training.console.progress import Console

UV = "uv>=0.9,<1"
"""As in pyproject.toml."""
PIP = ("-m", "pip", "--disable-pip-version-check")
QUIETLY = ("--progress-bar", "off", "--use-pep517")
LAST_LINES = 15


def main(folder: Path, extras: str) -> int:
    """Install; return an exit code."""
    log, console = folder / "install.log", Console()
    python = str(folder / "bin" / "python")
    project = ("--editable", f".[{extras}]")
    with (
        log.open("w") as said,
        console.watch("install", lambda seconds: f"{seconds:.0f} s, {last_line(log)}"),
    ):

        def done(*words: str) -> bool:
            return subprocess.run(words, stdout=said, stderr=subprocess.STDOUT, check=False).returncode == 0

        installed = done(python, *PIP, "install", "--quiet", UV) and done(
            *(str(folder / "bin" / "uv"), "pip", "install", "--python", python),
            *(*index_of(python), *compiled(), *project),
        )
        installed = installed or done(python, *PIP, "install", *QUIETLY, *project)
    if not installed:
        sys.stderr.write("\n".join([*log.read_text().splitlines()[-LAST_LINES:], ""]))
        return 1
    console.say("install", f"{packages(folder)} packages in {folder}")
    return 0


def index_of(python: str) -> list[str]:
    """Return uv's words for the index that pip is told to use in place of PyPI; uv reads nothing of pip's."""
    settings = subprocess.run([python, *PIP, "config", "list"], capture_output=True, text=True, check=False)
    found = re.findall(r"^\S+\.index-url='(.*)'$", settings.stdout, flags=re.MULTILINE)
    return ["--default-index", found[0]] if found else []


def compiled() -> list[str]:
    """Return uv's word for compiling all modules now, where Python is told not to keep what it compiles later."""
    return ["--compile-bytecode"] if os.environ.get("PYTHONDONTWRITEBYTECODE") else []


def last_line(log: Path) -> str:
    """Return what was said last, such as `Downloading mlflow (9.6MiB)`; after its list of packages uv is silent."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["pip"]
    return "compiling modules" if lines[-1].startswith("Installed ") else lines[-1]


def packages(folder: Path) -> int:
    """Count the packages of an environment but pip and setuptools, which came with it."""
    found = {path.name.partition("-")[0] for path in folder.glob("lib/python3*/site-packages/*.dist-info")}
    return len(found - {"pip", "setuptools"})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))

"""Models that do not compile: this server with --runtime pyfunc beside stock MLflow, on the examples' own models.

The pages' scripts train them; one row a request, 32 connections, one worker and one process of the model, side by
side in one run, in turns. Target: at least 3 times stock's requests a second for both.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.server import ENVIRONMENT, PYTHON, ROOT, commands, running, wrk
from benchmarks.sizes import sized
from serving.running import free_port

SECONDS, TURNS, TARGET = *sized((4, 3), tiny=(1, 1)), 3.0
FLOWER = {
    "columns": ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"],
    "data": [[5.1, 3.5, 1.4, 0.2]],
}
MODELS = {
    "clusters": ("clusters.md", {"dataframe_split": FLOWER}),
    "progression": ("keras.md", {"inputs": [[59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]]}),
}
"""By registered name: the page, and a request of one row."""


def prepare(folder: Path, name: str) -> None:
    """Train as the page does, and put the version's folder and the request where `running` looks for them."""
    page, request = MODELS[name]
    source = re.search(
        r"^```python\n(.*?)^```$", (ROOT / "docs/examples" / page).read_text(), re.DOTALL | re.MULTILINE
    )[1]
    folder.mkdir()
    (folder / "train.py").write_text(source)
    (folder / "one.json").write_text(json.dumps(request))
    environment = ENVIRONMENT | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    fetch = [
        "mlflow",
        "artifacts",
        "download",
        "-u",
        f"models:/{name}@champion",
        "-d",
        str(folder / "version"),
    ]
    for words in ([PYTHON, "train.py"], [PYTHON, "-m", *fetch]):
        subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)


def rate(folder: Path, server: str) -> float:
    """Return a server's requests a second, warm."""
    port = free_port()
    command = commands(folder, port)[server] + (
        ["--runtime", "pyfunc", "--joining"] if server == "ours" else []
    )
    with running(command, port, folder):
        wrk(port, folder, "one.json", connections=32, seconds=2)
        return wrk(port, folder, "one.json", connections=32, seconds=SECONDS)[0]


def main() -> None:
    """Print the medians of the turns and their ratio, for each model."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = ENVIRONMENT["TF_CPP_MIN_LOG_LEVEL"] = "2"
    with tempfile.TemporaryDirectory() as scratch:
        for name in list(MODELS)[: sized(None, tiny=1)]:
            folder = Path(scratch, name)
            prepare(folder, name)
            turns = [{server: rate(folder, server) for server in ("stock", "ours")} for _ in range(TURNS)]
            stock, ours = (median(turn[server] for turn in turns) for server in ("stock", "ours"))
            word = "met" if ours / stock >= TARGET else "missed"
            ratios = ", ".join(f"{turn['ours'] / turn['stock']:.1f}" for turn in turns)
            print(
                f"{name:<12} stock {stock:,.0f} /s  ours {ours:,.0f} /s  {ours / stock:.1f} (turns: {ratios}),"
                f" target {TARGET:.0f}: {word}",
                flush=True,
            )


if __name__ == "__main__":
    main()

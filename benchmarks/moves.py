"""How soon a moved alias is answered by its version, with a model of 5 MB, and how soon the way back is.

The alias moves at no particular moment of the poll interval; what is printed is the time beyond
that interval, at worst, so that no luck is in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.models import build
from benchmarks.sizes import sized
from serving.running import served
from serving.scorer.scorer_files import digest_in
from serving.scorer.version_files import PINNED_TAG

POLL, MOVES = 0.5, sized(10, tiny=1)
TREES = sized(3_400, tiny=20)
"""About 5 MB of graph."""


def main() -> None:
    """Print how long moves to new versions and back took."""
    import mlflow

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = build(folder / "model", sample="flights", target="arr_delay", family="boosting", trees=TREES)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        client = mlflow.MlflowClient()
        client.create_registered_model("flights")
        for number in range(MOVES + 1):
            register(client, source, number)
        client.set_registered_model_alias("flights", "champion", "1")
        size = (source / "scorer" / "model.onnx").stat().st_size / 1e6
        seconds = {"new": [], "back": []}
        follow = ["--model", "models:/flights@champion", "--poll-seconds", str(POLL)]
        with served(*follow, "--cache", str(folder / "cache"), stderr=subprocess.DEVNULL) as server:
            for number in range(2, MOVES + 2):
                seconds["new"].append(moved(client, server.address, number))
                seconds["back"].append(moved(client, server.address, number - 1))
    for kind, target in (("new", 1.0), ("back", 0.1)):
        worst = max(seconds[kind]) - POLL
        print(
            f"{kind:<4} version of {size:.1f} MB, {MOVES} moves: at worst poll interval {worst:+.2f} s, "
            f"target {target:+.1f}: {'met' if worst <= target else 'missed'}"
        )


def register(client: Any, source: Path, number: int) -> None:
    """Register the model once more, its document's fingerprint another, so that its digest is."""
    document = source / "scorer" / "scorer.json"
    content = json.loads(document.read_text())
    document.write_text(json.dumps(content | {"fingerprint": f"sample {number}"}))
    kept = source.parent / f"version{number}"
    subprocess.run(["cp", "-r", str(source), str(kept)], check=True)
    client.create_model_version("flights", str(kept), tags={PINNED_TAG: digest_in(kept / "scorer")})


def version(address: str) -> str:
    """Return which version is served."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:
            return str(answer.headers["X-Model-Version"])
    except OSError:
        return ""


def moved(client: Any, address: str, number: int) -> float:
    """Move the alias; return the seconds until its version answers."""
    client.set_registered_model_alias("flights", "champion", str(number))
    began = time.perf_counter()
    while version(address) != str(number):
        time.sleep(0.005)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

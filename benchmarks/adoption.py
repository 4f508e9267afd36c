"""The Flask script of docs/from-flask.md beside what takes its place, by the old clients' own request."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from benchmarks.protocols import CALLERS, rate
from benchmarks.server import ENVIRONMENT, PYTHON, ROOT
from benchmarks.sizes import sized
from serving.running import await_port, free_port, started

ROUNDS = sized(5, tiny=1)


@contextmanager
def running(words: list[str], port: int, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Start a server, wait until it listens, and stop it by its pid."""
    with started(words, cwd=folder, env=environment, stdout=-3, stderr=-3):
        await_port(port)
        yield


def main() -> None:
    """Print requests a second of each, in turns, and the ratio."""
    fit, app = re.findall(r"```python\n(.*?)```", (ROOT / "docs/from-flask.md").read_text(), re.DOTALL)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "sample.csv").write_bytes((ROOT / "data/samples/line.csv").read_bytes())
        (folder / "app.py").write_text(app)
        environment = ENVIRONMENT | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        adopt = ["adopt", "--model", "linear_regression_model.pkl", "--data", "sample.csv", "--target", "y"]
        for words in (["-c", fit], ["-m", "training", *adopt, "--name", "line"]):
            subprocess.run([PYTHON, *words], cwd=folder, env=environment, check=True)
        ports = [free_port() for _ in range(3)]
        (folder / "script.py").write_text(app.replace("5000", str(ports[0])))
        gunicorn = [PYTHON, "-m", "gunicorn", "-w", "1", "--bind", f"127.0.0.1:{ports[1]}", "app:app"]
        serving = [PYTHON, "-m", "serving", "--port", str(ports[2]), "--model", "models:/line@champion"]
        servers = {
            "app.py as it is": [PYTHON, "script.py"],
            "app.py under gunicorn": gunicorn,
            "in its place": serving,
        }
        with ExitStack() as stack:
            for port, words in zip(ports, servers.values(), strict=True):
                stack.enter_context(running(words, port, folder, environment))
            rates = {name: [] for name in servers}
            for _ in range(ROUNDS):
                for port, name in zip(ports, servers, strict=True):
                    rates[name].append(
                        rate(f"http://127.0.0.1:{port}/predict", b'{"x": 3}', scratch, CALLERS, None)
                    )
    ours = median(rates["in its place"])
    for name, result in rates.items():
        print(f"{name:<24}{median(result):>10,.0f} /s   ours is {ours / median(result):,.1f} times that")


if __name__ == "__main__":
    main()

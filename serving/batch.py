"""Score a file: rows in, the same rows and a column `prediction` out, in bounded memory.

Reads and writes in blocks, through the scorer and the server's own coercion, so that a value is
accepted here as it is there. The output appears under its name when it is whole. A row that
cannot be used stops the job, unless `on_fault=null` asks for an empty prediction instead.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from data.column_names import are_numbered
from data.errors import DataError, nearest
from data.own_files import own_folder
from data.redaction import addresses_around, redact, redact_address
from data.sources import HEADERS, Layout, Source, open_source
from serving.errors import BadOutput, Fault, FaultyRows, ServingError
from serving.registry import given_run, locate
from serving.rows import coercion
from serving.scorer import Floats, Scorer
from serving.signatures import Trust

PREDICTION = "prediction"
ADDED = (PREDICTION, "lower", "upper")
"""The columns that the output has beside the input's."""
SHOWN_FAULTS = 20


@dataclass
class Report:
    """What a job did.

    Attributes
    ----------
    rows, unscored : int
        Rows written, and those among them without a prediction.
    seconds : float
        From opening the input to closing the output.
    unseen : dict of column to count
        Categories that training did not see, scored as unknown.
    names : tuple of str
        Of the columns of the prediction and its interval; see `names_beside`.
    """

    rows: int = 0
    unscored: int = 0
    seconds: float = 0.0
    unseen: dict[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ADDED


def score_file(
    scorer: Scorer,
    source: Source,
    output: Path,
    *,
    null_on_fault: bool = False,
    coverage: float | None = None,
    explain: bool = False,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Report:
    """Score a source into a CSV or Parquet file.

    Parameters
    ----------
    output : Path
        Ends in .csv or .parquet; replaced if it is there, once the new one is whole.
    null_on_fault : bool
        Write an empty prediction for a row that cannot be used.
    coverage : float
        Write the interval's ends beside each prediction.
    explain : bool
        Write the base and what each column adds beside each prediction.
    on_rows : callable
        Told the number of rows after each block.

    Raises
    ------
    NotExplained
        The version has nothing that explains it.
    FaultyRows
        With the first 20 faults; nothing is written.
    BadOutput, DataError
        The output cannot be written as asked, or the input not read.
    """
    started = time.perf_counter()
    source = source.knowing(scorer.schema)
    asked = Asked(coverage, _contributions(scorer) if explain else ())
    report, faults = Report(), _Faults()
    typed = source.is_text and output.suffix == ".parquet"
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        with _Writer(partial, output.suffix) as writer:
            for batch in source.batches():
                packed = coercion.pack_arrow(batch, scorer.schema, is_text=source.is_text)
                faults.add(packed, first_row=report.rows + 1, fatal=not null_on_fault)
                if not faults.fatal:
                    writer.write(_with_predictions(batch, scorer, packed, typed=typed, asked=asked))
                _count(report, packed)
                report.names = names_beside(batch.schema.names, asked.contributions)
                on_rows(report.rows)
        faults.raise_if_fatal()
        if not report.rows:
            raise BadOutput(reason=f"{source.where} has no rows to score", repair="pass rows")
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    report.seconds = time.perf_counter() - started
    return report


class Asked(NamedTuple):
    """What is written beside the predictions: an interval, and contributions by the names of their columns."""

    coverage: float | None
    contributions: tuple[str, ...]

    def names(self, taken: Sequence[str]) -> list[str]:
        """Return the names of all that is written, beside those of the input."""
        ours = names_beside(taken, self.contributions)
        return [*ours[: 1 if self.coverage is None else len(ADDED)], *ours[len(ADDED) :]]


def _contributions(scorer: Scorer) -> tuple[str, ...]:
    scorer.explainer()
    return ("base", *(f"contribution_{name}" for name in scorer.schema.names))


def _outputs(scorer: Scorer, matrix: Floats, asked: Asked) -> list[Floats]:
    if asked.coverage is None:
        outputs = [scorer.predict(matrix)]
    else:
        bounds = scorer.predict_interval(matrix, asked.coverage)
        outputs = [bounds.predictions, bounds.lower, bounds.upper]
    if asked.contributions:
        reasons = scorer.explainer().explain(matrix)
        outputs += [np.full(len(matrix), reasons.base), *reasons.shares.T]
    return outputs


def _with_predictions(
    batch: pa.RecordBatch, scorer: Scorer, packed: coercion.Packed, *, typed: bool, asked: Asked
) -> pa.RecordBatch:
    """Return the batch with its predictions; `typed` makes numbers of those that came as text."""
    outputs = _outputs(scorer, packed.matrix, asked)
    columns, names = list(batch.columns), list(batch.schema.names)
    if typed and packed.faulty is None:
        for index, column in enumerate(scorer.schema.columns):
            if column.kind == "number":
                values = packed.matrix[:, index]
                columns[names.index(column.name)] = pa.array(values, mask=np.isnan(values))
    new = [pa.array(values, mask=packed.faulty) for values in outputs]
    return pa.RecordBatch.from_arrays([*columns, *new], names=[*names, *asked.names(names)])


def names_beside(names: Sequence[str], more: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what the columns of a prediction and its interval are called beside these: numbered where one is taken.

    Capitals do not tell them apart: databases do not, either.

    >>> names_beside(["x", "Lower"])
    ('prediction_2', 'lower_2', 'upper_2')
    """
    plain: tuple[str, ...] = (*ADDED, *more)
    ours = plain
    taken, number = {name.casefold() for name in names}, 1
    while taken & {name.casefold() for name in ours}:
        number += 1
        ours = tuple(f"{name}_{number}" for name in plain)
    return ours


def _count(report: Report, packed: coercion.Packed) -> None:
    report.rows += len(packed.matrix)
    report.unscored += int(packed.faulty.sum()) if packed.faulty is not None else 0
    for column, count in packed.unseen.items():
        report.unseen[column] = report.unseen.get(column, 0) + count


class _Faults:
    """The faults so far; once one is fatal the rest of the input is only checked."""

    def __init__(self) -> None:
        self.first: list[Fault] = []
        self.count = 0
        self.fatal = False

    def add(self, packed: coercion.Packed, *, first_row: int, fatal: bool) -> None:
        self.count += packed.n_faults
        self.fatal |= fatal and packed.n_faults > 0
        for fault in packed.faults[: SHOWN_FAULTS - len(self.first)]:
            row = None if fault.row is None else fault.row + first_row
            self.first.append(Fault(row, fault.column, fault.expected, fault.found))
            if row is None:
                self.raise_if_fatal()  # the whole column is absent: no need to read on

    def raise_if_fatal(self) -> None:
        if self.fatal:
            raise FaultyRows(faults=self.first, count=self.count)


class _Writer:
    """A CSV or Parquet file that takes the schema of its first block."""

    def __init__(self, path: Path, ending: str) -> None:
        self.path, self.ending = path, ending
        self.file: Any = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()

    def write(self, batch: pa.RecordBatch) -> None:
        try:
            self._write(batch)
        except pa.ArrowException as error:
            odd = [f.name for f in batch.schema if pa.types.is_nested(f.type) or pa.types.is_interval(f.type)]
            what = f"column {odd[0]!r}" if odd else str(error).splitlines()[0]
            reason = f"a {self.ending} file cannot hold what the input has: {what}"
            raise BadOutput(reason=reason, repair="leave it out of the input") from error

    def _write(self, batch: pa.RecordBatch) -> None:
        columns = [_without_coded_views(column) for column in batch.columns]
        batch = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
        if self.ending == ".csv":
            self._write_csv(batch)
        else:
            self.file = self.file or pa_parquet.ParquetWriter(str(self.path), batch.schema)
            self.file.write_batch(batch.cast(self.file.schema))

    def _write_csv(self, batch: pa.RecordBatch) -> None:
        """Quote a block's texts only where one of them needs it: Arrow quotes all of them or none."""
        first = self.file is None
        self.file = self.file or self.path.open("wb")
        start = self.file.tell()
        try:
            plain = pa_csv.WriteOptions(include_header=first, quoting_style="none")
            pa_csv.write_csv(batch, self.file, plain)
        except pa.ArrowInvalid:  # a text holds a comma, a quote or a line break
            self.file.seek(start)
            self.file.truncate()
            pa_csv.write_csv(batch, self.file, pa_csv.WriteOptions(include_header=first))


def _without_coded_views(column: pa.Array) -> pa.Array:
    """Return what polars has as codes of views as plain text: no file but Arrow's takes that."""
    kind = column.type
    if not (pa.types.is_dictionary(kind) and pa.types.is_string_view(kind.value_type)):
        return column
    return column.dictionary.cast(pa.large_string()).take(column.indices)


def check_output(path: Path) -> Path:
    """Return the path if a CSV or Parquet file can be written there; raises BadOutput."""
    if path.suffix not in (".csv", ".parquet"):
        raise BadOutput(reason=f"output {path.name!r} names no format", repair="end it in .csv or .parquet")
    if not path.absolute().parent.is_dir():
        raise BadOutput(
            reason=f"there is no folder {path.parent}", repair="make it, or pass an absolute path"
        )
    return path


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
    line.add_argument("--output", required=True, type=Path, help="ends in .csv or .parquet")
    line.add_argument("--on_fault", choices=("stop", "null"), default="stop")
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


def main(arguments: list[str] | None = None) -> int:
    """Run the job and return its exit code: 0, or 2 with one line for each fault."""
    job = "score"
    try:
        asked = _asked(arguments)
        job = f"score {Path(redact_address(asked.input)).name} by {asked.name}"
        given_run.began(job)
        output = check_output(asked.output)
        with tempfile.TemporaryDirectory(dir=own_folder()) as cache, _progress() as on_rows:
            model = locate(_uri(asked), Path(cache), _trust(asked.trust))
            scorer = Scorer.load(Path(model.folder), threads=os.cpu_count() or 1)
            scorer.replay_golden()
            source = _source(asked, scorer)
            report = score_file(
                scorer,
                source,
                output,
                null_on_fault=asked.on_fault == "null",
                coverage=_coverage(asked.coverage, scorer),
                explain=asked.explain == "true",
                on_rows=on_rows,
            )
    except (DataError, ServingError, OSError) as error:
        reason = redact(str(error), *addresses_around())
        print(f"slipway: {reason}", file=sys.stderr)
        given_run.refused(job, reason)
        return 2
    except KeyboardInterrupt:
        given_run.refused(job, "interrupted")
        raise
    for column, count in report.unseen.items():
        print(
            f"  warning   {count:,} rows have a {column} that training did not see; they are scored as unknown"
        )
    rate = report.rows / report.seconds
    print(f"  scored    {report.rows:,} rows in {report.seconds:.1f} s ({rate:,.0f} rows/s) into {output}")
    if report.names[: len(ADDED)] != ADDED:
        print(f"  columns   the input has such names: ours are {', '.join(report.names)}")
    if report.unscored:
        print(f"  warning   {report.unscored:,} rows could not be used and have no prediction")
    given_run.done(job)
    return 0


if __name__ == "__main__":
    sys.exit(main())

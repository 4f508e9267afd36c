"""One source -> one file: the same rows in the same order, and what stands beside them, in bounded memory.

It reads and writes in blocks, through the scorer and the server's own coercion, so that a value is accepted here as it
is there. A row that cannot be used stops the job, unless an empty prediction is asked for instead.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from data.sources import Source
from serving.batch.beside import Options, contributions, names_beside, with_predictions
from serving.batch.outputs import TableFile, whole_file
from serving.batch.tallies import FirstFaults, Report
from serving.errors import BadOutput
from serving.rows import coercion
from serving.scorer import Scorer

Item = TypeVar("Item")
Made = TypeVar("Made")
Note = Callable[[Report], Mapping[str, str]]

AHEAD = 2
"""Blocks that are read and scored while one is written."""


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
    options = Options(coverage, explain, null_on_fault)
    known, to = source.knowing(scorer.schema), whole_file(str(output))
    return score_source(scorer, known, to, output.suffix, options, on_rows=on_rows)


def score_source(
    scorer: Scorer,
    source: Source,
    output: AbstractContextManager[Path],
    ending: str,
    options: Options,
    *,
    note: Note | None = None,
    report: Report | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Report:
    """Score a source that knows the schema; `note` says what stands in the footer of a Parquet file.

    The output yields where to write, and names that file when all went well. Who passes a report finds in it what was
    read where the rows are refused.
    """
    started = time.perf_counter()
    report, faults = report or Report(), FirstFaults()
    more = contributions(scorer) if options.explain else ()
    # A text that is no number stays what it is: the column is text in every block then.
    typed = source.is_text and ending == ".parquet" and not options.null_on_fault

    def scored(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, coercion.Packed, pa.RecordBatch]:
        packed = coercion.pack_arrow(batch, scorer.schema, is_text=source.is_text)
        if faults.fatal or (packed.n_faults and not options.null_on_fault):
            return batch, packed, batch
        return batch, packed, with_predictions(batch, scorer, packed, options, typed=typed)

    with output as partial, TableFile(partial, ending) as file, ThreadPoolExecutor(1) as beside:
        for batch, packed, done in _ahead(scored, source.batches(), beside):
            faults.add(packed, first_row=report.rows + 1, fatal=not options.null_on_fault)
            if not faults.fatal:
                file.write(done)
            report.count(packed)
            report.names = names_beside(batch.schema.names, more)
            on_rows(report.rows)
        faults.raise_if_fatal()
        if not report.rows:
            raise BadOutput(reason=f"{source.where} has no rows to score", repair="pass rows")
        if note:
            file.note(note(report))
    report.seconds = time.perf_counter() - started
    return report


def _ahead(work: Callable[[Item], Made], items: Iterable[Item], beside: Executor) -> Iterator[Made]:
    """Yield what becomes of each item, in their order."""
    waiting: deque[Future[Made]] = deque()
    for item in items:
        waiting.append(beside.submit(work, item))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()

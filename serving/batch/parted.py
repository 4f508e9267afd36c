"""A table -> a folder of Parquet files, one for each part of it, written by whoever shares the work.

    part-00007-5f0c9a....parquet   rows of one part of the input, in their order
    _manifest.json                 written last: the folder is whole, and these are its parts

A part's name is a hash of the model's digest, of what is asked, and of where its rows stand in which state of their
file. So a second run does what lacks, and nobody needs to know who did the rest. A file gets its name when it is whole
(`serving.batch.outputs`), and its bytes follow from its name: two who write the same part write the same. What was
killed on a disk leaves a file that begins with a point, which readers leave out and the one who finishes throws away.

`_manifest.json` begins with an underscore, since pandas, pyarrow and Spark read every other file of a folder.

A folder may be a Delta table, too. Its log is written before the manifest, and parts that only its earlier versions
have stay.

It knows no engine: `serving.batch.engines` says who scores which part.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from data.redaction import redact_address
from data.sources import Part, Source
from data.sources.lakes import DELTA_LOG
from serving.batch.beside import Options, contributions
from serving.batch.outputs import PARTIAL, PartFile, PartFolder, check_table, committed, table_columns
from serving.batch.tallies import SHOWN_FAULTS, Report
from serving.batch.whole_file import score_source
from serving.errors import BadOutput, Fault, FaultyRows
from serving.scorer import Scorer

MANIFEST = "_manifest.json"
LAYOUT = 2
"""Of the folder: part of each name, so that another layout makes other parts."""
NOTE = "slipway.part"
"""In a part's footer: what was counted while it was written."""
AT_ONCE = 16
"""Parts that are looked at at the same time, which costs a journey to a store each."""
_PART = re.compile(r"part-\d{5,}-(?P<mark>[0-9a-f]{16})\.parquet")


@dataclass(frozen=True)
class Done:
    """A part that is written, or the faults for which it is not.

    Attributes
    ----------
    rows, unscored, unseen
        As in `Report`, of this part.
    names : tuple of str
        Of the columns of the prediction and its interval.
    faults, count
        The first faults, rows counted from 1 in this part, and how many there are; the part is not written then.
    sha256 : str
        Of the part's bytes, "" where it would have to be read.
    """

    rows: int
    unscored: int = 0
    unseen: Mapping[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    count: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Work:
    """What is to be written, as everyone who shares it is told.

    Attributes
    ----------
    folder : PartFolder
        Where the parts go, which everyone who writes sees under this name.
    parts : tuple of Part
        Of the input, in order.
    digest : str
        Of the model.
    facts : mapping
        What the manifest says beside the parts: the model's name and version, the input.
    delta : bool
        Whether the folder is to be a Delta table.
    run : str
        What tells this run from others where the input does not say its state: a table's files never change.
    """

    folder: PartFolder
    parts: tuple[Part, ...]
    options: Options
    digest: str
    facts: Mapping[str, str]
    delta: bool = False
    run: str = ""

    @classmethod
    def on(
        cls,
        folder: PartFolder,
        source: Source,
        scorer: Scorer,
        options: Options,
        facts: Mapping[str, str],
        *,
        delta: bool = False,
    ) -> Work:
        """Divide a source; raises BadOutput or OutOfReach for the folder, and DataError for the source."""
        if options.explain:
            contributions(scorer)
        parts = tuple(source.knowing(scorer.schema).parts())
        if not parts:
            raise BadOutput(reason=f"{source.where} has no rows to score", repair="pass rows")
        check_folder(folder, source.where, delta=delta)
        facts = {**facts, "input": redact_address(source.where)}
        return cls(folder, parts, options, scorer.digest, facts, delta, secrets.token_hex(8) if delta else "")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parts' files, in the order of the input."""
        return tuple(f"part-{index:05d}-{self._mark(part)}.parquet" for index, part in enumerate(self.parts))

    def _mark(self, part: Part) -> str:
        said = [LAYOUT, self.digest, asdict(self.options), part.identity or part.label + self.run]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    def done(self, index: int) -> Done | None:
        """Return what a part holds that is written already, None where it is not, or not whole; raises OutOfReach."""
        name = self.names[index]
        if self.folder.size(name) is None:
            return None
        try:
            with self.folder.opened(name) as file:
                noted = pa_parquet.read_metadata(file).metadata or {}
            facts = json.loads(noted[NOTE.encode()])
            return Done(facts["rows"], facts["unscored"], facts["unseen"], tuple(facts["names"]))
        except (OSError, pa.ArrowException, KeyError, ValueError):
            return None

    def columns(self, index: int) -> pa.Schema:
        """Return what a part that is written has."""
        with self.folder.opened(self.names[index]) as file:
            return pa_parquet.read_schema(file)

    def score(self, index: int, scorer: Scorer) -> Done:
        """Write a part, or return its faults; raises DataError or ServingError for what is no fault of a row."""
        source, report = self.parts[index].source, Report()
        digests: list[str] = []
        output = _hashed(self.folder.whole(self.names[index]), digests)
        try:
            score_source(scorer, source, output, ".parquet", self.options, note=_noted, report=report)
        except FileNotFoundError as error:  # who finished in between threw away what was being written
            if done := self.done(index):
                return done
            if PARTIAL in str(error):
                raise _lost(self.folder, "a part") from error
            raise
        except FaultyRows as error:
            return Done(report.rows, faults=tuple(error.faults), count=error.count)
        return Done(report.rows, report.unscored, report.unseen, report.names, sha256=digests[0])


@contextmanager
def _hashed(output: AbstractContextManager[Path], digests: list[str]) -> Iterator[Path]:
    """Yield where to write, and append the digest of what was written before it is named."""
    with output as partial:
        yield partial
        with partial.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())


def _noted(report: Report) -> dict[str, str]:
    facts = {name: getattr(report, name) for name in ("rows", "unscored", "unseen", "names")}
    return {NOTE: json.dumps(facts, sort_keys=True)}


Engine = Callable[[Work, Sequence[int]], Iterator[tuple[int, Done]]]
"""Scores some parts of the work, in any order."""


def score_parts(
    work: Work,
    engine: Engine,
    *,
    share: tuple[int, int] = (0, 1),
    on_rows: Callable[[int], None] = lambda _: None,
) -> Report | None:
    """Write what lacks of the parts, and the manifest once all are there.

    Parameters
    ----------
    share : (int, int)
        Which of how many shares of the parts is done here: 2 of 10 is every tenth part from the third one on.

    Returns
    -------
    Report or None
        Of the whole folder; None where others have not written their parts yet.

    Raises
    ------
    FaultyRows
        The parts without faults are written, the manifest is not.
    """
    which, of = share
    if of > 1 and not all(part.identity for part in work.parts):
        raise BadOutput(reason=f"nobody can share {work.facts['input']}", repair="leave out parts= and part=")
    work.folder.make()
    _keep_what_moved(work)
    mine = range(which, len(work.parts), of)
    written = _written(work, (index for index in mine if work.parts[index].identity))
    lacking = [index for index in mine if index not in written]
    if lacking:
        work.folder.remove(MANIFEST)
    report, faulty = Report(), {}
    for index, done in engine(work, lacking):
        if done.count:
            faulty[index] = done
        elif work.delta and not report.rows:
            table_columns([work.columns(index)])  # an hour later would be late
        written[index] = done
        report.rows += done.rows
        on_rows(report.rows)
    if faulty:
        raise _refused(work, faulty)
    return _finish(work, written)


def _written(work: Work, indexes: Iterable[int]) -> dict[int, Done]:
    """Return those parts that are whole, with the digests of a manifest that is there."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        known = pool.map(lambda index: (index, work.done(index)), indexes)
        found = {index: done for index, done in known if done}
    said = _said_digests(work.folder) if found else {}
    return {index: replace(done, sha256=said.get(work.names[index], "")) for index, done in found.items()}


def _said_digests(folder: PartFolder) -> dict[str, str]:
    if folder.size(MANIFEST) is None:
        return {}
    try:
        with folder.opened(MANIFEST) as file:
            return {part["file"]: part["sha256"] for part in json.load(file)["parts"]}
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return {}


def _refused(work: Work, faulty: Mapping[int, Done]) -> FaultyRows:
    """Return the first faults, with rows counted from the input's first one as far as that is known."""
    faults: list[Fault] = []
    outcome = "the folder is not finished"
    for index, done in sorted(faulty.items()):
        rows = [each.rows if each else None for each in _known(work, faulty, index)]
        if None in rows:  # others have it, and are not done with it
            outcome += f" (rows of {work.parts[index].label})"
            faults += done.faults
            break
        first = sum(filter(None, rows))
        for fault in done.faults[: SHOWN_FAULTS - len(faults)]:
            row = None if fault.row is None else fault.row + first
            faults.append(Fault(row, fault.column, fault.expected, fault.found))
    count = sum(done.count for done in faulty.values())
    return FaultyRows(faults=faults, count=count, outcome=outcome)


def _known(work: Work, faulty: Mapping[int, Done], stop: int) -> Iterator[Done | None]:
    """Yield what is known of the parts before one."""
    return (faulty.get(index) or work.done(index) for index in range(stop))


def _keep_what_moved(work: Work) -> None:
    """Give parts that stand at another place now, since a file came before them, their new names."""
    there, wanted = work.folder.names(), set(work.names)
    if DELTA_LOG in there:  # it has them under the names that they have
        return
    by_mark = {match["mark"]: name for name in there if (match := _PART.fullmatch(name))}
    for name in work.names:
        old = by_mark.get(name[-24:-8])
        if old and name not in there and old not in wanted:
            work.folder.remove(MANIFEST)
            work.folder.rename(old, name)


def _finish(work: Work, written: Mapping[int, Done]) -> Report | None:
    """Write the manifest if all parts are there, and take away what belongs to no part of this work."""
    others = _written(work, (index for index in range(len(work.parts)) if index not in written))
    done = {**written, **others}
    if len(done) < len(work.parts):
        return None
    report, content = _described(work, done)
    there = work.folder.names()
    _refuse_lost_parts(work, there)
    _take_away_others(work, there)
    if work.delta:
        report.table = _commit(work, done)
    try:
        with work.folder.whole(MANIFEST) as partial:
            partial.write_bytes(content)
    except FileNotFoundError:  # another one who finished at the same time threw it away
        if _manifest(work.folder) != content:
            raise
    _take_back_if_lost(work, content)
    return report


def _manifest(folder: PartFolder) -> bytes:
    with folder.opened(MANIFEST) as file:
        return file.read()


def _take_back_if_lost(work: Work, content: bytes) -> None:
    """Remove a manifest whose parts went while it was written, and raise BadOutput; one of another's stays."""
    try:
        _refuse_lost_parts(work, work.folder.names())
    except BadOutput:
        if work.folder.size(MANIFEST) is not None and _manifest(work.folder) == content:
            work.folder.remove(MANIFEST)
        raise


def _refuse_lost_parts(work: Work, there: Sequence[str]) -> None:
    """Raise BadOutput where one who scores otherwise into the folder took parts of this work away.

    A list may be older than what another machine wrote, on a disk that many share: each part that lacks is asked for.
    """
    lacking = set(work.names).difference(there)
    if lost := sum(work.folder.size(name) is None for name in lacking):
        raise _lost(work.folder, f"{lost} of {len(work.names)} parts")


def _lost(folder: PartFolder, what: str) -> BadOutput:
    return BadOutput(
        reason=f"another scoring into {folder} took {what} of this one away",
        repair="let one end before the next begins, or name another folder",
    )


def _described(work: Work, done: Mapping[int, Done]) -> tuple[Report, bytes]:
    """Return what is in the folder, and the manifest that says so."""
    report, described = Report(), []
    for index, (name, part) in enumerate(zip(work.names, work.parts, strict=True)):
        each = done[index]
        report.add(each.rows, each.unscored, each.unseen)
        report.names = each.names
        digest = each.sha256 or _digest(work.folder, name)
        described.append({"file": name, "rows": each.rows, "sha256": digest, "input": part.label})
    said = {
        "layout": LAYOUT,
        **work.facts,
        "digest": work.digest,
        "options": asdict(work.options),
        "rows": report.rows,
        "unscored": report.unscored,
        "unseen": report.unseen,
        "parts": described,
    }
    return report, json.dumps(said, indent=1).encode() + b"\n"


def _commit(work: Work, done: Mapping[int, Done]) -> int:
    """Return the version of a Delta table that has these parts."""

    def looked_at(index: int) -> tuple[PartFile, pa.Schema]:
        name = work.names[index]
        return PartFile(name, work.folder.size(name) or 0, done[index].rows), work.columns(index)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        files, columns = zip(*pool.map(looked_at, range(len(work.parts))), strict=True)
    said = {f"slipway.{name}": fact for name, fact in {**work.facts, "digest": work.digest}.items()}
    return committed(str(work.folder), files, columns, said)


def _digest(folder: PartFolder, name: str) -> str:
    with folder.opened(name) as file:
        return hashlib.file_digest(cast("BufferedReader", file), "sha256").hexdigest()


def _take_away_others(work: Work, there: Sequence[str]) -> None:
    is_table = work.delta or DELTA_LOG in there  # which another one may have made, or be about to
    wanted = set(there if is_table else work.names)
    for name in there:
        is_left = name.endswith(PARTIAL) and name.startswith((".part-", f".{MANIFEST}."))
        if is_left or (_PART.fullmatch(name) and name not in wanted):
            work.folder.remove(name)


def check_folder(folder: PartFolder, where: str, *, delta: bool = False) -> None:
    """Raise BadOutput, UnreadableSource or OutOfReach where parts cannot be written into a folder."""
    folder.check(where)
    there = folder.names()
    if delta:
        check_table(str(folder))
    elif DELTA_LOG in there:
        reason = f"{folder} is a Delta table, whose log would name parts that are gone"
        raise BadOutput(reason=reason, repair="pass delta=true, or name another folder")
    shown = (name for name in there if not name.startswith((".", "_")))
    if other := next((name for name in shown if not _PART.fullmatch(name)), ""):
        raise BadOutput(reason=f"{folder} holds {other!r}, which is no part", repair="name an empty folder")

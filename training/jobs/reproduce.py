"""A version made again from what its run recorded, byte for byte, or a word on what stands in the way.

The table has to be the one of then, by its fingerprint; the split is the stored rule, the model the recorded choice,
replayed without a search. The code is the one at hand: another commit or other packages are said, not undone, and no
digest can be the same where a package's version, which the scorer names, is not. The rows' order is not part of the
fingerprint but of what trees learn: a table that was sorted since gives another digest.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.own_files import own_folder
from data.tables import Table, fingerprint
from serving.scorer import scorer_files
from training.challenger import searching, write_version
from training.commands import parse, registered, rereading, trainings
from training.compiling import compile_verified
from training.console import Say
from training.errors import DataChanged, UsageError
from training.models import all_rows
from training.records import model_registry, tag_names, tracking
from training.records.errors import NotOurs
from training.rows import PreparedTable, arrange, as_named, open_table
from training.rows.known import how_read, known_tables
from training.search import cross_validation


def reproduce(config: registered.ReproduceConfig, say: Say) -> bool:
    """Rebuild a version, tag it with what came of that, and return whether the digests are equal.

    Raises
    ------
    DataChanged
        The table holds other values than the version was trained on; the version's tag stays as it is.
    NotOurs, WrongFiles
        The version's run lacks what is needed, or its files are not those that were registered.
    """
    tracking.check_tracking(must_exist=True)
    version = model_registry.version(config.name, config.version)
    recorded = version.verified_digest()
    with tracking.open_run(config.name, config.job) as run:
        rows, seed = _rows_of_then(version, config, say)
        with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
            digest = _rebuild(version, rows, Path(folder), seed=seed)
            faults = [] if digest == recorded else differences(version.scorer_folder, Path(folder))
        word = "yes" if digest == recorded else f"no: {'; '.join(faults)}"
        model_registry.tag(version.name, version.number, {tag_names.REPRODUCED: word[:5000]})
        run.log(tags={tag_names.REPRODUCED: word[:5000], tag_names.VERSION: version.number})
        say("digest", f"{digest[:16]}..., recorded was {recorded[:16]}...")
        say("reproduced", word)
        return digest == recorded


def _rows_of_then(
    version: model_registry.Version, config: registered.ReproduceConfig, say: Say
) -> tuple[PreparedTable, int]:
    """Return the version's own rows, described and split as they were, and the seed."""
    if version.adopted:
        raise UsageError(
            message=f"{version.name} version {version.number} was adopted from a file: no training can rebuild it"
        )
    if version.is_recalibrated:
        raise UsageError(
            message=f"the intervals of {version.name} version {version.number} came after its training, which cannot "
            "rebuild them: reproduce the version that it was made from"
        )
    tags = tracking.recorded_tags(version.run_id)
    asked = _recorded_config(version, tags.get(tag_names.COMMAND, ""))
    rereading.refuse_masked("" if config.data else asked.data, "" if config.query else asked.query)
    asked = replace(
        asked,
        data=config.data or tags.get(tag_names.TABLE) or asked.data,
        query=config.query or asked.query,
        weight=version.weight,
    )
    asked = replace(asked, engine="")  # the bits are the same, and its cluster may be gone
    said = {name: getattr(config, name) for name in ("header", "encoding")}
    asked = replace(asked, **{name: word for name, word in said.items() if word})
    then, now = tags.get(tag_names.COMMIT, ""), tracking.git_commit()
    if then != now:
        say("warning", f"the code is at {now or 'no commit'}, the version was made at {then or 'no commit'}")
    read = how_read.again(version, how_read.recorded_of(version))
    table = known_tables.read(open_table(asked, say), version.split.kinds, read, asked.memory)
    head = known_tables.head_of(table)
    if isinstance(table, Table):
        _refuse_changed(version, head.where, fingerprint(table))
    rows = arrange(table, version.split, as_named(asked, head.names), say)
    _refuse_changed(version, head.where, rows.fingerprint)
    say("read", f"{len(table):,} rows from {head.where}, the same as then")
    return rows, asked.seed


def _refuse_changed(version: model_registry.Version, where: str, found: str) -> None:
    """Raise DataChanged where a table has another fingerprint than the version's."""
    recorded = version.tags.get(tag_names.DATA, "")
    if found != recorded:
        raise DataChanged(
            where=where, name=version.name, version=version.number, found=found, recorded=recorded
        )


def _recorded_config(version: model_registry.Version, command: str) -> trainings.TrainConfig:
    """Read the command that the version's run recorded."""
    if not command.startswith("python -m training train "):
        raise NotOurs(name=version.name, version=version.number, lacks="the tag slipway.command on its run")
    config = parse(shlex.split(command)[3:])
    assert isinstance(config, trainings.TrainConfig)
    return config


def _rebuild(version: model_registry.Version, rows: PreparedTable, folder: Path, *, seed: int) -> str:
    """Fit and compile the recorded choice into a folder, and return its digest."""
    spec = tracking.recorded_json(version.run_id, searching.MODEL_SPEC)
    if spec is None:
        raise NotOurs(name=version.name, version=version.number, lacks=f"{searching.MODEL_SPEC} on its run")
    training = rows.training(seed)
    learned = training.sample(int(spec.get(searching.LEARNED, training.size)))
    built = searching.without_rows(spec)
    fitted = cross_validation.fitted(built, learned)
    if rows.everything and spec.get(searching.IN_PARTS):
        all_rows.learn_all(fitted, rows.everything, training.target)
    compiled = compile_verified(fitted, schema=rows.schema, frame=training.frame, target=training.target)
    searched = None
    if searching.SEARCHED in spec:
        count, folds = spec[searching.SEARCHED]
        searched = cross_validation.out_of_fold(built, training.sample(count).with_folds(folds))
    explain = bool(scorer_files.document_in(version.scorer_folder).explain)
    written = write_version(
        folder,
        fitted,
        built,
        compiled,
        rows,
        seed=seed,
        say=lambda *_: None,
        explain=explain,
        searched=searched,
    )
    return written.scorer.digest


def differences(recorded: Path, rebuilt: Path) -> list[str]:
    """Return what differs between two scorers' folders, part by part; packages with both versions."""
    (graph, document), (new_graph, new_document) = scorer_files.read(recorded), scorer_files.read(rebuilt)
    old, new = json.loads(document), json.loads(new_document)
    faults = ["graph"] if graph != new_graph else []
    faults += [part for part in old if part != "versions" and old[part] != new.get(part)]
    return faults + packages_in_words(old["versions"], new["versions"])


def packages_in_words(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Name the packages whose versions differ, as in `numpy 2.4.5 then, 2.4.6 now`."""
    return [
        f"{package} {then.get(package, 'absent')} then, {now.get(package, 'absent')} now"
        for package in sorted(then.keys() | now.keys())
        if then.get(package) != now.get(package)
    ]

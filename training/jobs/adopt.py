"""A model that was fitted elsewhere becomes a version like any other.

Takes a joblib pickle or a Keras network, and rows with their outcomes: the model is held to the rows, compiled,
compared with its graph, registered and put to the gate. Loading a pickle runs whatever code it holds; that cannot be
prevented here, so it is said, and nothing else in this package does it.

Nobody knows which rows the model learned from. Its errors on the rows at hand may flatter it, so no interval is
promised from them, and no champion gives way to it unless a person says so.
"""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline, make_pipeline

from data.checks.trainable import Checked, check_table
from data.errors import MissingColumn, UnusableColumn
from data.figures import figure
from data.schema import Column, Schema
from data.splits.splitting import SplitRule, split_table
from data.tables.fingerprint import fingerprint
from data.tables.table import Table, describe, load_table
from training.commands.config import AdoptConfig, job_of
from training.compiling import Network, compile_verified, load_network, write_scorer
from training.errors import CannotAdopt, TrainingError
from training.jobs.check import say_readings
from training.jobs.train import Job, Outcome, Rows, Say, conclude, judge, refuse_mistyped, register
from training.measuring.scores import Scores, score
from training.pages import report
from training.pages.markdown import plain
from training.records import ledger, model_registry, tracking
from training.rows.named_columns import as_named
from training.rows.opened_table import open_table
from training.transformers import CategoryText
from training.versions import flavor


def adopt(config: AdoptConfig, say: Say) -> Outcome:
    """Register a fitted model, and promote it where its name has no champion.

    Raises
    ------
    DataError, CannotAdopt, CompilingError
        The table, the file or a step of the model cannot be used; nothing is registered then.
    """
    refuse_mistyped(config)
    with tracking.open_run(config.name, job_of(config)) as run:
        job = Job(config, run, say)
        run.log_config(config.as_params())
        ledger.settle(config.name)
        config, table, checked = check(config, say)
        job = replace(job, config=config)
        digest = hashlib.sha256(config.path.read_bytes()).hexdigest()
        model = load(config.path, digest, say)
        rows = describe_rows(config, checked, model, fingerprint(table))
        model = _with_gaps_as_nan(model, rows)
        errors = errors_on(rows, model, config)
        logged = log(job, rows, model, config)
        record(job, rows, model, errors, logged)
        words = summary(rows.schema, model, errors, config)
        version = register(job, rows, logged, summary=words, tags={model_registry.ADOPTED_TAG: digest})
        decide = lambda history: judge(version, checked.table, history, config.policy, run=run)  # noqa: E731
        outcome = conclude(job, version, decide, summary=plain(words))
        return replace(outcome, figures=errors.as_metrics("adopted", standard_errors=True))


def check(config: AdoptConfig, say: Say) -> tuple[AdoptConfig, Table, Checked]:
    """Return what was asked, with the table's names, the table, and its rows with an outcome; no model is run."""
    table = load_table(open_table(config, say), config.asked)
    config = as_named(config, table.names)
    say("read", f"{len(table):,} rows, {len(table.names)} columns from {table.where}")
    say_readings(table, say)
    mentioned = {"unit": [column for column, _ in config.units]}
    checked = check_table(table, target=config.target, exclude=config.exclude, mentioned=mentioned)
    if checked.rows_without_target:
        say("warning", f"{checked.rows_without_target:,} rows have no {config.target} and are left out")
    return config, table, checked


def load(path: Path, digest: str, say: Say) -> Any:
    """Return the model in a file; raises CannotAdopt, or CompilingError for a Keras network."""
    if path.suffix == ".keras":
        return load_network(path)
    say(
        "warning", f"{path.name} is a pickle: loading it runs any code that it holds; its SHA-256 is {digest}"
    )
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always", InconsistentVersionWarning)
        repair = "pass what joblib.dump wrote, where the packages are installed that it was made with"
        with _blamed_on(path, "cannot be loaded", repair):
            model = joblib.load(path)
    made_with = {getattr(each.message, "original_sklearn_version", "") for each in noticed} - {""}
    for version in sorted(made_with):
        say("warning", f"it was made with scikit-learn {version}: what it predicts here is what is kept")
    if not hasattr(model, "predict"):
        fault = f"holds a {type(model).__name__}, which predicts nothing"
        raise CannotAdopt(model=path.name, fault=fault, repair="dump the fitted model itself")
    return _with_flat_target(getattr(model, "best_estimator_", model))  # of a search


def _with_flat_target(model: Any) -> Any:
    """Let a line that was fitted on a target of shape (n, 1) predict (n,), as every version does."""
    last = model
    while isinstance(last, Pipeline):
        last = last[-1]
    coefficients = getattr(last, "__dict__", {}).get("coef_")  # others compute theirs
    if isinstance(coefficients, np.ndarray) and coefficients.ndim == 2 and len(coefficients) == 1:
        last.coef_, last.intercept_ = coefficients[0], float(np.ravel(last.intercept_)[0])
    return model


def describe_rows(config: AdoptConfig, checked: Checked, model: Any, digest: str) -> Rows:
    """Describe the columns that the model takes, in its order; the split is a form, for all rows count as held out."""
    table = checked.table
    names = features(config, table, model)
    empty = [name for name in names if table.kinds[name] is None]
    if empty:
        found, repair = "is missing in every row", "pass rows that have it"
        raise UnusableColumn(column=empty[0], row=1, found=found, repair=repair)
    schema = describe(table, names, target=config.target, units=dict(config.units))
    known = dict(known_categories(model, names))
    columns = tuple(_with_known(column, known.get(column.name, set())) for column in schema.columns)
    split = split_table(table, SplitRule("hash", tuple(names), config.holdout, salt=config.name))
    return Rows(checked, split, replace(schema, columns=columns), digest)


def features(config: AdoptConfig, table: Table, model: Any) -> list[str]:
    """Return the names of the model's columns in its order; raises MissingColumn or CannotAdopt."""
    given = [name for name in table.names if name not in (config.target, *config.exclude)]
    named = getattr(model, "feature_names_in_", None)
    if named is not None:
        for name in named:
            if name not in given:
                raise MissingColumn(where=table.where, role="feature", column=str(name), columns=given)
        return list(map(str, named))
    wanted = getattr(model, "n_features_in_", len(given))
    if wanted != len(given):
        raise CannotAdopt(
            model=config.path.name,
            fault=f"takes {wanted} columns and names none, {table.where} has {len(given)} beside {config.target} "
            f"({', '.join(given)[:200]})",
            repair="pass those of the fit, in their order, or leave others out with exclude=...",
        )
    return given


def known_categories(step: Any, names: Sequence[str]) -> Iterator[tuple[str, set[str]]]:
    """Yield the texts that a fitted model's encoders know, by column: a sample of rows may lack some."""
    if isinstance(step, Pipeline):
        for _, inner in step.steps:
            yield from known_categories(inner, names)
            if isinstance(inner, ColumnTransformer):  # what comes out of it has other columns
                return
    elif isinstance(step, ColumnTransformer):
        for name, inner, _ in step.transformers_:
            chosen = step._transformer_to_input_indices[name]
            yield from known_categories(inner, [names[place] for place in chosen])
    elif hasattr(step, "regressor_"):
        yield from known_categories(step.regressor_, names)
    elif names and len(getattr(step, "categories_", ())) == len(names):
        for name, values in zip(names, step.categories_, strict=True):
            yield name, {value for value in values if isinstance(value, str)}


def _with_known(column: Column, known: set[str]) -> Column:
    if column.kind != "category":
        return column
    return replace(column, categories=tuple(sorted({*column.categories, *known})))


def _with_gaps_as_nan(model: Any, rows: Rows) -> Any:
    """Let encoders and imputers find a missing category as pandas has it: tables and JSON have None."""
    if isinstance(model, Network) or all(column.kind != "category" for column in rows.schema.columns):
        return model
    frame = rows.checked.table.frame[list(rows.schema.names)]
    return make_pipeline(CategoryText().fit(frame), model)


def errors_on(rows: Rows, model: Any, config: AdoptConfig) -> Scores:
    """Return the model's errors on the rows at hand; raises CannotAdopt where it fails on them."""
    table = rows.checked.table
    fault, repair = f"fails on the rows of {table.where}", "pass rows like those it was fitted on"
    with _blamed_on(config.path, fault, repair), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fitted on arrays, it is surprised by names
        predicted = np.asarray(model.predict(table.frame[list(rows.schema.names)]), dtype=np.float64)
    if predicted.shape != (len(table),):
        fault = f"answers {len(table)} rows with the shape {predicted.shape}"
        repair = "pass one that predicts a number a row; --runtime pyfunc serves others"
        raise CannotAdopt(model=config.path.name, fault=fault, repair=repair)
    lacking = int((~np.isfinite(predicted)).sum())
    if lacking:
        fault = f"gives no finite number for {lacking:,} of the {len(table):,} rows of {table.where}"
        raise CannotAdopt(model=config.path.name, fault=fault, repair="pass rows that it can predict")
    return score(table.numbers(config.target), predicted)


def log(job: Job, rows: Rows, model: Any, config: AdoptConfig) -> flavor.Logged:
    """Compile the model, and log it with its scorer; raises CompilingError."""
    table = rows.checked.table
    frame, target = table.frame[list(rows.schema.names)], table.numbers(config.target)
    with _blamed_on(config.path, "cannot be compiled", "--runtime pyfunc serves it as it is"):
        compiled = compile_verified(model, schema=rows.schema, frame=frame, target=target)
    parity, schema = compiled.parity, rows.schema
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = write_scorer(
            folder,
            graph=compiled.graph,
            schema=schema,
            frame=frame,
            fingerprint=rows.fingerprint,
            parity=parity,
            packages=compiled.packages,
        )
        logged = flavor.log_version(model, schema=schema, scorer_folder=folder, input_example=frame.head(5))
    job.run.log(metrics={"parity_max_abs": parity.max_abs, "parity_max_rel": parity.max_rel})
    job.say(
        "model",
        f"{type(model).__name__} as one graph, {report.row_microseconds(made):.0f} µs a row, "
        f"within {parity.max_rel:.0e} of the original on {parity.rows:,} rows",
    )
    return logged


def record(job: Job, rows: Rows, model: Any, errors: Scores, logged: flavor.Logged) -> None:
    """Log figures and lineage."""
    table, names = rows.checked.table, rows.schema.names
    job.run.log(
        metrics=errors.as_metrics("adopted", standard_errors=True),
        params={"family": type(model).__name__, "features": ",".join(names)[:6000]},
        tags={model_registry.DIGEST_TAG: logged.digest, "slipway.data_fingerprint": rows.fingerprint},
    )
    job.run.log_json("schema.json", rows.schema.as_dict())
    job.run.log_dataset(table.frame, where=table.where, target=job.config.target, digest=rows.fingerprint)


def summary(schema: Schema, model: Any, errors: Scores, config: AdoptConfig) -> str:
    """Say what was adopted and how it does, in one line."""
    count = len(schema.columns)
    return (
        f"{type(model).__name__} adopted from {config.path.name}, {count} column{'s' * (count != 1)}; "
        f"RMSE {figure(errors.rmse, config.unit)} on {errors.rows:,} rows that it may have learned from"
    )


@contextmanager
def _blamed_on(model: Path, fault: str, repair: str) -> Iterator[None]:
    """Refuse a model whose own code fails: nobody here wrote it, and a script imported for its class may exit."""
    try:
        yield
    except TrainingError:
        raise
    except (Exception, SystemExit) as error:
        line = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
        found = f"{fault}: {type(error).__name__}: {line}"
        raise CannotAdopt(model=model.name, fault=found, repair=repair) from error

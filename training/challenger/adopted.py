"""A model that was fitted elsewhere: which columns it takes, the categories it knows, and its errors."""

from __future__ import annotations

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

from data.checks import Checked
from data.errors import MissingColumn, UnusableColumn
from data.schema import Column
from data.splits import SplitRule, split_table
from data.tables import Table, describe
from training.challenger.adopted_boosting import with_codes, with_names_of, with_texts
from training.commands import trainings
from training.compiling.keras import Network, load_network
from training.console import Say
from training.errors import CannotAdopt, TrainingError
from training.measuring import comparison
from training.rows import PreparedTable
from training.transformers import CategoryText

SERVED_AS_IS = "--runtime pyfunc serves it as it is"


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
        with blamed_on(path, "cannot be loaded", repair):
            model = joblib.load(path)
    made_with = {getattr(each.message, "original_sklearn_version", "") for each in noticed} - {""}
    for version in sorted(made_with):
        say("warning", f"it was made with scikit-learn {version}: what it predicts here is what is kept")
    if not hasattr(model, "predict"):
        fault = f"holds a {type(model).__name__}, which predicts nothing"
        raise CannotAdopt(model=path.name, fault=fault, repair="dump the fitted model itself")
    with blamed_on(path, "cannot be compiled", SERVED_AS_IS):
        model = with_texts(getattr(model, "best_estimator_", model))  # of a search
    return _with_flat_target(model)


def with_codes_of(config: trainings.AdoptConfig, checked: Checked, model: Any) -> Any:
    """Let a model of LightGBM's that knows pandas' categories take text; raises CannotAdopt."""
    model = with_names_of(model, checked.table.names)
    with blamed_on(config.path, "cannot take the rows", "pass rows with the columns of the fit"):
        return with_codes(model, checked.table.frame[features(config, checked.table, model)])


def _with_flat_target(model: Any) -> Any:
    """Let a line that was fitted on a target of shape (n, 1) predict (n,), as every version does."""
    last = model
    while isinstance(last, Pipeline):
        last = last[-1]
    coefficients = getattr(last, "__dict__", {}).get("coef_")  # others compute theirs
    if isinstance(coefficients, np.ndarray) and coefficients.ndim == 2 and len(coefficients) == 1:
        last.coef_, last.intercept_ = coefficients[0], float(np.ravel(last.intercept_)[0])
    return model


def describe_rows(config: trainings.AdoptConfig, checked: Checked, model: Any, digest: str) -> PreparedTable:
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
    split = split_table(table, SplitRule("hash", tuple(names), salt=config.name))
    return PreparedTable(checked, split, replace(schema, columns=columns), digest)


def features(config: trainings.AdoptConfig, table: Table, model: Any) -> list[str]:
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
            yield from known_categories(inner, [names[index] for index in chosen])
    elif hasattr(step, "regressor_"):
        yield from known_categories(step.regressor_, names)
    elif names and len(getattr(step, "categories_", ())) == len(names):
        for name, values in zip(names, step.categories_, strict=True):
            yield name, {value for value in values if isinstance(value, str)}


def _with_known(column: Column, known: set[str]) -> Column:
    if column.kind != "category":
        return column
    return replace(column, categories=tuple(sorted({*column.categories, *known})))


def with_gaps_as_nan(model: Any, rows: PreparedTable) -> Any:
    """Let encoders and imputers find a missing category as pandas has it: tables and JSON have None."""
    if isinstance(model, Network) or all(column.kind != "category" for column in rows.schema.columns):
        return model
    frame = rows.checked.table.frame[list(rows.schema.names)]
    return make_pipeline(CategoryText().fit(frame), model)


def errors_on(rows: PreparedTable, model: Any, config: trainings.AdoptConfig) -> comparison.Figures:
    """Return the model's errors on the rows at hand; raises CannotAdopt where it fails on them."""
    table = rows.checked.table
    fault, repair = f"fails on the rows of {table.where}", "pass rows like those it was fitted on"
    with blamed_on(config.path, fault, repair), warnings.catch_warnings():
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
    clusters = comparison.clusters_of(rows.split, np.ones(len(table), dtype=np.bool_))
    return comparison.estimate(table.numbers(config.target), predicted, clusters)


@contextmanager
def blamed_on(model: Path, fault: str, repair: str) -> Iterator[None]:
    """Refuse a model whose own code fails: nobody here wrote it, and a script imported for its class may exit."""
    try:
        yield
    except TrainingError:
        raise
    except (Exception, SystemExit) as error:
        line = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
        result = f"{fault}: {type(error).__name__}: {line}"
        raise CannotAdopt(model=model.name, fault=result, repair=repair) from error

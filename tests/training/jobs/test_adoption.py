"""A model that was fitted elsewhere becomes a version that answers as it did, or is refused in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVR

from data.sources import open_source
from data.tables import fingerprint, load_table
from tests.conftest import Workspace
from tests.registered import Store
from tests.training.jobs.adopted_houses import NUMBERS, adopt, encoded, houses, last_line
from training.__main__ import main
from training.records import model_registry, tag_names
from training.rows.known import how_read
from training.rows.parts import sampling

pytestmark = pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")  # fitted on arrays


def selecting(model: Any) -> Any:
    """A pipeline that selects its columns by their type."""
    columns = make_column_transformer(
        (OneHotEncoder(), make_column_selector(dtype_include=object)),
        (StandardScaler(), make_column_selector(dtype_include=np.number)),
    )
    return make_pipeline(columns, model)


@pytest.mark.parametrize(
    "model",
    [
        LinearRegression().fit(houses()[["area", "rooms"]].to_numpy(), houses()[["price"]].to_numpy()),
        GradientBoostingRegressor().fit(houses()[["area", "rooms"]].to_numpy(), houses()["price"]),
        make_pipeline(StandardScaler(), make_pipeline(LinearRegression())).fit(
            houses()[["rooms", "area"]], houses()[["price"]]
        ),
        encoded(Ridge(), OneHotEncoder()).fit(houses().drop(columns="price"), houses()["price"]),
        make_pipeline(StandardScaler(), SVR(kernel="linear")).fit(
            houses()[["area", "rooms"]].to_numpy(), houses()["price"]
        ),
        GridSearchCV(selecting(Ridge()), {"ridge__alpha": [0.1, 1.0]}, cv=2).fit(
            houses()[["area", "rooms"]], houses()["price"]
        ),
    ],
    ids=[
        "line on arrays, a target of one column",
        "trees on arrays",
        "columns in another order, a line within a line of steps",
        "categories",
        "coefficients that cannot be set",
        "the best of a search, with a step that selects no columns",
    ],
)
def test_an_adopted_model_answers_as_it_did(model: Any, tracking: Workspace) -> None:
    """By its scorer and by stock MLflow; it is the champion of a name that had none."""
    names = list(getattr(model, "feature_names_in_", ["area", "rooms"]))
    table = houses()[[*dict.fromkeys([*names, "area", "rooms"]), "price"]]
    rows = houses(20, seed=1)[names]
    given = rows if hasattr(model, "feature_names_in_") else rows.to_numpy()
    expected = np.asarray(model.predict(given)).reshape(-1)
    assert adopt(model, table) == 0
    champion = model_registry.champion("houses")
    assert champion is not None and champion.adopted
    np.testing.assert_allclose(champion.predict(rows), expected, rtol=1e-9)
    stock = mlflow.pyfunc.load_model(champion.uri).predict(rows)
    assert np.shape(stock) == (20,)
    np.testing.assert_allclose(stock, expected, rtol=1e-9)


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()])
def test_a_category_that_the_rows_lack_keeps_what_the_model_knows_of_it(
    encoder: Any, tracking: Workspace
) -> None:
    """A sample is small; as an unseen category it would be another number, or none."""
    everything = houses()
    model = encoded(RandomForestRegressor(10, random_state=0), encoder)
    model.fit(everything.drop(columns="price"), everything["price"])
    assert adopt(model, everything[everything["town"] != "Kiel"]) == 0
    kiel = everything[everything["town"] == "Kiel"].drop(columns="price").reset_index(drop=True)
    found = model_registry.champion("houses").predict(kiel)  # type: ignore[union-attr]
    np.testing.assert_allclose(found, model.predict(kiel), rtol=1e-9)


def test_categories_that_cannot_be_found_in_the_model_are_asked_for(
    tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within a vote they are not looked for; scored as unseen they would be wrong silently."""
    everything = houses()
    vote = VotingRegressor([("one", encoded(Ridge(), OneHotEncoder()))])
    vote.fit(everything.drop(columns="price"), everything["price"])
    assert adopt(vote, everything[everything["town"] != "Kiel"]) == 2
    assert "the rows lack 1 of the categories that it knows" in last_line(capsys)
    assert adopt(vote, everything) == 0


def with_gaps(rows: int = 120, *, seed: int = 0) -> pd.DataFrame:
    """The houses, some without a town."""
    frame = houses(rows, seed=seed)
    towns = [np.nan if place % 9 == 0 else town for place, town in enumerate(frame["town"])]
    return frame.assign(town=pd.Series(towns, dtype=object))


@pytest.mark.soak
@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(),
        OneHotEncoder(handle_unknown="ignore"),
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
    ],
    ids=["refuses unknown ones", "ignores unknown ones", "behind an imputer"],
)
def test_a_missing_category_means_what_it_meant_in_pandas(encoder: Any, tracking: Workspace) -> None:
    """Tables and JSON have None, pandas has NaN, and scikit-learn tells the two apart."""
    everything, fresh = with_gaps(), with_gaps(30, seed=1).drop(columns="price")
    model = encoded(Ridge(), encoder).fit(everything.drop(columns="price"), everything["price"])
    assert adopt(model, everything) == 0
    champion = model_registry.champion("houses")
    assert champion is not None
    for gap in (np.nan, None):
        rows = fresh.assign(town=fresh["town"].where(fresh["town"].notna(), gap))
        np.testing.assert_allclose(champion.predict(rows), model.predict(fresh), rtol=1e-9)
        np.testing.assert_allclose(champion.predict_with_stock_mlflow(rows), model.predict(fresh), rtol=1e-9)


@pytest.mark.parametrize("known", [(None, "Ulm"), (2**53 + 1, 2**53 + 3)])
def test_a_model_that_knows_other_categories_than_text_is_refused(
    known: tuple[Any, Any], tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it ignores unknown categories, each would be scored as one of them without a word."""
    everything = houses().assign(town=pd.Series(known * 60, dtype=object))
    model = encoded(Ridge(), OneHotEncoder(handle_unknown="ignore"))
    assert adopt(model.fit(everything.drop(columns="price"), everything["price"]), everything) == 2
    assert f"it was fitted on {known[0]}, a category is text here" in last_line(capsys)


def test_a_model_that_the_compiler_stumbles_over_is_refused(
    tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """It knows what training makes; what people bring may be anything."""
    everything = houses().astype({"town": "category"})
    model = HistGradientBoostingRegressor(max_iter=5, categorical_features="from_dtype")
    assert adopt(model.fit(everything.drop(columns="price"), everything["price"]), everything) == 2
    assert "old.pkl cannot be compiled: ValueError: could not convert string" in last_line(capsys)


class Leaving:
    """A pickle that imports a script without a main guard."""

    def __reduce__(self) -> Any:
        """End the process, and say that all went well."""
        return sys.exit, (0,)


class Malicious:
    """What a pickle can do."""

    def __reduce__(self) -> Any:
        """Leave a trace."""
        return Path.touch, (Path("ran"),)


def test_the_risk_is_said_and_nothing_is_loaded_for_a_table_that_is_refused(
    tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever sees the line can stop; whoever mistypes the target has run no code."""
    assert adopt(Malicious(), houses().rename(columns={"price": "cost"})) == 2
    assert not Path("ran").exists()
    capsys.readouterr()
    assert adopt(Malicious(), houses()) == 2
    assert Path("ran").exists()
    said = capsys.readouterr()
    assert "old.pkl is a pickle: loading it runs any code that it holds; its SHA-256 is" in said.out
    assert (
        said.err
        == "slipway: old.pkl holds a NoneType, which predicts nothing: dump the fitted model itself\n"
    )


def diverged(line: Any) -> Any:
    """A line as it comes of a fit that went wrong."""
    line.coef_ = line.coef_ * np.nan
    return line


REFUSED = {
    "of three columns": (
        LinearRegression().fit(np.ones((5, 3)), np.ones(5)),
        "old.pkl takes 3 columns and names none, rows.csv has 2 beside price (area, rooms): pass those of the fit",
    ),
    "of another column": (
        LinearRegression().fit(NUMBERS[["area"]].rename(columns={"area": "width"}), NUMBERS["price"]),
        "rows.csv: has no feature column 'width': it has area, rooms",
    ),
    "of two targets": (
        LinearRegression().fit(NUMBERS[["area", "rooms"]].to_numpy(), np.ones((120, 2))),
        "old.pkl answers 120 rows with the shape (120, 2): pass one that predicts a number a row",
    ),
    "that does not compile": (
        KMeans(2, n_init=1).fit(NUMBERS[["area", "rooms"]]),
        "step KMeans cannot be compiled",
    ),
    "that was not fitted": (LinearRegression(), "old.pkl fails on the rows of rows.csv: NotFittedError"),
    "of no numbers": (
        diverged(LinearRegression().fit(NUMBERS[["area", "rooms"]], NUMBERS["price"])),
        "old.pkl gives no finite number for 120 of the 120 rows of rows.csv: pass rows that it can predict",
    ),
    "that ends its script": (
        Leaving(),
        "old.pkl cannot be loaded: SystemExit: 0: pass what joblib.dump wrote",
    ),
    "that is none": (
        {"w": 3.0},
        "old.pkl holds a dict, which predicts nothing: dump the fitted model itself",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_cannot_become_a_version_is_refused_in_one_line(
    case: str, tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason; nothing is registered."""
    model, says = REFUSED[case]
    assert adopt(model, NUMBERS) == 2
    assert says in last_line(capsys)
    assert not model_registry.versions("houses")


@pytest.mark.parametrize("content", [b"not a pickle", b"", None])
def test_a_file_that_cannot_be_read_is_refused(
    content: bytes | None, tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """None stands for no file at all."""
    NUMBERS.to_csv("rows.csv", index=False)
    if content is not None:
        Path("old.pkl").write_bytes(content)
    assert main(["adopt", "--model", "old.pkl", "--data", "rows.csv", "--target", "price"]) == 2
    assert last_line(capsys).startswith("slipway: old.pkl can")
    assert not model_registry.versions("old")


def test_an_adopted_model_takes_no_champions_place_by_itself(
    tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may have learned from the rows that it is judged by; a person may know better."""
    model = LinearRegression().fit(NUMBERS[["area", "rooms"]], NUMBERS["price"])
    assert adopt(model, NUMBERS) == 0
    assert adopt(LinearRegression().fit(NUMBERS[["area"]], NUMBERS["price"]), NUMBERS) == 0
    assert "nobody knows which rows version 2 learned from" in capsys.readouterr().out
    assert model_registry.champion("houses").number == "1"  # type: ignore[union-attr]
    asked = ["promote", "--name", "houses", "--version", "2"]
    assert main(asked) == 0
    assert model_registry.champion("houses").number == "1"  # type: ignore[union-attr]
    assert main([*asked, "--force", "true", "--reason", "it never saw them"]) == 0
    assert model_registry.champion("houses").number == "2"  # type: ignore[union-attr]


@pytest.mark.soak
def test_a_later_training_is_held_to_the_adopted_champion(
    tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the rows that the new one holds out, by a split of its own, which no adopted one has to keep either."""
    table = houses(400).assign(day=pd.date_range("2026-01-01", periods=400).strftime("%Y-%m-%d"))
    assert adopt(DummyLine().fit(table), table.drop(columns="town")) == 0
    words = ["--data", "rows.csv", "--target", "price", "--name", "houses", "--trials", "2"]
    assert main(["train", *words, "--split", "time", "--time_column", "day"]) == 0
    assert "of champion version 1's" in capsys.readouterr().out
    assert model_registry.champion("houses").number == "2"  # type: ignore[union-attr]
    assert adopt(DummyLine().fit(table), NUMBERS) == 0  # without the time column


class DummyLine(LinearRegression):
    """Never pickled: `fit` returns a plain line, far too steep, that only beats the mean."""

    def fit(self, table: pd.DataFrame) -> LinearRegression:  # type: ignore[override]
        """Return the line."""
        line = LinearRegression().fit(table[["area", "rooms"]], table["price"])
        line.coef_ = line.coef_ * 1.2
        return line


@pytest.mark.soak
def test_intervals_come_with_fresh_rows(tracking: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """From rows that it may know they would be too narrow; recalibrated it is the same model, and may be promoted."""
    assert adopt(LinearRegression().fit(NUMBERS[["area", "rooms"]], NUMBERS["price"]), NUMBERS) == 0
    first = model_registry.champion("houses")
    assert first is not None
    assert json.loads((first.folder / "scorer/scorer.json").read_text()).get("intervals") is None
    houses(80, seed=5).to_csv("fresh.csv", index=False)
    assert main(["recalibrate", "--name", "houses", "--data", "fresh.csv"]) == 0
    capsys.readouterr()
    promote = ["promote", "--name", "houses", "--version", "2", "--policy", "not-worse"]
    assert main(promote) == 0, capsys.readouterr().err
    assert "120 rows from rows.csv" in capsys.readouterr().out  # those of the adoption
    second = model_registry.champion("houses")
    assert second is not None
    assert (second.number, second.adopted) == ("2", first.adopted)


def test_a_version_whose_runs_know_no_table_is_judged_by_none(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run of its training is gone for good, its own recorded nothing."""
    store.tag("2", tag_names.TRAINED_IN, "0" * 32)
    assert main(["promote", "--name", "line", "--version", "2"]) == 2
    assert "line version 2 recorded no table: pass rows to judge by" in last_line(capsys)


def test_the_rows_of_the_adoption_are_not_fresh(
    tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor are they where some have no outcome, which are left out, and said."""
    model = LinearRegression().fit(NUMBERS[["area", "rooms"]], NUMBERS["price"])
    assert adopt(model, NUMBERS.assign(price=NUMBERS["price"].where(NUMBERS.index > 9))) == 0
    assert "10 rows have no price and are left out" in capsys.readouterr().out
    assert how_read.of_version(model_registry.version("houses", "1")).kinds["price"] == "number"
    assert main(["recalibrate", "--name", "houses", "--data", "rows.csv"]) == 2
    assert "pass fresh labelled rows" in last_line(capsys)


def test_an_adopted_version_is_not_rebuilt(tracking: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody recorded how it was fitted."""
    assert adopt(LinearRegression().fit(NUMBERS[["area", "rooms"]], NUMBERS["price"]), NUMBERS) == 0
    capsys.readouterr()
    assert main(["reproduce", "--name", "houses", "--version", "1"]) == 2
    assert "houses version 1 was adopted from a file: no training can rebuild it" in last_line(capsys)


def test_all_rows_judge_an_adopted_model(tracking: Workspace) -> None:
    """None is known to be new to it: a part of a small table would say less, and no more honestly."""
    assert adopt(LinearRegression().fit(NUMBERS[["area", "rooms"]], NUMBERS["price"]), NUMBERS) == 0
    champion = model_registry.champion("houses")
    assert champion is not None
    assert champion.held_out(load_table(open_source("rows.csv"))).all()
    evidence = mlflow.artifacts.load_dict(f"runs:/{champion.run_id}/gate/evidence.json")
    (against_mean,) = (check for check in evidence["checks"] if "training mean" in check["name"])
    assert against_mean["passed"]
    assert float(against_mean["found"].split(" of ")[1].split()[0]) == pytest.approx(
        NUMBERS["price"].std(ddof=0), rel=1e-3
    )


def test_rows_that_memory_does_not_hold_are_sampled(
    tracking: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run says of how many rows its figures are, and the version of which table: recalibrating asks for others."""
    monkeypatch.setattr(sampling, "LEAST_CELLS", 60 * 3)
    model = LinearRegression().fit(NUMBERS[["area", "rooms"]], NUMBERS["price"])
    assert adopt(model, NUMBERS, "--memory", "0.001MB") == 0
    assert "60 of 120 rows: the table is read in parts" in capsys.readouterr().out
    champion = model_registry.champion("houses")
    assert champion is not None
    assert champion.tags[tag_names.DATA] == fingerprint(load_table(open_source("rows.csv")))

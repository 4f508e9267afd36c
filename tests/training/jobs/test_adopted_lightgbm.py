"""LightGBM's regressors that were fitted elsewhere: on arrays, on pandas' categories, alone and within others."""

from __future__ import annotations

from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import VotingRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import OrdinalEncoder

from tests.conftest import Workspace
from tests.training.jobs.adopted_houses import TOWNS, adopt, encoded, houses, last_line

pytestmark = pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")  # fitted on arrays


def boosted(**options: Any) -> lightgbm.LGBMRegressor:
    """A model of LightGBM's as people write them."""
    return lightgbm.LGBMRegressor(
        n_estimators=20, min_child_samples=5, min_data_per_group=5, verbose=-1, **options
    )


def test_lightgbm_on_numbers_is_adopted(tracking: Workspace) -> None:
    """No pickle of a Booster is kept: stock MLflow gets the text of its trees."""
    everything = houses().drop(columns="town")
    model = boosted().fit(everything[["area", "rooms"]], everything["price"])
    assert adopt(model, everything) == 0
    version = mlflow.pyfunc.load_model("models:/houses@champion")
    np.testing.assert_allclose(
        version.predict(everything[["area", "rooms"]]),
        model.predict(everything[["area", "rooms"]]),
        rtol=1e-12,
    )


def test_lightgbm_that_stopped_early_answers_as_it_did(tracking: Workspace) -> None:
    """`predict` asks the trees up to the best round; the text must end there."""
    everything = houses().drop(columns="town")
    columns, price = everything[["area", "rooms"]], everything["price"]
    model = boosted(learning_rate=0.9).set_params(n_estimators=200)
    stop = lightgbm.early_stopping(3, verbose=False)
    model.fit(columns[:80], price[:80], eval_X=columns[80:], eval_y=price[80:], callbacks=[stop])
    assert model.best_iteration_ < 150
    assert adopt(model, everything) == 0
    version = mlflow.pyfunc.load_model("models:/houses@champion")
    np.testing.assert_allclose(version.predict(columns), model.predict(columns), rtol=1e-12)


def test_lightgbm_on_pandas_categories_takes_their_text(tracking: Workspace) -> None:
    """The Booster knows Bonn as 0: an unseen town and none go where pandas' -1 went."""
    everything = houses()
    given = everything.drop(columns="price").astype({"town": "category"})[["rooms", "town", "area"]]
    model = boosted().fit(given, everything["price"])
    assert adopt(model, everything) == 0
    version = mlflow.pyfunc.load_model("models:/houses@champion")
    asked = given.astype({"town": object})
    np.testing.assert_allclose(version.predict(asked), model.predict(given), rtol=1e-12)
    odd = given.head(2).assign(town=pd.Categorical([None, None], categories=sorted(TOWNS)))
    np.testing.assert_allclose(
        version.predict(asked.head(2).assign(town=pd.Series(["Rome", None], dtype=object))),
        model.predict(odd),
    )


@pytest.mark.soak
def test_lightgbm_within_pipelines_and_averages_is_adopted(tracking: Workspace) -> None:
    """Wherever scikit-learn keeps a model."""
    everything = houses()
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    voting = VotingRegressor([("line", Ridge()), ("trees", boosted())])
    model = encoded(voting, codes).fit(everything.drop(columns="price"), everything["price"])
    expected = model.predict(everything.drop(columns="price"))
    assert adopt(model, everything) == 0
    version = mlflow.pyfunc.load_model("models:/houses@champion")
    np.testing.assert_allclose(version.predict(everything.drop(columns="price")), expected, rtol=1e-12)


def test_lightgbm_finds_a_column_whose_name_has_a_blank(tracking: Workspace) -> None:
    """LightGBM itself calls it living_area."""
    everything = houses().drop(columns="town").rename(columns={"area": "living area"})
    columns = everything[["rooms", "living area"]]
    model = boosted().fit(columns, everything["price"])
    assert adopt(model, everything) == 0
    version = mlflow.pyfunc.load_model("models:/houses@champion")
    np.testing.assert_allclose(version.predict(columns), model.predict(columns), rtol=1e-12)


def test_lightgbm_of_lines_is_refused_by_name(
    tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its leaves are no numbers."""
    everything = houses().drop(columns="town")
    model = boosted(linear_tree=True).fit(everything[["area", "rooms"]].to_numpy(), everything["price"])
    assert adopt(model, everything) == 2
    assert "old.pkl cannot be compiled: ValueError: linear_tree" in last_line(capsys)

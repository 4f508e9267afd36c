"""The OpenAPI document of a model that MLflow runs, made from its signature, against the server that gives it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier

from serving.openapi.forms import of_signature
from tests.serving.openapi.documents import check, generate, run_schemathesis
from tests.serving.runtimes.odd_models import COLUMNS, saved

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore::UserWarning:mlflow")]
IRIS = pd.DataFrame(load_iris().data, columns=COLUMNS)
DIGITS = load_digits()


def columns(folder: Path) -> str:
    """Clusters, under a signature of columns."""
    model = KMeans(3, n_init=1, random_state=0).fit(IRIS)
    return saved(folder, model, signature=infer_signature(IRIS, model.predict(IRIS)))


def named_output(folder: Path) -> str:
    """A sum for each row, which has a name in the signature."""
    model = LinearRegression().fit(IRIS, IRIS.to_numpy().sum(axis=1))
    signature = ModelSignature(
        Schema([ColSpec("double", name) for name in COLUMNS]), Schema([ColSpec("double", "sum")])
    )
    return saved(folder, model, signature=signature)


def tensors(folder: Path) -> str:
    """Images, under a signature of tensors."""
    model = KNeighborsClassifier(3).fit(DIGITS.data[:500], DIGITS.target[:500])
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("float64"), (-1, 64))]), Schema([TensorSpec(np.dtype("int64"), (-1,))])
    )
    return saved(folder, model, signature=signature)


def none(folder: Path) -> str:
    """Without a signature."""
    return saved(folder, KNeighborsClassifier().fit(IRIS.to_numpy(), load_iris().target))


VALID: dict[Any, Any] = {
    columns: {"dataframe_records": IRIS.head(3).to_dict(orient="records")},
    named_output: {"inputs": IRIS.head(3).to_dict(orient="list")},
    tensors: {"inputs": DIGITS.data[:3].tolist()},
    none: {"instances": IRIS.head(3).to_numpy().tolist()},
}


@pytest.mark.parametrize("model", VALID, ids=lambda model: model.__name__)
def test_the_document_holds_for_right_and_wrong_requests(model, start, tools, tmp_path) -> None:
    """Valid, good for a client, true of the answers: the same paths and errors as a compiled model's."""
    with start("--model", f"m={model(tmp_path / 'm')}", "--runtime", "pyfunc", "--in-flight", "64") as served:
        document = served.call("/models/m/openapi.json")[1]
        generate(tools, document, tmp_path)
        status, answer, _ = served.call("/models/m/invocations", VALID[model])
        assert (status, len(answer["predictions"])) == (200, 3)
        check(VALID[model], "Invocations", document)
        check(answer, "Predictions", document)
        place = served.url + "/models/m/openapi.json"
        assert "24 selected / 24 total" in run_schemathesis(place, folder=tmp_path, examples=10)


def test_a_tensor_without_dimensions_is_one_number() -> None:
    """The document of such a model was an internal error."""
    specs = [
        {"name": name, "tensor-spec": {"dtype": "float64", "shape": shape}}
        for name, shape in (("a", []), ("b", [-1]))
    ]
    forms = of_signature({"inputs": specs, "outputs": []})
    assert (
        forms.named["Columns"]["properties"]["a"]
        == forms.named["Row"]["properties"]["a"]
        == {"type": "number"}
    )

"""Bad input: one clear line, exit code 2, nothing registered, the champion untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Workspace, at_work_in
from tests.registered import copied
from training.__main__ import main


def write_houses(folder: Path) -> Path:
    """Write a usable table."""
    area = np.linspace(30.0, 200.0, 80)
    path = folder / "houses.csv"
    pd.DataFrame({"area": area, "price": area * 30.0}).to_csv(path, index=False)
    return path


@pytest.fixture
def houses(tracking: Workspace) -> Path:
    """A usable table in the working folder."""
    return write_houses(tracking.folder)


@pytest.fixture(scope="module")
def served(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with that table and a champion that learned from it."""
    folder = tmp_path_factory.mktemp("served")
    copied(empty_store.parent, folder)
    write_houses(folder)
    with at_work_in(folder):
        assert train() == 0
    return folder


def train(*words: str) -> int:
    """Run the command line in this process: the same code as python -m training, without its imports."""
    given = {"--data": "houses.csv", "--target": "price", "--trials": "2"} | dict(
        zip(words[::2], words[1::2], strict=True)
    )
    return main(["train", *(word for pair in given.items() for word in pair)])


BAD_TABLES = {
    "empty file": ("", "houses.csv: has no rows"),
    "header only": ("area,price\n", "houses.csv: has no rows"),
    "text target": ("area,price\n" + "1,cheap\n" * 60, "target 'price' is not numeric: row 1 is 'cheap'"),
    "constant target": ("area,price\n" + "1,2\n" * 60, "target 'price' is 2 in all 60 rows"),
    "too few rows": ("area,price\n1,2\n3,4\n", "houses.csv: 2 rows have a target, at least 50 are needed"),
    "duplicate names": ("area,area,price\n1,1,2\n", "more than one column is called 'area'"),
    "broken line": ("area,price\n" + "1,2\n" * 60 + "1,2,3\n", "houses.csv, line 62: has 3 fields"),
    "not UTF-8": (b"area,price\nK\x81ln,2\n".decode("latin-1"), "houses.csv, line 2"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_table_is_refused_and_the_champion_stays(
    case: str, served: Path, tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A retrain with a broken table must not disturb what is served."""
    import mlflow

    copied(served, tracking.folder)
    content, says = BAD_TABLES[case]
    (tracking.folder / "houses.csv").write_text(
        content, encoding="latin-1" if case == "not UTF-8" else "utf-8"
    )
    capsys.readouterr()
    assert train() == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert says in lines[0]
    client = mlflow.MlflowClient()
    assert [str(version.version) for version in client.search_model_versions("name = 'houses'")] == ["1"]
    assert str(client.get_model_version_by_alias("houses", "champion").version) == "1"
    place = client.get_experiment_by_name("houses").experiment_id
    run = client.search_runs([place], "attributes.status = 'FAILED'")[0]
    assert says in run.data.tags["slipway.reason"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data", "hauses.csv"], "hauses.csv: no such file, folder or match"),
        (["--target", "prize"], "has no target column 'prize': did you mean 'price'?"),
        (["--exclude", "aera"], "has no excluded column 'aera': did you mean 'area'?"),
        (["--units", "prise=EUR"], "has no unit column 'prise': did you mean 'price'?"),
        (
            ["--data", "sqlite:///no/such.db", "--query", "SELECT 1", "--name", "x"],
            "unable to open database file",
        ),
        (["--holdout", "2"], "'2' must be a share"),
        (["--strict", "true"], "column 'area' alone explains 100.0% of price: is it known when you predict?"),
        (["--monotonic", "area=up"], "must be column=+ or column=- pairs"),
        (["--time_budget", "0"], "must be seconds from 1 to 86400"),
    ],
)
@pytest.mark.usefixtures("houses")
def test_a_bad_word_is_refused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What, where, found, and the repair."""
    import mlflow

    assert train(*words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line
    assert mlflow.MlflowClient().search_registered_models() == []


@pytest.mark.parametrize("command", ["train", "check"])
def test_a_quote_that_never_closes_is_one_line(
    command: str, houses: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """800 rows became 301, and nothing looked wrong."""
    rows = [f"{row},{row * 3},note {row % 5}" for row in range(800)]
    rows[300] = '300,900,"5 inch'
    houses.write_text("\n".join(["area,price,note", *rows]) + "\n")
    assert main([command, "--data", "houses.csv", "--target", "price"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "houses.csv, line 302: the quote that opens here never closes" in line


@pytest.mark.usefixtures("houses")
def test_a_column_without_values_is_dropped_with_a_warning(
    houses: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It teaches nothing, and stops nothing."""
    pd.read_csv(houses).assign(empty=None).to_csv(houses, index=False)
    assert train() == 0
    assert "column 'empty' is left out: every value is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("http://127.0.0.1:9", "tracking at http://127.0.0.1:9 cannot be used: ConnectionError"),
        ("sqlite:////proc/mlflow.db", "tracking at sqlite:////proc/mlflow.db cannot be used"),
    ],
)
@pytest.mark.usefixtures("houses")
def test_a_tracking_store_that_takes_no_runs_is_named_at_once(
    uri: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the training, not after it; /proc takes no files, not even root's."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert train() == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line

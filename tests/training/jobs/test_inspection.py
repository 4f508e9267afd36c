"""`check` says all that is wrong with a table, writes its contract once, and holds later tables to it."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.conftest import Workspace
from training.__main__ import main


@pytest.fixture
def homes(tracking: Workspace) -> Path:
    """A usable table in the working folder."""
    random = np.random.default_rng(0)
    area = random.uniform(30.0, 200.0, 120)
    path = tracking.folder / "homes.csv"
    frame = pd.DataFrame({"area": area, "rooms": random.integers(1, 6, 120)})
    frame.assign(price=area * 30.0 + random.normal(0, 1000, 120)).to_csv(path, index=False)
    return path


def check(*words: str) -> int:
    """Run the command in this process."""
    return main(["check", "--data", "homes.csv", "--contract", "homes.yaml", *words])


def test_the_first_check_writes_the_contract_and_later_ones_hold_to_it(
    homes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is not touched again; a -999 is answered with its row, and exit code 2."""
    assert check("--target", "price", "--units", "area=m²") == 0
    written = (homes.parent / "homes.yaml").read_text(encoding="utf-8")
    assert check() == 0
    assert "homes.yaml: kept" in capsys.readouterr().out
    frame = pd.read_csv(homes)
    frame.loc[[3, 5], "area"] = -999.0
    frame.to_csv(homes, index=False)
    assert check() == 2
    assert "column 'area', rows 4, 6: -999 m² is below 0 m²" in capsys.readouterr().err
    assert (homes.parent / "homes.yaml").read_text(encoding="utf-8") == written


def test_a_training_is_held_to_the_contract_and_takes_its_units(
    homes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The contract is kept with the run; a broken one stops the training before anything is registered."""
    assert check("--target", "price", "--units", "price=EUR") == 0
    words = ["train", "--data", "homes.csv", "--target", "price", "--contract", "homes.yaml", "--trials", "2"]
    assert main(words) == 0
    client = mlflow.MlflowClient()
    (version,) = client.search_model_versions("name = 'homes'")
    assert "EUR" in version.description
    assert "promoted" not in version.description, "a later decision would leave it there: the tags say it"
    assert "contract.yaml" in [each.path for each in client.list_artifacts(version.run_id)]
    frame = pd.read_csv(homes)
    frame.assign(rooms=99).to_csv(homes, index=False)
    assert main(words) == 2
    assert "column 'rooms', rows 1, 2, 3, 4, 5 and 115 more: 99 is above" in capsys.readouterr().err
    assert len(client.search_model_versions("name = 'homes'")) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--contract", "none.yaml"],
            "none.yaml: there is no such file: write one with `mlflow run . --env-manager local -e check",
        ),
        (["--contract", "other.yaml"], "its target is 'area', asked for is 'price'"),
    ],
)
def test_a_contract_that_does_not_fit_is_refused(
    words: list[str], says: str, homes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read or fitted."""
    (homes.parent / "other.yaml").write_text(
        "columns: {area: {kind: number}}\ntarget: area\n", encoding="utf-8"
    )
    assert main(["train", "--data", "homes.csv", "--target", "price", *words]) == 2
    assert says in capsys.readouterr().err


def test_strict_makes_what_looks_wrong_an_error(homes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it, and no contract is written from such a table."""
    frame = pd.read_csv(homes)
    frame.assign(copy=frame["rooms"], cost=["$5", "€5"] * (len(frame) // 2)).to_csv(homes, index=False)
    assert main(["check", "--data", "homes.csv", "--target", "price"]) == 0
    assert "warning" in capsys.readouterr().out
    assert check("--target", "price", "--strict", "true") == 2
    said = capsys.readouterr().err
    assert "column 'copy': is the same as 'rooms' in every row" in said
    assert "numbers have currency" in said
    assert not (homes.parent / "homes.yaml").exists()


def test_what_is_advised_about_odd_numbers_makes_them_even(
    homes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning names what the command line can do, and it is gone once that was done."""
    frame = pd.read_csv(homes)
    frame["zip"] = np.random.default_rng(1).integers(10_000, 10_040, len(frame))
    frame.loc[[3, 5, 7, 9], "area"] = -999.0
    frame.to_csv(homes, index=False)
    looked = ["check", "--data", "homes.csv", "--target", "price"]
    assert main(looked) == 0
    told = capsys.readouterr().out
    assert "column 'area', rows 4, 6, 8, 10: -999 is far from all others" in told
    advised = ["--missing", told.partition("pass missing=")[2].split()[0]]
    advised += ["--read", told.partition("pass read=")[2].split()[0]]
    assert main([*looked, *advised]) == 0
    assert "nothing looks wrong" in capsys.readouterr().out

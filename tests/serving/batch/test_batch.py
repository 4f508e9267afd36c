"""Scoring a file: the same rows in the same order and a prediction, or one clear refusal and no file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.sources import open_source
from serving.batch import check_output, score_file
from serving.batch.__main__ import main
from serving.errors import BadOutput, FaultyRows
from serving.rows.cells.coercion import pack_columns
from serving.scorer.scoring import Scorer
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A boosting on the flights sample."""
    from benchmarks.models import build

    folder = tmp_path_factory.mktemp("batch")
    version = build(folder, sample="flights", target="arr_delay", family="boosting", features=FEATURES)
    return Scorer.load(version / "scorer")


FEATURES = ["month", "weekday", "hour", "dep_delay", "carrier", "origin", "dest", "distance"]


def flights(rows: int = 500) -> pd.DataFrame:
    """Flights with a note that a CSV file must quote."""
    frame = pd.read_csv(ROOT / "data" / "samples" / "flights.csv").head(rows)
    frame["note"] = [f'row {row}, "as is"' if row % 7 == 0 else "" for row in range(rows)]
    return frame


@pytest.mark.parametrize("ending_in", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("ending_out", ["csv", "parquet"])
def test_rows_and_columns_keep_their_order_and_gain_a_prediction(
    ending_in: str, ending_out: str, scorer: Scorer, tmp_path: Path
) -> None:
    """The reference is one prediction for each row packed by itself."""
    frame = flights()
    path, output = tmp_path / f"in.{ending_in}", tmp_path / f"out.{ending_out}"
    if ending_in == "csv":
        frame.to_csv(path, index=False)
    elif ending_in == "parquet":
        frame.to_parquet(path, index=False, row_group_size=77)
    else:
        frame.to_json(path, orient="records", lines=True)
    report = score_file(scorer, open_source(str(path)), output)
    written = pd.read_csv(output, keep_default_na=False) if ending_out == "csv" else pd.read_parquet(output)
    assert report.rows == len(written) == 500
    assert list(written.columns) == [*frame.columns, "prediction"]
    assert written["note"].fillna("").tolist() == frame["note"].tolist()
    np.testing.assert_array_equal(written["distance"].astype(float), frame["distance"])
    alone = [
        scorer.predict(pack_columns({name: [row[name]] for name in FEATURES}, scorer.schema).matrix)[0]
        for row in frame[FEATURES].to_dict(orient="records")
    ]
    np.testing.assert_allclose(written["prediction"].astype(float), alone, rtol=1e-12)


def test_a_missing_column_is_one_fault_and_nothing_is_written(scorer: Scorer, tmp_path: Path) -> None:
    """Not one fault for each of a million rows."""
    flights().drop(columns="dest").to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(
        FaultyRows, match=r"1 value cannot be used, nothing was written.*\n  column 'dest'"
    ) as caught:
        score_file(scorer, open_source(str(tmp_path / "in.csv")), tmp_path / "out.csv")
    assert caught.value.count == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_twenty_faults_are_shown_and_all_are_counted(scorer: Scorer, tmp_path: Path) -> None:
    """The count tells whether it is a slip or the wrong file."""
    flights(100).assign(hour="noon").to_csv(tmp_path / "in.csv", index=False)
    (tmp_path / "out.csv").write_text("the output of an earlier job\n")
    with pytest.raises(FaultyRows, match=r"100 values cannot be used[\s\S]*and 80 more") as caught:
        score_file(scorer, open_source(str(tmp_path / "in.csv")), tmp_path / "out.csv")
    assert [fault.row for fault in caught.value.faults] == list(range(1, 21))
    assert (tmp_path / "out.csv").read_text() == "the output of an earlier job\n"


def test_contributions_stand_beside_each_prediction(scorer: Scorer, tmp_path: Path) -> None:
    """A file is explained as the endpoint explains; names that the input has are numbered, ours all alike."""
    frame, output = flights(60).assign(Base="mine"), tmp_path / "out.parquet"
    frame.to_parquet(tmp_path / "in.parquet")
    score_file(scorer, open_source(str(tmp_path / "in.parquet")), output, explain=True)
    written = pd.read_parquet(output)
    added = list(written.columns[frame.shape[1] :])
    assert added == ["prediction_2", "base_2", *(f"contribution_{name}_2" for name in scorer.schema.names)]
    sums = written[added[1:]].sum(axis=1)
    np.testing.assert_allclose(sums, written["prediction_2"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_column_called_prediction_is_not_overwritten(scorer: Scorer, tmp_path: Path, ending: str) -> None:
    """It may be the only copy of somebody's figures, or a feature; ours is numbered, and that is told."""
    flights().assign(Prediction=1.0, lower_2="x").to_csv(tmp_path / "in.csv", index=False)
    output = tmp_path / f"out.{ending}"
    report = score_file(scorer, open_source(str(tmp_path / "in.csv")), output)
    assert report.names[0] == "prediction_3"
    scored = pd.read_csv(output) if ending == "csv" else pd.read_parquet(output)
    assert list(scored.columns)[-3:] == ["Prediction", "lower_2", "prediction_3"]
    assert scored["Prediction"].astype(float).eq(1.0).all()


@pytest.mark.parametrize(
    ("output", "says"), [("out.xlsx", "names no format"), ("nowhere/out.csv", "there is no folder")]
)
def test_an_output_that_cannot_be_is_refused_before_the_work(output: str, says: str, tmp_path: Path) -> None:
    """A job of an hour must not fail at its end."""
    with pytest.raises(BadOutput, match=says):
        check_output(str(tmp_path / output))


def test_an_output_that_is_the_input_is_refused_by_any_name(tmp_path: Path) -> None:
    """It may be the only copy of the rows."""
    (tmp_path / "rows.csv").write_text("x\n1\n")
    (tmp_path / "same.csv").symlink_to(tmp_path / "rows.csv")
    with pytest.raises(BadOutput, match=r"output 'same\.csv' is the input: name another file"):
        check_output(str(tmp_path / "same.csv"), read=str(tmp_path / "rows.csv"))
    check_output(str(tmp_path / "rows.csv"), read="sqlite:///rows.db")


def test_a_misspelt_parameter_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """As in training."""
    assert main(["--name", "x", "--input", "a.csv", "--output", "b.csv", "--on_falt", "null"]) == 2
    assert "unknown parameter 'on_falt': did you mean 'on_fault'?" in capsys.readouterr().err


PEAK = """
import resource, sys
from pathlib import Path
from data.sources.opening import open_source
from serving.batch import score_file
from serving.scorer.scoring import Scorer
score_file(Scorer.load(Path(sys.argv[1])), open_source(sys.argv[2]), Path(sys.argv[3]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Ten times the rows, about the same peak: blocks are read, scored and written one by one."""
    from benchmarks.models import build

    version = build(tmp_path, sample="line", target="y", family="ridge")
    peaks = []
    for rows in (300_000, 3_000_000):
        path = tmp_path / f"{rows}.csv"
        with path.open("w") as file:
            file.write("x,note\n")
            file.writelines(["1.5,some text that takes its room in memory\n"] * rows)
        words = [sys.executable, "-c", PEAK, str(version / "scorer"), str(path), str(tmp_path / "out.csv")]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
        path.unlink()
    assert peaks[1] < peaks[0] + 150, peaks

"""The circle with real parts: a training, captured rows with outcomes, the monitor, a challenger, its promotion."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from data.captures import Frame, FrameLayout, KeptRequest, Places, PredictionId, frame_id, record
from serving.scorer import Scorer
from tests.conftest import Workspace
from tests.training.retraining.villages import NAMES, houses
from training.compiling import pack_frame
from training.records import ledger, model_registry, tag_names

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Street:
    """What servers would have written."""

    def __init__(self, captures: Path, days: int = 0) -> None:
        self.captures = captures
        self.days = days

    def live(self, version: model_registry.Version, days: int, *, slope: float, broken: bool = False) -> None:
        """Let days pass: answers in the morning, outcomes in the evening."""
        layout = FrameLayout("houses", version.number, version.digest, version.schema.columns)
        frames, labels = [record(layout.head())], []
        for _ in range(days):
            moment = BEGIN + timedelta(days=self.days)
            frame = houses(60, seed=1_000 + self.days, slope=slope)
            if broken:
                frame["area"] = -999.0
            made = captured(version, frame, round(moment.timestamp() * 1_000))
            frames.append(record(made.head(), made.parts()))
            ids = [str(PredictionId(made.id, row)) for row in range(len(frame))]
            labels += [
                [each, None, None, price, None] for each, price in zip(ids, frame["price"], strict=True)
            ]
            self.days += 1
        places = Places(self.captures)
        places.frames.mkdir(parents=True, exist_ok=True)
        places.labels.mkdir(parents=True, exist_ok=True)
        (places.frames / f"until-{self.days}.frames").write_bytes(b"".join(frames))
        received = round((BEGIN + timedelta(days=self.days)).timestamp() * 1_000)
        head = {"kind": "labels", "received": received, "model": "houses", "labels": labels}
        (places.labels / f"until-{self.days}.labels").write_bytes(record(head))


def captured(version: model_registry.Version, frame: pd.DataFrame, moment: int) -> Frame:
    """One request's rows."""
    answers = Scorer.load(version.scorer_folder).predict_with_scale(pack_frame(frame[NAMES], version.schema))
    return Frame(
        id=frame_id(moment, 1),
        model="houses",
        version=version.number,
        digest=version.digest,
        milliseconds=moment,
        share=1.0,
        matrix=pack_frame(frame[NAMES], version.schema),
        predictions=answers[:, 0],
        scale=answers[:, 1],
        requests=(KeptRequest(0, 0.0),),
    )


def monitoring(captures: Path) -> list[str]:
    """The command as cron would give it."""
    command = ["monitor", "--name", "houses", "--captures", str(captures)]
    return [*command, "--independent", "true", "--retrain", "auto"]


def killed_in_training(workspace: Workspace, captures: Path) -> None:
    """Kill the monitor with SIGKILL while its training runs on."""
    with subprocess.Popen(
        [sys.executable, "-m", "training", *monitoring(captures)],
        cwd=workspace.folder,
        env=workspace.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any(line.split()[:1] == ["split"] for line in process.stdout)
        process.kill()
        process.stdout.read()  # to its end: the training has it, too


@pytest.mark.soak
@pytest.mark.timeout(900)  # two trainings and four nights: 297 s were measured beside other work
def test_a_world_that_changed_gets_a_new_champion_and_a_broken_sensor_does_not(tracking: Workspace) -> None:
    """Alarm, training, shadow, gate, ledger: by the commands alone, with what a server writes, and one kill -9."""
    workspace = tracking
    houses(1_500, seed=0, slope=2.0).to_csv("houses.csv", index=False)
    done = workspace.train("--data", "houses.csv", "--target", "price", "--time_budget", "10")
    assert done.returncode == 0, done.stderr
    champion = model_registry.champion("houses")
    assert champion is not None

    street = Street(workspace.folder / "broken")
    street.live(champion, 20, slope=2.0, broken=True)
    done = workspace.command(*monitoring(street.captures))
    assert done.returncode == 3, done.stderr + done.stdout
    assert "did not retrain, because captured rows of houses" in done.stdout
    assert "'area'" in done.stdout
    assert len(model_registry.versions("houses")) == 1

    street = Street(workspace.folder / "mended", days=street.days)
    street.live(champion, 12, slope=3.0)
    killed_in_training(workspace, street.captures)
    done = workspace.command(*monitoring(street.captures))
    assert done.returncode == 3, done.stderr + done.stdout
    assert "challenger houses version 2" in done.stdout, done.stdout
    assert "did not retrain, because challenger version 2 is still being judged" in done.stdout
    assert "split" not in done.stdout, "it was trained by the one that was left"
    challenger = model_registry.challenger("houses")
    assert challenger is not None
    assert challenger.number == "2"
    assert "the alarm" in challenger.tags[tag_names.CAUSE]

    street.live(champion, 10, slope=3.0)
    done = workspace.command(*monitoring(street.captures))
    assert "version 2 beside 1: better" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, "the alarm went with the version that it was about"
    assert [version.number for version in model_registry.versions("houses")] == ["1", "2"]
    assert model_registry.champion("houses").number == "2"
    assert model_registry.challenger("houses") is None
    entry = ledger.read("houses").entries[-1]
    assert (entry.kind, entry.to_version) == ("promotion", "2")
    assert mlflow.get_run(entry.evidence).data.tags["mlflow.runName"] == "monitor houses"
    assert "the server in 7 formats and stock MLflow" in str(
        mlflow.artifacts.load_dict(f"runs:/{entry.evidence}/shadow/version_2/evidence.json")
    )

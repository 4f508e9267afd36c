"""Where runs are kept: with their model where nobody named an experiment, and nothing in Default of what only read."""

from __future__ import annotations

import mlflow
import pytest
from mlflow.entities import Run, ViewType

from serving.registry import given_run
from tests.conftest import Workspace
from training.__main__ import main
from training.commands.registered import HistoryConfig, PromoteConfig
from training.records import tracking as module
from training.records.errors import ExperimentDeleted

JUNK = "gaudy-robin-984"


@pytest.fixture
def given(tracking: Workspace, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run that `mlflow run` opens before a command begins, in Default, and what it hands over."""
    tags = {"mlflow.source.name": "slipway", "mlflow.project.entryPoint": "main"}
    run = mlflow.MlflowClient().create_run("0", run_name=JUNK, tags=tags)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    return run


def runs_of(experiment: str, *, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """The runs that MLflow's UI shows of an experiment."""
    client = mlflow.MlflowClient()
    return list(
        client.search_runs([client.get_experiment_by_name(experiment).experiment_id], run_view_type=view)
    )


def shown(experiment: str, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that are left once a later command has come by."""
    monkeypatch.setattr(given_run, "PATIENCE_MS", -1000)
    given_run.delete_empty(mlflow.MlflowClient())
    return runs_of(experiment)


def again(run: Run) -> Run:
    """The same run as it is now."""
    return mlflow.MlflowClient().get_run(run.info.run_id)


def test_a_training_that_mlflow_run_started_is_kept_under_its_models_name(
    given: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mlflow run` cannot be told where; the run that it opened says where to look, and is out of the way."""
    with module.open_run("houses", "train houses") as run:
        run.log_config({"data": "houses.csv"})
        run.log_nested("ridge", metrics={"cv_rmse": 1.0}, params={})
    child, ours = sorted(runs_of("houses"), key=lambda each: "mlflow.parentRunId" not in each.data.tags)
    assert (ours.info.status, ours.info.run_name, ours.data.params) == (
        "FINISHED",
        "train houses",
        {"data": "houses.csv"},
    )
    assert child.data.tags["mlflow.parentRunId"] == ours.info.run_id
    assert ours.data.tags["mlflow.project.entryPoint"] == "main"
    assert shown("Default", monkeypatch) == []
    pointer = again(given)
    assert (pointer.info.status, pointer.data.tags["slipway.run"]) == ("FINISHED", ours.info.run_id)


def test_a_training_that_fails_leaves_one_failed_run(given: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason, under its model's name; neither of the two stays RUNNING."""
    with pytest.raises(ValueError, match="no such"), module.open_run("houses", "train houses"):
        raise ValueError("no such thing")
    (ours,) = runs_of("houses")
    assert (ours.info.status, ours.data.tags["slipway.reason"]) == ("FAILED", "no such thing")
    assert again(given).info.status == "FAILED"
    assert shown("Default", monkeypatch) == []


def test_an_experiment_that_somebody_named_keeps_the_run_that_mlflow_opened(
    tracking: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--experiment-name`: one run, in it, with the parameters that MLflow has logged."""
    place = mlflow.create_experiment("mine")
    run = mlflow.MlflowClient().create_run(place, run_name=JUNK)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    with module.open_run("houses", "train houses") as ours:
        ours.log_config({"data": "x"})
    assert ours.run_id == run.info.run_id
    assert again(run).data.params == {}
    assert mlflow.get_experiment_by_name("houses") is None


@pytest.mark.usefixtures("tracking")
def test_a_training_of_its_own_obeys_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m training` reads what MLflow reads."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "nightly")
    with module.open_run("houses", "train houses"):
        pass
    assert [run.info.run_name for run in runs_of("nightly")] == ["train houses"]


@pytest.mark.usefixtures("tracking")
def test_a_deleted_experiment_is_one_line() -> None:
    """Its name is taken until it is restored or removed for good."""
    place = mlflow.create_experiment("houses")
    mlflow.delete_experiment(place)
    said = f"restore --experiment-id {place}"
    with pytest.raises(ExperimentDeleted, match=said), module.open_run("houses", "train houses"):
        pass


def test_a_check_leaves_no_run(given: Run, tracking: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It only reads; what it found stands in the terminal."""
    rows = "\n".join(f"{row},{row * row}" for row in range(80))
    (tracking.folder / "messy.csv").write_text(f"a,b\n{rows}\n")
    assert main(["check", "--data", "messy.csv"]) == 0
    assert shown("Default", monkeypatch) == []
    assert again(given).info.run_name == "check messy.csv"


def test_a_run_that_has_just_ended_is_left_to_mlflow_run(given: Run) -> None:
    """It writes the status once more, and fails on a run that is deleted."""
    given_run.done("history houses")
    given_run.delete_empty(mlflow.MlflowClient())
    assert [run.info.run_name for run in runs_of("Default")] == ["history houses"]
    mlflow.MlflowClient().set_terminated(given.info.run_id, "FINISHED")


def test_runs_whose_command_never_began_are_closed(given: Run) -> None:
    """`mlflow run` without conda leaves one RUNNING for ever; what may be at work, or is another project's, stays."""
    client, now = mlflow.MlflowClient(), given.info.start_time
    ours, long_ago = dict(given.data.tags), now - 2 * 3_600_000

    def opened(start: int, tags: dict[str, str]) -> Run:
        return client.create_run("0", start_time=start, tags=tags)

    never = opened(long_ago, ours)
    others = [
        opened(now - 60_000, ours),
        opened(long_ago, ours | {"slipway.job": "score all.csv by houses"}),
        opened(long_ago, ours | {"mlflow.source.name": "another project"}),
        opened(long_ago, {"mlflow.source.name": "slipway"}),
    ]
    given_run.began("check houses.csv")
    assert again(never).info.status == "FAILED"
    assert "never began" in again(never).data.tags["slipway.reason"]
    assert [again(run).info.status for run in others] == ["RUNNING"] * 4
    assert again(given).info.run_name == "check houses.csv"


def test_a_check_that_was_refused_is_named_with_its_reason(
    given: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the UI, too, a person sees what was asked for and why nothing came of it."""
    assert main(["check", "--data", "mesy.csv"]) == 2
    capsys.readouterr()
    (run,) = runs_of("Default")
    assert run.info.run_name == run.data.tags["slipway.job"] == "check mesy.csv"
    assert "mesy.csv: no such file" in run.data.tags["slipway.reason"]


def test_a_reader_in_an_experiment_that_somebody_named_stays(
    tracking: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names a place wants a record."""
    run = mlflow.MlflowClient().create_run(mlflow.create_experiment("mine"), run_name=JUNK)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    given_run.done("history houses")
    assert [(each.info.run_name, each.info.status) for each in runs_of("mine")] == [
        ("history houses", "FINISHED")
    ]


def test_a_mistyped_path_makes_no_experiment(tracking: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The name comes from the file: each typing error would be an entry in the list of experiments."""
    assert main(["train", "--data", "hauses.csv", "--target", "price"]) == 2
    assert "hauses.csv: no such file" in capsys.readouterr().err
    assert mlflow.get_experiment_by_name("hauses") is None


@pytest.mark.parametrize(
    "path", ["/a/o'hara houses/h.csv", "it's o'hara.csv", "plain.csv", "", "two words.csv"]
)
@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.usefixtures("tracking")
def test_recorded_parameters_are_read_back(path: str, quoted: bool) -> None:
    """`mlflow run` quotes them for the shell, our own runs do not."""
    import shlex

    with module.open_run("houses", "train houses") as run:
        run.log_config({"data": shlex.quote(path) if quoted else path})
    assert module.recorded_params(run.run_id)["data"] == path


@pytest.mark.usefixtures("tracking")
def test_what_a_name_had_decided_is_read_from_the_recorded_command() -> None:
    """In an experiment that somebody named MLflow logs that nothing was said, and no parameter changes."""
    with module.open_run("houses", "train houses") as run:
        run.log_config({"header": "", "data": "h.csv"})
        run.log(tags=module.source_tags({"data": "h.csv", "header": "none", "split": "hash"}))
    assert module.recorded_params(run.run_id) == {"data": "h.csv", "header": "none"}


def test_jobs_in_words() -> None:
    """As a run is named."""
    assert HistoryConfig("houses").job == "history houses"
    assert PromoteConfig("houses", "3", dry_run=True).job == "promote houses 3 (dry run)"

"""MLflow's own UI shows what its address says, in a real browser: the form of its views is no public interface."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from serving.running import await_port, free_port, started
from tests.conftest import Workspace
from tests.end_to_end.browser import CHROMIUM
from training.records.runs import views
from training.records.tracking import open_run


class Texts(HTMLParser):
    """The texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        """Keep one."""
        self.found.append(data.strip())


@pytest.fixture
def ui(tracking: Workspace) -> Iterator[str]:
    """The address of MLflow's UI on a training with two candidates."""
    with open_run("houses", "train houses") as run:
        run.log_nested("ridge", metrics={"cv_rmse": 17.5, "fit_seconds": 1.0}, params={"family": "ridge"})
        run.log_nested("forest", metrics={"cv_rmse": 18.5, "fit_seconds": 9.0}, params={"family": "forest"})
        figures = {"holdout_rmse": 16.25, "cv_rmse": 17.5, "interval_coverage_90": 0.91}
        run.log(metrics=figures, params={"family": "ridge"}, tags={"slipway.decision": "promoted"})
    port = free_port()
    words = ["server", "--backend-store-uri", tracking.uri, "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", *words]
    with started(command, cwd=tracking.folder, start_new_session=True):
        await_port(port, 180)
        yield f"http://127.0.0.1:{port}/{views.page_of(run.experiment_id)}"


def texts_at(address: str, folder: Path) -> list[str]:
    """Return the texts that a browser shows once the page has had half a minute of its time."""
    assert CHROMIUM
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=2000,900",
        "--virtual-time-budget=30000",
    ]
    done = subprocess.run(
        [CHROMIUM, *words, f"--user-data-dir={folder}", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=400,
        check=True,
    )
    return Texts(done.stdout).found


@pytest.mark.soak
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_the_address_of_a_training_opens_on_its_figures(ui: str, tmp_path: Path) -> None:
    """The table opened without a single metric; candidates are folded there, and charted in a view of their own."""
    runs = texts_at(ui, tmp_path / "runs")
    assert {"holdout_rmse", "cv_rmse", "interval_coverage_90", "family", "slipway.decision"} <= set(runs)
    assert {"16.25", "17.5", "0.91", "ridge", "promoted", views.RUNS.name} <= set(runs)
    assert "forest" not in runs
    charts = ui.replace(views.RUNS.key, views.CANDIDATES.key) + "&compareRunsMode=CHART"
    shown = set(texts_at(charts, tmp_path / "charts"))
    assert {"ridge", "forest", views.CANDIDATES.name} <= shown
    assert "Candidates" in shown, "the section of our charts"

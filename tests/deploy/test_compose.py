"""The compose file of a team's MLflow: its parts name each other; `tests/team.py` starts its server's own words."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT
from tests.team import COMPOSE, composed

VALUES = {name: name.lower() for name in re.findall(r"\$\{(\w+):\?", COMPOSE.read_text())}


def test_passwords_are_made_once_for_all_that_the_file_asks_for(tmp_path: Path) -> None:
    """A second call must keep them: the database has the first ones. Nobody else can read them."""
    shutil.copy(COMPOSE.with_name("passwords"), tmp_path)
    for _ in range(2):
        subprocess.run([tmp_path / "passwords"], check=True, capture_output=True)
    made = dict(line.split("=") for line in (tmp_path / ".env").read_text().splitlines())
    assert set(made) == set(VALUES)
    assert len({*made.values()}) == len(made)
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in made.values())
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    ignored = subprocess.run(
        ["git", "check-ignore", "deploy/team/.env"], cwd=ROOT, capture_output=True, check=False
    )
    assert ignored.returncode == 0, ignored.stderr


def test_the_parts_name_each_other() -> None:
    """A host, a database, a key or a file under another name is a stack that never gets healthy."""
    assert (
        re.findall(r"\$\{\w+\}", COMPOSE.read_text()) == []
    )  # a password that is not set would be an empty one
    said = composed(**VALUES)
    services, configs = said["services"], said["configs"]
    for name, service in services.items():
        assert set(service.get("depends_on", [])) <= set(services), name
        assert {each["source"] for each in service.get("configs", [])} <= set(configs), name
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in said["volumes"], name
        assert "latest" not in service["image"]
        assert ":" in service["image"]
    text = json.dumps(said)
    assert set(re.findall(r"@(\w+)/", text)) == {"database"}
    assert set(re.findall(r"http://(\w+):8333", text)) == {"files"}
    (identity,) = json.loads(configs["keys"]["content"])["identities"]
    environment = services["mlflow"]["environment"]
    assert identity["credentials"] == [
        {"accessKey": environment["AWS_ACCESS_KEY_ID"], "secretKey": environment["AWS_SECRET_ACCESS_KEY"]}
    ]
    assert services["bucket"]["environment"] == environment
    assert environment["MLFLOW_AUTH_CONFIG_PATH"] == services["mlflow"]["configs"][0]["target"]
    user = services["database"]["environment"]["POSTGRES_USER"]
    assert f"OWNER {user};" in configs["users"]["content"]
    assert all(port.startswith("127.0.0.1:") for port in services["mlflow"]["ports"])


def test_an_image_has_one_name_in_the_makefile_and_here() -> None:
    """`make team` builds what compose looks for."""
    made = subprocess.run(
        ["make", "--dry-run", "team", "VENV=/nowhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"MAKEFLAGS": ""},
    )
    assert composed(**VALUES)["services"]["mlflow"]["image"] in made.stdout, made.stderr

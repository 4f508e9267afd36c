"""A team's MLflow: its server with users, who may read, train or promote, on a database of its own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from serving.running import await_port, free_port

ADMIN = "admin"


@dataclass
class Team:
    """The server, and everybody's password."""

    port: int
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, user: str) -> dict[str, str]:
        """What a command of a user's gets."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": self.passwords[user],
        }

    def ask(self, path: str, content: dict[str, Any], version: str = "2.0") -> None:
        """Ask the server as its administrator."""
        asked = requests.post(
            f"{self.uri}/api/{version}/mlflow/{path}",
            json=content,
            auth=(ADMIN, self.passwords[ADMIN]),
            timeout=60,
        )
        asked.raise_for_status()

    def add(self, user: str) -> None:
        """Make a user, who may read."""
        self.passwords[user] = secrets.token_urlsafe(16)
        self.ask("users/create", {"username": user, "password": self.passwords[user]})

    def allow(self, user: str, permission: str, *, model: str, experiments: list[str]) -> None:
        """Let a user do more with a model and experiments."""
        places = [("registered_model", model), *(("experiment", each) for each in experiments)]
        for kind, place in places:
            told = {"username": user, "resource_type": kind, "resource_id": place, "permission": permission}
            self.ask("users/permissions/grant", told, version="3.0")


@contextmanager
def team(folder: Path, database: str, users: str) -> Iterator[Team]:
    """Run the server until the block ends; its artifacts lie in the folder, and go through it."""
    config, port = folder / "auth.ini", free_port()
    result = Team(port, {ADMIN: secrets.token_urlsafe(16)})
    config.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {users}\nadmin_username = {ADMIN}\n"
        f"admin_password = {result.passwords[ADMIN]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    config.chmod(0o600)
    words = ["--backend-store-uri", database, "--artifacts-destination", str(folder / "files")]
    environment = {
        **os.environ,
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(32),
    }
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *words]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--app-name", "basic-auth"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await_port(port, 200)
        yield result
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

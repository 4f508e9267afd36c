"""A team's MLflow as `deploy/team/compose.yaml` has it, its parts started without containers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy
import yaml
from werkzeug.security import generate_password_hash

from deploy.team.users import ADMIN, Server
from serving.running import free_port
from tests.conftest import ROOT
from tests.seaweed import KEY, SECRET, Seaweed
from tests.tracking_server import TrackingServer, running

PASSWORD = "a-password-of-the-tests"
COMPOSE = ROOT / "deploy" / "team" / "compose.yaml"


@dataclass
class Team(TrackingServer):
    """The server, and everybody's password."""

    users: str = ""
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def administered(self) -> Server:
        """It, asked as its administrator."""
        return Server(self.uri, self.passwords[ADMIN])

    def environment(self, user: str) -> dict[str, str]:
        """What a command of a user's gets."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": self.passwords[user],
        }

    def add(self, user: str) -> None:
        """Make a user, who may read."""
        self.passwords[user] = self.administered.add(user)
        self.hash_quickly(user)

    def hash_quickly(self, user: str) -> None:
        """Keep a password under a hash that costs nothing: MLflow compares it at each of a training's 200 requests."""
        hashed = generate_password_hash(self.passwords[user], "pbkdf2:sha256:1")
        engine = sqlalchemy.create_engine(self.users)
        with engine.begin() as connection:
            words = "UPDATE users SET password_hash = :hashed WHERE username = :user"
            changed = connection.execute(sqlalchemy.text(words), {"hashed": hashed, "user": user})
            assert changed.rowcount == 1
        engine.dispose()


def composed(**values: str) -> dict[str, Any]:
    """Return what the compose file says with its variables put in, as `docker compose` does."""

    def value(match: re.Match[str]) -> str:
        name, kind, otherwise = match.groups()
        return otherwise if kind == ":-" else values[name]

    text = re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, COMPOSE.read_text())
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@contextmanager
def team(folder: Path, database: str, users: str, buckets: Seaweed) -> Iterator[Team]:
    """Run the compose file's server until the block ends, on other ports, databases and an other S3 server."""
    said = composed(
        DATABASE_PASSWORD="x",
        BUCKET_SECRET=SECRET,
        SESSION_SECRET="a session of the tests",
        ADMIN_PASSWORD=PASSWORD,
    )
    server, made = said["services"]["mlflow"], free_port()
    here = {
        "postgresql+psycopg://mlflow:x@database/runs": database,
        "postgresql+psycopg://mlflow:x@database/users": users,
        "http://files:8333": buckets.environment["MLFLOW_S3_ENDPOINT_URL"],
        "/etc/mlflow/auth.ini": str(folder / "auth.ini"),
    }

    def placed(text: str) -> str:
        for theirs, ours in here.items():
            text = text.replace(theirs, ours)
        return text

    (folder / "auth.ini").write_text(placed(said["configs"]["auth"]["content"]))
    settings = {name: placed(text) for name, text in server["environment"].items()}
    settings |= {"AWS_ACCESS_KEY_ID": KEY, "HOME": str(folder)}
    once = said["services"]["bucket"]["entrypoint"]
    subprocess.run([sys.executable, *once[1:]], env=settings, check=True, timeout=100)
    others = ("--host", "--port", "--workers")
    words = [placed(word) for word in server["command"] if not word.startswith(others)]
    found = Team(folder, made, store=words, settings=settings, users=users, passwords={ADMIN: PASSWORD})
    with running(found) as started:
        started.hash_quickly(ADMIN)
        yield started

"""Add people to a team's MLflow, and say what they may do.

    export MLFLOW_TRACKING_URI=http://127.0.0.1:5000 ADMIN_PASSWORD=...
    python deploy/team/users.py add trainer
    python deploy/team/users.py allow promoter MANAGE flights

Who is added may read everything; a password is made and printed once. `allow` is for a model, with the experiments of
its runs, of its ledger and of its monitor, as far as these are there: it is to be said again after the first training.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests

ADMIN = "admin"
EXPERIMENTS = ("{}", "slipway ledger: {}", "slipway monitor: {}")


@dataclass(frozen=True)
class Server:
    """MLflow's server, asked as its administrator."""

    uri: str
    password: str

    def ask(self, path: str, content: dict[str, Any], version: str = "2.0") -> dict[str, Any]:
        """Return what the server answers; raises requests.HTTPError."""
        address = f"{self.uri}/api/{version}/mlflow/{path}"
        asked = requests.post(address, json=content, auth=(ADMIN, self.password), timeout=60)
        asked.raise_for_status()
        said: dict[str, Any] = json.loads(asked.content or b"{}")
        return said

    def add(self, user: str) -> str:
        """Make a user, who may read; return the password."""
        password = secrets.token_urlsafe(16)
        self.ask("users/create", {"username": user, "password": password})
        return password

    def allow(self, user: str, permission: str, model: str) -> list[str]:
        """Let a user do more with a model and its experiments; return what that is."""
        found = self.ask("experiments/search", {"max_results": 1000})["experiments"]
        names = [form.format(model) for form in EXPERIMENTS]
        places = [("registered_model", model, model)]
        places += [
            ("experiment", each["experiment_id"], each["name"]) for each in found if each["name"] in names
        ]
        for kind, place, _ in places:
            told = {"username": user, "resource_type": kind, "resource_id": place, "permission": permission}
            self.ask("users/permissions/grant", told, version="3.0")
        return [f"{kind} {name}" for kind, _, name in places]


def main(words: Sequence[str]) -> int:
    """Do what the words say; what goes wrong is one line, and 2."""
    unset = [name for name in ("MLFLOW_TRACKING_URI", "ADMIN_PASSWORD") if not os.environ.get(name)]
    if unset:
        sys.stderr.write(
            f"users: {' and '.join(unset)} must be set, to the server's address and its admin's password\n"
        )
        return 2
    server = Server(os.environ["MLFLOW_TRACKING_URI"].rstrip("/"), os.environ["ADMIN_PASSWORD"])
    try:
        return _done(server, list(words))
    except requests.HTTPError as error:
        sys.stderr.write(
            f"users: {server.uri} says {error.response.status_code}: {_reason(error.response)}\n"
        )
    except requests.RequestException as error:
        sys.stderr.write(
            f"users: {server.uri} does not answer ({type(error).__name__}): is it MLflow's address?\n"
        )
    return 2


def _reason(answer: requests.Response) -> str:
    """Return MLflow's own words, on one line."""
    if answer.status_code == requests.codes.unauthorized:
        return "ADMIN_PASSWORD is not the admin's password"
    try:
        words = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        words = answer.reason
    return " ".join(words.split())[:200]


def _done(server: Server, words: list[str]) -> int:
    match words:
        case ["add", user]:
            said = f"{user} {server.add(user)}"
        case ["allow", user, permission, model]:
            said = f"{user} may {permission}: {', '.join(server.allow(user, permission, model))}"
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Values, requests and clients held against a server's OpenAPI document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SETTINGS = {
    "post_hooks": [],
    "content_type_overrides": dict.fromkeys(
        ("text/csv", "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"),
        "application/octet-stream",
    ),
}
"""The generator knows no type of file but octet-stream."""


def run_schemathesis(place: str, *options: str, folder: Path, examples: int = 50) -> str:
    """Make right and wrong requests from a document, hold the answers against it, and return what was said."""
    command = [SCHEMATHESIS, "run", place, "--checks", CHECKS, "--seed", "1", *options, "--no-color"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", str(examples)]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def check(value: Any, name: str, document: dict[str, Any]) -> None:
    """Hold a value against one of a document's schemas; raises where it does not fit."""
    jsonschema.validate(value, {"$ref": f"#/components/schemas/{name}", "components": document["components"]})


def generate(tools: Path, document: dict[str, Any], folder: Path) -> None:
    """Validate a document and make a client of it; nothing in it may be dropped or warned of."""
    file, settings = folder / "openapi.json", folder / "settings.json"
    file.write_text(json.dumps(document))
    settings.write_text(json.dumps(SETTINGS))
    options = ["--config", settings, "--meta", "none", "--output-path", folder / "generated"]
    for command in (
        [tools / "openapi-spec-validator", file],
        [tools / "openapi-python-client", "generate", "--fail-on-warning", "--path", file, *options],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        said = done.stdout + done.stderr
        assert (done.returncode, "warning" in said.lower()) == (0, False), said
    made = {path.stem for path in (folder / "generated" / "api" / "default").glob("*.py")} - {"__init__"}
    operations = [
        each for path in document["paths"].values() for each in path.values() if "responses" in each
    ]
    assert made == {each["operationId"] for each in operations}

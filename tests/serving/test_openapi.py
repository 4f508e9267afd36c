"""The OpenAPI document against the server that gives it out."""

import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.parametrize("model", ["flights", "line"])
def test_generated_requests_find_no_failure_and_no_undocumented_answer(start, request, model, tmp_path):
    """Schemathesis makes right and wrong requests from the document alone."""
    with start("--model", str(request.getfixturevalue(model))) as served:
        command = [SCHEMATHESIS, "run", served.url + "/openapi.json", "--checks", CHECKS, "--seed", "1"]
        command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "100", "--no-color"]
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout[-5000:]
        assert "15 selected / 15 total" in done.stdout
        assert served.call("/readyz")[0] == 200


def test_the_examples_fit_and_score(server, golden):
    """The document's rows are golden ones, valid by its own schema."""
    document = server.call("/openapi.json")[1]
    content = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    assert set(content) > {"application/json", "text/csv"}
    variant = content["application/json"]["schema"]["oneOf"][0]
    (example,) = variant["properties"]["dataframe_records"]["examples"]
    row = document["components"]["schemas"]["Row"]
    assert row["properties"]["distance"]["description"].endswith("training saw 80 to 4983")
    for record in example:
        jsonschema.validate(record, row)
    status, answer, _ = server.call("/invocations", {"dataframe_records": example})
    assert (status, answer["predictions"]) == (200, [case["prediction"] for case in golden[:2]])

"""How a command ends that fails: one line, a reason for its run, an exit code, and a traceback only where it helps."""

from __future__ import annotations

import sqlite3

import pytest
import requests
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError
from mlflow.exceptions import MlflowException, get_error_code

from data.errors import EmptySource
from training.console.failures import failure_of
from training.errors import Terminated, UsageError

LOG = "the details are in slipway.log"


def caused_by(cause: Exception) -> Exception:
    """MLflow's own error, with what its database said behind it."""
    error = RuntimeError("(sqlite3.OperationalError) and three lines of SQL")
    error.__cause__ = cause
    return error


def answered(status: int, endpoint: str) -> Exception:
    """MLflow's error for what its server with users refuses."""
    words = f"API request to endpoint /api/2.0/mlflow/{endpoint} failed with error code {status} != 200."
    return MlflowException(words, error_code=get_error_code(status))


def denied_download(status: int) -> Exception:
    """The HTTP client's error where the server does not send a version's files to this user."""
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} Client Error for url: http://h/artifacts", response=response)


def full_bucket() -> Exception:
    """The error of boto3 where MLflow's client writes into a full bucket itself."""
    error = S3UploadFailedError("Failed to upload f to b/f: An error occurred")
    answer = {"Error": {"Code": "InsufficientStorage"}, "ResponseMetadata": {"HTTPStatusCode": 507}}
    error.__context__ = ClientError(answer, "PutObject")
    return error


@pytest.mark.parametrize(
    ("error", "code", "says", "is_for_log"),
    [
        (EmptySource(where="h.csv"), 2, "slipway: h.csv: has no rows", False),
        (UsageError(message="key goes with split=hash"), 2, "slipway: key goes with split=hash", False),
        (PermissionError(13, "Permission denied", "r.json"), 2, "slipway: r.json cannot be used: Per", False),
        (OSError("no space"), 2, "slipway: a file cannot be used: no space", False),
        (
            caused_by(sqlite3.OperationalError("database is locked\nSELECT 1")),
            2,
            f"slipway: tracking or registry cannot be used: database is locked: {LOG}",
            True,
        ),
        (
            answered(403, "registered-models/alias"),
            2,
            "slipway: MLflow does not let this user ask /api/2.0/mlflow/registered-models/alias: training takes",
            False,
        ),
        (
            answered(401, "runs/create"),
            2,
            "slipway: MLflow does not know this user: set MLFLOW_TRACKING_USER",
            False,
        ),
        (denied_download(403), 2, "slipway: MLflow does not let this user ask this: training takes", False),
        (denied_download(401), 2, "slipway: MLflow does not know this user: set MLFLOW_TRACKING_USER", False),
        (caused_by(denied_download(403)), 2, "slipway: MLflow does not let this user ask this", False),
        (
            full_bucket(),
            2,
            f"slipway: tracking or registry cannot be used: the bucket answers 507 (InsufficientStorage): {LOG}",
            True,
        ),
        (ZeroDivisionError("x"), 1, f"internal error (ZeroDivisionError): {LOG}", True),
        (KeyboardInterrupt(), 130, "interrupted: nothing was registered", False),
        (Terminated(), 130, "interrupted: nothing was registered", False),
    ],
)
def test_each_error_has_its_line_and_its_code(
    error: BaseException, code: int, says: str, is_for_log: bool
) -> None:
    """Who is sent to the log finds something there, and nobody else is."""
    failure = failure_of(error)
    assert (failure.code, failure.is_for_log) == (code, is_for_log)
    assert failure.line.startswith(says)
    assert failure.line.count("\n") == 0
    assert is_for_log == (LOG in failure.line)


def test_a_fault_of_ours_while_a_denial_is_handled_is_not_told_as_the_denial() -> None:
    """Its traceback is what somebody needs to mend it."""
    try:
        try:
            raise answered(403, "registered-models/get")
        except MlflowException:
            {}["name"]
    except KeyError as error:
        failure = failure_of(error)
    assert (failure.code, failure.is_for_log) == (1, True)
    assert failure.line.startswith("internal error (KeyError)")


def test_a_password_is_in_neither_line_nor_reason() -> None:
    """A driver quotes the address that it was given."""
    failure = failure_of(OSError("cannot reach postgresql://me:secret@host/db"))
    assert "secret" not in failure.line + failure.reason

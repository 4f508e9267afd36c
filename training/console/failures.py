"""What is said where a command fails: one line, a reason for its run, and an exit code. It prints nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from data.errors import DataError
from data.redaction import addresses_around, redact
from training.console.startup import LOG_FILE
from training.errors import TrainingError

OURS, MENDABLE, INTERRUPTED = 1, 2, 130
"""Exit codes: we have to mend it, the user can, somebody stopped it."""

CLIENTS, OF_BUCKETS = ("requests", "urllib3"), ("botocore", "boto3")
"""By which MLflow asks its server, and a bucket that it asks itself."""

FORBIDDEN, UNKNOWN = DENIALS = ("PERMISSION_DENIED", "UNAUTHENTICATED")
"""What a tracking server with users answers to one who may not, and to one whom it does not know."""

STATUSES = {403: FORBIDDEN, 401: UNKNOWN}
"""The same where it sends files: the error is then that of the HTTP client."""

STATUS = re.compile(r"too many (5\d\d) error responses")
"""How urllib3 says that a server answered with an error each time."""

DATABASES = ("sqlite3", "sqlalchemy", "psycopg", "psycopg2")


@dataclass(frozen=True)
class Failure:
    """How a command ended.

    Attributes
    ----------
    line : str
        For standard error.
    reason : str
        For the run that `mlflow run` opened.
    is_for_log : bool
        Whether the log has to say where it happened.
    """

    code: int
    line: str
    reason: str
    is_for_log: bool = False


def refusal(reason: str, *, code: int = MENDABLE, is_for_log: bool = False) -> Failure:
    """Return the failure of a command that was refused; the line holds no password."""
    shown = redact(reason, *addresses_around())
    return Failure(code, f"slipway: {shown}", shown, is_for_log)


def failure_of(error: BaseException) -> Failure:
    """Return what to say of an error that ended a command."""
    if isinstance(error, KeyboardInterrupt):
        return Failure(INTERRUPTED, "interrupted: nothing was registered after this line", "interrupted")
    if said := str(error) if isinstance(error, DataError | TrainingError) else _denied_by(error):
        return refusal(said)
    if why := refused_by(error):
        return refusal(
            f"tracking or registry cannot be used: {why}: the details are in {LOG_FILE}", is_for_log=True
        )
    if isinstance(error, OSError):
        return refusal(f"{error.filename or 'a file'} cannot be used: {error.strerror or error}")
    if broken := database_fault(error):
        reason = f"tracking or registry cannot be used: {broken}: the details are in {LOG_FILE}"
        return refusal(reason, is_for_log=True)
    reason = f"internal error ({type(error).__name__})"
    return Failure(OURS, f"{reason}: the details are in {LOG_FILE}", reason, is_for_log=True)


def is_of_tracking(error: BaseException) -> bool:
    """Return whether MLflow's server or database is what failed: another time it may answer."""
    return bool(refused_by(error) or database_fault(error))


def denial_of(error: BaseException) -> str:
    """Return which of `DENIALS` an error is, nothing for any other."""
    code = getattr(error, "error_code", "")
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return str(code) if code in DENIALS else STATUSES.get(status, "")


def _denied_by(error: BaseException | None) -> str:
    """Return what MLflow's server does not let this user do, and who can mend it; nothing where it is not that."""
    while error is not None:
        what = next(iter(re.findall(r"endpoint (\S+)", str(error))), "this")
        if denial_of(error) == FORBIDDEN:
            return f"MLflow does not let this user ask {what}: training takes the permission EDIT, promoting MANAGE"
        if denial_of(error) == UNKNOWN:
            return "MLflow does not know this user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        error = error.__cause__  # what was only being handled may have nothing to do with it
    return ""


def refused_by(error: BaseException | None) -> str:
    """Return what a tracking server or a bucket did in place of an answer; nothing where that is not what failed."""
    while error is not None:
        if type(error).__module__.partition(".")[0] in OF_BUCKETS:
            return _bucket_fault(error)
        if type(error).__module__.partition(".")[0] in CLIENTS:
            if status := STATUS.search(str(error)):
                return f"the server answers {status[1]}, its database or its files may be down, or full"
            return f"the server did not answer ({type(error).__name__})"
        error = error.__cause__ or error.__context__
    return ""


def _bucket_fault(error: BaseException) -> str:
    """Return what a bucket said, by status and code where it answered; its client's errors come in one another."""
    said = f"the bucket cannot be used ({type(error).__name__})"
    cause: BaseException | None = error
    while cause is not None:
        answer = getattr(cause, "response", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", "an error")
            return f"the bucket answers {status} ({answer.get('Error', {}).get('Code', 'unknown')})"
        cause = cause.__cause__ or cause.__context__
    return said


def database_fault(error: BaseException | None) -> str:
    """Return what MLflow's database said, where that is behind an error of MLflow's; nothing elsewhere."""
    while error is not None:
        if type(error).__module__.partition(".")[0] in DATABASES:
            return str(error).splitlines()[0] if str(error) else type(error).__name__
        error = error.__cause__ or error.__context__
    return ""

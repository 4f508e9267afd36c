"""A process that runs one MLflow model of any kind, for a front that speaks HTTP and gRPC.

Started as `python -m serving.runtimes.model_processes.pyfunc_process FD`. It loads the model with MLflow's own
`pyfunc.load_model`, which may run code of the model's: that is the operator's choice. Requests come
in batches, in MLflow's own formats, and are read by MLflow's own parser under the model's signature.

Where the operator says that the model works row by row, requests of one form go into one `predict`. A joint
call that fails is done again request by request, so that a bad one spoils no other.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from io import BytesIO, StringIO
from typing import Any, NamedTuple

import numpy as np
import orjson

from data.redaction import addresses_around, log_to, redact
from serving.rows import media
from serving.runtimes.model_processes.frames import frame, read_frame
from serving.runtimes.model_processes.joint_calls import Parsed, RefusedRequest, joined, parse, parts

QUOTED = re.compile(r" of (?:data )?([`']).*\1 with", re.DOTALL)
"""What a request held, in MLflow's words about it."""

logger = logging.getLogger(__package__)


class Request(NamedTuple):
    """One request: its Content-Type and its body."""

    kind: str
    body: bytes


class Response(NamedTuple):
    """One answer: an HTTP status, a JSON body, and how many rows it is about."""

    status: int
    body: bytes
    rows: int = 0


class Runner:
    """The loaded model."""

    def __init__(self, folder: str, *, most_rows: int, joins: bool = False) -> None:
        import mlflow  # noqa: PLC0415 - of this process alone
        from mlflow.pyfunc import scoring_server  # noqa: PLC0415

        self._server = scoring_server
        self._errors = mlflow.exceptions.MlflowException
        self._model = mlflow.pyfunc.load_model(folder)
        self._schema = self._model.metadata.get_input_schema()
        self._by_hints = self._model.metadata._is_signature_from_type_hint()
        if keras := sys.modules.get("keras"):
            keras.utils.disable_interactive_logging()  # no progress bar for each call
        self._most_rows = most_rows
        self._joins = joins
        outputs = self._model.metadata.get_output_schema()
        self.described = {
            "mlflow": mlflow.__version__,
            "inputs": self._schema.to_dict() if self._schema else [],
            "outputs": outputs.to_dict() if outputs else [],
            "loader": self._model.loader_module,
        }

    def answer(self, requests: Sequence[Request]) -> list[Response]:
        """Return the answer to each request, in order."""
        responses: dict[int, Response] = {}
        groups: dict[tuple[Any, ...], list[int]] = {}
        parsed: dict[int, Parsed] = {}
        for index, request in enumerate(requests):
            try:
                if request.kind in (media.CSV, media.PARQUET):
                    responses[index] = self._predicted(self._table(request), None)
                else:
                    parsed[index] = each = parse(request.body)
                    joins = each.key is not None and len(each.rows) <= self._most_rows
                    groups.setdefault(each.key if joins and each.key else (index,), []).append(index)
            except RefusedRequest as error:
                responses[index] = _refusal(error)
        for members in groups.values():
            responses |= zip(members, self._group([parsed[index] for index in members]), strict=True)
        return [responses[index] for index in range(len(requests))]

    def _group(self, members: list[Parsed]) -> list[Response]:
        """Answer requests of one form, at once where that is allowed and works."""
        together = self._together(members) if self._joins and len(members) > 1 else None
        return together or [self._alone(each) for each in members]

    def _together(self, members: list[Parsed]) -> list[Response] | None:
        """Answer all in one call; None where that does not work out."""
        form, content, rows = joined(members)
        try:
            answered = self._predict({form: content}, None, most=rows)
            whole, sizes = _loads(answered.body)["predictions"], [len(each.rows) for each in members]
            return [Response(200, *part) for part in zip(parts(whole, sizes), sizes, strict=True)]
        except Exception:  # whatever one of them did: each is tried alone
            return None

    def _alone(self, request: Parsed) -> Response:
        params = request.content.get("params")
        try:
            return self._predict({request.form: request.content[request.form]}, params)
        except RefusedRequest as error:
            return _refusal(error)

    def _predict(self, content: dict[str, Any], params: Any, *, most: int = 0) -> Response:
        try:
            data = self._read(content)
        except RefusedRequest:
            raise
        except self._errors as error:
            raise RefusedRequest(400, _plain(error)) from error
        except Exception as error:
            raise RefusedRequest(400, f"the input cannot be read ({type(error).__name__})") from error
        return self._predicted(data, params, most=most)

    def _read(self, content: dict[str, Any]) -> Any:
        """Return what the model takes; one with type hints checks what was sent by itself, as it came."""
        if not self._by_hints:
            return self._server.infer_and_parse_data(content, self._schema)
        if "inputs" not in content:
            raise RefusedRequest(400, "the model's predict has type hints: send its list as inputs")
        return content["inputs"]

    def _predicted(self, data: Any, params: Any, *, most: int = 0) -> Response:
        rows, limit = _count(data), most or self._most_rows
        if rows > limit:
            raise RefusedRequest(413, f"more than {limit} rows: send less at once")
        written = StringIO()
        try:
            self._server.predictions_to_json(self._model.predict(data, params=params), written)
            text = written.getvalue()
            is_json = "N" not in text and "I" not in text  # neither NaN nor Infinity
            return Response(200, text.encode() if is_json else orjson.dumps(_loads(text)), rows)
        except self._errors as error:
            raise RefusedRequest(400, _plain(error)) from error
        except Exception as error:
            logger.exception("predict failed")
            reason = f"the model cannot score this input ({type(error).__name__}); its log has the reason"
            raise RefusedRequest(400, reason) from error

    def _table(self, request: Request) -> Any:
        try:
            if request.kind == media.CSV:
                return self._server.parse_csv_input(StringIO(request.body.decode("utf-8")), self._schema)
            return self._server.parse_parquet_input(BytesIO(request.body))
        except (self._errors, UnicodeDecodeError) as error:
            raise RefusedRequest(400, f"the body is no readable {request.kind}") from error


def _count(data: Any) -> int:
    """Return how many rows MLflow's parser made of a request: of a table, an array, or arrays by name."""
    first = next(iter(data.values()), ()) if type(data) is dict else data
    return len(first) if type(first) is list or np.ndim(first) else 1


def _loads(text: str | bytes) -> Any:
    """Parse JSON in which a prediction may be NaN; it becomes null, since JSON has none."""
    return json.loads(text, parse_constant=lambda _: None)


def _plain(error: Any) -> str:
    """Return an MLflow error's last sentence, without the data that it quotes."""
    said = QUOTED.sub(" with", str(error.message).rpartition("Error: ")[2]).partition(", invalid elements")[0]
    return (said.strip() or "the model does not take this input").splitlines()[0][:500]


def _refusal(error: RefusedRequest) -> Response:
    return Response(error.status, orjson.dumps({"message": str(error)}))


def _from_source_alone() -> None:
    """Have Python run the model's source, and no bytecode that lies beside it: that need not be the source's.

    Bytecode is looked for where nobody can put a file. What the model imports of other libraries is compiled anew, too:
    1.3 s for scikit-learn. MLflow, which takes longer, is imported before.
    """
    import mlflow.pyfunc.scoring_server  # noqa: F401, PLC0415 - as above

    sys.pycache_prefix, sys.dont_write_bytecode = os.devnull, True
    os.environ |= {"PYTHONPYCACHEPREFIX": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}  # of its own processes


def main() -> int:
    """Load the model that the first frame names, and answer batches until the line ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    log_to(logging.StreamHandler(), level=logging.WARNING, form=form)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    line = socket.socket(fileno=int(sys.argv[1]))
    stream = line.makefile("rb")
    asked = read_frame(stream)
    if asked is None:
        return 0
    try:
        _from_source_alone()
        runner = Runner(asked[0]["folder"], most_rows=asked[0]["rows"], joins=asked[0]["joins"])
    except Exception as error:
        logger.exception("the model cannot be loaded")
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        line.sendall(frame({"failed": redact(reason, *addresses_around())[:300]}))
        return 3
    line.sendall(frame({"ready": runner.described}))
    while (batch := read_frame(stream)) is not None:
        head, bodies = batch
        requests = [Request(kind, body) for kind, body in zip(head["kinds"], bodies, strict=True)]
        responses = runner.answer(requests)
        said = {"statuses": [each.status for each in responses], "rows": [each.rows for each in responses]}
        line.sendall(frame(said, [response.body for response in responses]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

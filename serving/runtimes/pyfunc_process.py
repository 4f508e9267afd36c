"""A process that runs one MLflow model of any kind, for a front that speaks HTTP and gRPC.

Started as `python -m serving.runtimes.pyfunc_process FD`. It loads the model with MLflow's own
`pyfunc.load_model`, which may run code of the model's: that is the operator's choice. Requests come
in batches, in MLflow's own formats, and are read by MLflow's own parser under the model's signature.

Requests of one form (the same columns, the same types in each) are joined into one `predict`, where
the model works row by row: of the first joint calls, and of one in a hundred later, up to four requests
are answered alone too, and joining ends for good where the two differ by more than `NEAR`. A joint call
that fails is done again request by request, so that a bad one spoils no other.
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
from dataclasses import dataclass
from io import BytesIO, StringIO
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import orjson

from data.redaction import addresses_around, log_to, redact
from serving.rows import media
from serving.runtimes.frames import frame, read_frame

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
FIRST_CHECKED, THEN_EVERY, CHECKED_AT_ONCE = 10, 100, 4
"""Joint answers that are held against single ones: the first few, and one in so many later. At most so many
requests of each: a call of a Keras network takes 40 ms, and 32 of them would be felt as a stall.
"""

NEAR = 1e-6
QUOTED = re.compile(r" of (?:data )?([`']).*\1 with", re.DOTALL)
"""What a request held, in MLflow's words about it."""

logger = logging.getLogger("serving.pyfunc")


class Request(NamedTuple):
    """One request: its Content-Type and its body."""

    kind: str
    body: bytes


class Response(NamedTuple):
    """One answer: an HTTP status, a JSON body, and how many rows it is about."""

    status: int
    body: bytes
    rows: int = 0


@dataclass
class Parsed:
    """A request's JSON, and what has to be the same for it to be joined with others.

    Attributes
    ----------
    key : tuple or None
        None where it stays alone.
    rows : list
        In the form's own way.
    """

    form: str
    content: dict[str, Any]
    key: tuple[Any, ...] | None = None
    rows: Sequence[Any] = ()


class RefusedRequest(Exception):
    """A request that the model, or MLflow's parser, does not take."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Runner:
    """The loaded model."""

    def __init__(self, folder: str, *, most_rows: int) -> None:
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
        self._joint = 0
        self.joins = True
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
                    parsed[index] = form = _parsed(request.body)
                    joins = form.key is not None and len(form.rows) <= self._most_rows
                    groups.setdefault(form.key if joins and form.key else (index,), []).append(index)
            except RefusedRequest as error:
                responses[index] = _refusal(error)
        for members in groups.values():
            responses |= zip(members, self._group([parsed[index] for index in members]), strict=True)
        return [responses[index] for index in range(len(requests))]

    def _group(self, members: list[Parsed]) -> list[Response]:
        """Answer requests of one form, at once where that is allowed and works."""
        if len(members) == 1 or not self.joins:
            return [self._alone(each) for each in members]
        together = self._together(members)
        self._joint += 1
        if together is not None and (self._is_unchecked() or self._holds(members, together)):
            return together
        return [self._alone(each) for each in members]

    def _is_unchecked(self) -> bool:
        return self._joint > FIRST_CHECKED and self._joint % THEN_EVERY != 0

    def _holds(self, members: list[Parsed], together: list[Response]) -> bool:
        """Return whether some of the requests get the same answer alone, and end joining where not."""
        step = -(-len(members) // CHECKED_AT_ONCE)
        indices = range(self._joint % step, len(members), step)
        self.joins = _are_near([together[at] for at in indices], [self._alone(members[at]) for at in indices])
        if not self.joins:
            logger.warning("predictions depend on the other rows of a call: requests are no longer joined")
        return self.joins

    def _together(self, members: list[Parsed]) -> list[Response] | None:
        """Answer all in one call; None where that does not work out."""
        rows = [row for each in members for row in each.rows]
        first = members[0]
        content: Any = rows
        if first.form == "dataframe_split":
            content = {"columns": first.content[first.form]["columns"], "data": rows}
        elif type(first.content[first.form]) is dict:
            names = list(first.content[first.form])
            content = {name: [row[at] for row in rows] for at, name in enumerate(names)}
        try:
            answered = self._predict({first.form: content}, None, most=len(rows))
            whole = _loads(answered.body)["predictions"]
            return _parts(whole, [len(each.rows) for each in members])
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


def _parsed(body: bytes) -> Parsed:
    try:
        content = orjson.loads(body)
    except ValueError as error:
        raise RefusedRequest(400, "the body is not valid JSON, or holds a number beyond float64") from error
    given = [form for form in FORMS if form in content]
    if len(given) != 1:
        raise RefusedRequest(
            400, f"the body must have exactly one of {', '.join(FORMS)}; it has {len(given)} of them"
        )
    parsed = Parsed(given[0], content)
    if not content.get("params"):
        parsed.key, parsed.rows = _form_of(given[0], content[given[0]])
    return parsed


def _form_of(form: str, data: Any) -> tuple[tuple[Any, ...] | None, Sequence[Any]]:
    """Return what must be equal for two requests to be joined, and the rows; None for what stays alone."""
    if form == "dataframe_split":
        known = type(data) is dict and set(data) <= {"columns", "data", "index"}
        return _columns_key(form, data.get("columns"), data.get("data")) if known else (None, ())
    if type(data) is dict:
        lists = list(data.values())
        even = all(type(each) is list and len(each) == len(lists[0]) for each in lists)
        return _columns_key(form, list(data), list(zip(*lists, strict=True)) if even else None)
    if type(data) is not list or not data or type(data[0]) is not dict:
        return _array_key(form, data), data if type(data) is list else ()
    names = list(data[0])
    even = all(type(row) is dict and list(row) == names for row in data)
    return _columns_key(form, names, [tuple(row.values()) for row in data] if even else None)[0], data


def _columns_key(form: str, names: Any, rows: Any) -> tuple[tuple[Any, ...] | None, Sequence[Any]]:
    if type(names) is not list or type(rows) is not list or not set(map(type, rows)) <= {list, tuple}:
        return None, ()
    if not rows or set(map(len, rows)) != {len(names)} or set(map(type, names)) != {str}:
        return None, rows
    columns = list(zip(*rows, strict=True))
    types = tuple(frozenset(map(type, column)) for column in columns)
    if any(kind & {list, dict} for kind in types) or any(map(_holds_large, columns, types)):
        return None, rows
    return (form, *names, *types), rows


def _holds_large(column: Sequence[Any], types: frozenset[type]) -> bool:
    """Return whether a column has integers that pandas keeps in another type than it keeps smaller ones."""
    return int in types and max(cell for cell in column if type(cell) is int) >= 2**63


def _array_key(form: str, data: Any) -> tuple[Any, ...] | None:
    if type(data) is not list or not data:
        return None
    try:
        array = np.asarray(data)
    except ValueError:  # of uneven lengths
        return None
    return None if array.dtype == object else (form, array.dtype.kind, array.shape[1:])


def _parts(whole: Any, sizes: Sequence[int]) -> list[Response] | None:
    """Return each request's part of the predictions, or None where they are not one for each row."""
    ends = list(accumulate(sizes))
    columns = whole.values() if type(whole) is dict else [whole]
    if any(type(values) is not list or len(values) != ends[-1] for values in columns):
        return None
    parts = []
    for size, end in zip(sizes, ends, strict=True):
        part_of = slice(end - size, end)
        part = {name: whole[name][part_of] for name in whole} if type(whole) is dict else whole[part_of]
        parts.append(Response(200, orjson.dumps({"predictions": part}), size))
    return parts


def _are_near(some: list[Response], others: list[Response]) -> bool:
    return all(
        one.status == other.status and _is_near(_loads(one.body), _loads(other.body))
        for one, other in zip(some, others, strict=True)
    )


def _is_near(one: Any, other: Any) -> bool:
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_is_near(one[name], other[name]) for name in one)
    if type(one) is list and type(other) is list:
        return len(one) == len(other) and all(map(_is_near, one, other))
    if type(one) in (int, float) and type(other) in (int, float):
        return bool(abs(one - other) <= NEAR * max(1.0, abs(one), abs(other)))
    return bool(one == other)


def _plain(error: Any) -> str:
    """Return an MLflow error's last sentence, without the data that it quotes."""
    said = QUOTED.sub(" with", str(error.message).rpartition("Error: ")[2]).partition(", invalid elements")[0]
    return (said.strip() or "the model does not take this input").splitlines()[0][:500]


def _refusal(error: RefusedRequest) -> Response:
    return Response(error.status, orjson.dumps({"message": str(error)}))


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
        runner = Runner(asked[0]["folder"], most_rows=asked[0]["rows"])
    except Exception as error:
        logger.exception("the model cannot be loaded")
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        line.sendall(frame({"failed": redact(reason, *addresses_around())[:300]}))
        return 3
    runner.joins = bool(asked[0]["joins"])
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

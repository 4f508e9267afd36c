"""What HTTP answers beside predictions: probes, metrics, and what the server says of its models."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from serving import openapi, page
from serving.access import Browsers, identities, url_paths
from serving.errors import Draining, MethodNotAllowed, NotFound
from serving.front.backend import Backend
from serving.protocols import Answer, responses, tensors, v1
from serving.runtimes import Description
from serving.scorer import SLIPWAY

TEXT_TYPE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
KNOWN_MODELS = (identities.PREDICT, identities.PAGE)
KEPT = {
    "/openapi.json": KNOWN_MODELS,
    "/models": KNOWN_MODELS,
    "/status": (identities.METRICS, identities.PAGE),
    "/page.json": KNOWN_MODELS,
    "/model.json": KNOWN_MODELS,
}
"""How pages end that name models, or say more of them than a probe needs: with a key of one of these scopes alone."""
PROBES = ("/livez", "/readyz", "/ping", "/health", "/health/live", "/health/ready")
"""How pages end that who looks after a machine asks, without a key or a certificate."""
Match = re.Match[str]
Headers = Mapping[bytes, bytes]

GET, POST = "GET, HEAD, OPTIONS", "POST, OPTIONS"


class Questions:
    """The pages of one worker."""

    def __init__(self, backend: Backend, browsers: Browsers) -> None:
        self._backend, self._browsers = backend, browsers
        self._say = {"v1": self._first_protocol, "v2": self._open_inference}
        self._files = page.page_files() if backend.settings.page else {}
        self.pages = self._probes() | self._at_root() | self._of_models()
        if self._files:
            self.pages |= self._of_page()

    def is_probe(self, path: str) -> bool:
        """Return whether a path is one of a probe: a model, or nothing, may be called as if it were."""
        return path.endswith(PROBES) and path in self.pages

    def answer(self, scope: Mapping[str, Any], headers: Headers) -> Answer:
        """Answer a request that brings no rows; raises RequestError."""
        path = scope["path"]
        say = self.pages.get(path)
        if say is None and self._browsers.preflight(headers) and scope["method"] == "OPTIONS":
            return self.options(scope, headers, POST)  # so that the page gets to read the 404
        if say is None and (protocol := url_paths.protocol_of(path)):
            return self._of_model(protocol, scope, headers)
        if say is None:
            raise NotFound(
                "no such path: POST to /invocations or /predict (/models/NAME/... for several), or read /openapi.json"
            )
        if scope["method"] not in ("GET", "HEAD"):
            return self.options(scope, headers, GET)
        last = path[path.rindex("/") :]
        if last in KEPT:
            self._backend.admit(scope["state"], headers, *KEPT[last])
        elif last == "/metrics" and self._backend.settings.metrics_need_key:
            self._backend.admit(scope["state"], headers, identities.METRICS)
        if (file := self._files.get(path)) and (path != "/" or page.wants_html(headers)):
            return self._beside(scope) or file.answer(headers)
        return self._rooted(say(), headers) if last == "/openapi.json" else say()

    def options(self, scope: Mapping[str, Any], headers: Headers, allowed: str) -> Answer:
        """Say what a path allows, and what a browser may send there; raises MethodNotAllowed."""
        if scope["method"] != "OPTIONS":
            raise MethodNotAllowed(allowed=allowed)
        return Answer(b"", headers=((b"allow", allowed.encode()), *self._browsers.preflight(headers)))

    def _probes(self) -> dict[str, Callable[[], Answer]]:
        return {
            "/ping": lambda: Answer(b"\n"),
            "/health": lambda: Answer(b"\n"),
            "/livez": lambda: Answer(b'{"status":"alive"}'),
            "/readyz": self._ready,
            "/metrics": self._metrics,
            "/status": lambda: Answer(responses.dump(self._status())),
        }

    def _at_root(self) -> dict[str, Callable[[], Answer]]:
        names = list(self._backend.served.keys)
        return {
            "/v2": lambda: Answer(responses.dump(tensors.server_metadata(SLIPWAY))),
            "/": lambda: Answer(b'{"status":"alive"}'),  # KServe's first protocol asks so
            "/v1/models": lambda: Answer(responses.dump({"models": names})),
            "/v2/health/live": lambda: Answer(b'{"live":true}'),
            "/v2/health/ready": lambda: self._readiness({"ready": not self._backend.draining}),
        }

    def _of_models(self) -> dict[str, Callable[[], Answer]]:
        pages: dict[str, Callable[[], Answer]] = {}
        for key, runtime in self._backend.served.by_key.items():
            prefix = runtime.model.prefix
            pages |= {prefix + path: page for path, page in self._probes().items()}
            pages[prefix + "/version"] = partial(self._mlflow_version, key)
            pages[prefix + "/openapi.json"] = partial(self._described, key)
        return pages

    def _of_page(self) -> dict[str, Callable[[], Answer]]:
        models = self._backend.served.by_key
        files: dict[str, Callable[[], Answer]] = {
            path: partial(file.answer, {}) for path, file in self._files.items() if path != "/"
        }
        forms = {each.model.prefix + "/model.json": partial(self._form, key) for key, each in models.items()}
        return files | forms | {"/page.json": self._listed}

    def _listed(self) -> Answer:
        """Say which models there are, and where each has its paths, relative to the page."""
        models = [
            {"name": each.description.name, "path": f"{each.model.prefix}/".lstrip("/")}
            for each in self._backend.served.by_key.values()
        ]
        return Answer(responses.dump({"models": models}))

    def _form(self, key: str) -> Answer:
        served = self._backend.served
        said, model = served.by_key[key].description, served.by_key[key].model
        facts: dict[str, Any] = {
            "name": said.name,
            "version": said.label,
            "digest": said.digest,
            "mlflow": said.mlflow,
        }
        facts |= {"runtime": model.runtime, "since": round(served.since[key], 3)}
        return Answer(responses.dump(facts | said.form()))

    def _beside(self, scope: Mapping[str, Any]) -> Answer | None:
        """Send a browser that asked for the prefix to what stands under it: the files refer to each other so."""
        asked = scope.get("raw_path", b"/")
        if scope["path"] != "/" or asked.endswith(b"/"):
            return None
        return Answer(b"", 308, ((b"location", asked[asked.rindex(b"/") + 1 :] + b"/"),))

    def _mlflow_version(self, key: str) -> Answer:
        return Answer(self._backend.served.by_key[key].description.mlflow.encode())

    def _described(self, key: str) -> Answer:
        described = self._backend.served.by_key[key].description.openapi
        return Answer(openapi.with_captures(described) if self._backend.feedback else described)

    def _of_model(self, protocol: str, scope: Mapping[str, Any], headers: Headers) -> Answer:
        """Answer both protocols' questions about a model; raises NotFound for one that is not served."""
        match = url_paths.MODELS[protocol].fullmatch(scope["path"])
        if match is None:
            raise NotFound("no such path: see /v2 and /v2/models/NAME, or /v1/models/NAME")
        who = self._backend.identify(scope["state"], headers, *KNOWN_MODELS)
        description = self._backend.named(match["name"], match["version"] or "", who).description
        if scope["method"] not in ("GET", "HEAD"):
            return self.options(scope, headers, GET)
        return self._say[protocol](match, description, who)

    def _first_protocol(self, match: Match, description: Description, who: identities.Identity) -> Answer:
        version = description.label if who.scopes else ""
        return v1.state(match["name"], version, ready=not self._backend.draining)

    def _open_inference(self, match: Match, description: Description, who: identities.Identity) -> Answer:
        if match["rest"] == "/ready":
            return self._readiness({"name": match["name"], "ready": not self._backend.draining})
        self._backend.access.allow(who, *KNOWN_MODELS)
        return Answer(responses.dump(description.metadata))

    def _rooted(self, described: Answer, headers: Headers) -> Answer:
        """Return an OpenAPI document with the paths that clients see: a proxy's, or the server's own prefix."""
        settings = self._backend.settings
        given = headers.get(b"x-forwarded-prefix", b"").decode("latin-1").rstrip("/")
        is_trusted = settings.trust_proxy and url_paths.PREFIX.fullmatch(given)
        prefix = given if is_trusted else settings.prefix
        return described._replace(body=openapi.under(described.body, prefix)) if prefix else described

    def _ready(self) -> Answer:
        return self._readiness({"status": "draining" if self._backend.draining else "ready"})

    def _readiness(self, body: dict[str, Any]) -> Answer:
        if self._backend.draining:
            return Answer(responses.dump(body), 503, (responses.JSON_TYPE, *Draining.headers))
        return Answer(responses.dump(body))

    def _status(self) -> dict[str, Any]:
        backend = self._backend
        kept = {"capture": backend.capture.status()} if backend.capture else {}
        files = {each.option: each.status() for each in backend.watched}
        read = {"files": files} if files else {}
        return backend.served.status(backend.statuses, draining=backend.draining) | kept | read

    def _metrics(self) -> Answer:
        telemetry = self._backend.telemetry
        telemetry.in_flight.set(self._backend.work.in_flight)
        telemetry.flush()
        self._status()
        return Answer(telemetry.exposition(), headers=(TEXT_TYPE,))

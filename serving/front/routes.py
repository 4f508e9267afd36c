"""Which model and which protocol a path of HTTP's means."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from serving.access import url_paths
from serving.front.feedback import FeedbackErrors
from serving.front.served import Served
from serving.protocols import Answer, Errors, Protocol, http_protocols, responses
from serving.settings import Settings

SCORING = {"/invocations": "mlflow", "/predict": "simple", "/explain": "explain"}
"""Behind a model's prefix."""
AT_ROOT = {"/v2/models/{}/infer": "v2", "/v1/models/{}:predict": "v1"}
"""By a model's public name."""


class Route(NamedTuple):
    """A path's meaning: whose it is, how errors are written there, and the protocol where it brings rows.

    `takes_labels` where it brings what became of predictions.
    """

    key: str
    errors: Errors[Answer]
    protocol: Protocol[Answer] | None = None
    takes_labels: bool = False

    @property
    def brings(self) -> bool:
        """Whether a body is taken here."""
        return self.takes_labels or self.protocol is not None


class PageErrors(responses.OneTextErrors):
    """Errors of what brings no rows, under the paths of one protocol."""

    def __init__(self, name: str) -> None:
        self.name = name


FEEDBACK = "/feedback"
"""Behind a model's prefix, where predictions are kept."""
LABELS = FeedbackErrors()
UNREAD = responses.MlflowErrors()
"""How errors are written where no protocol is known."""
PAGES = {version: PageErrors(f"{version} page") for version in ("v1", "v2")}


class Routes:
    """The paths of one server."""

    def __init__(self, served: Served, settings: Settings, pages: Container[str]) -> None:
        self._served, self._prefix, self._pages = served, settings.prefix, pages
        self._protocols = http_protocols(settings.limits)
        self.known: dict[str, Route] = {}
        for key, runtime in served.by_key.items():
            model = runtime.model
            for path, name in SCORING.items():
                self.known[model.prefix + path] = self._route(key, name)
            if settings.capture.folder:
                self.known[model.prefix + FEEDBACK] = Route(key, LABELS, takes_labels=True)
            for form, name in AT_ROOT.items():
                self.known[form.format(model.public_name)] = self._route(key, name)
        self.known |= {settings.prefix + path: route for path, route in self.known.items()}

    def other(self, scope: Mapping[str, Any]) -> tuple[Mapping[str, Any], Route]:
        """Return a request as if it had asked for the path that the server knows, and what that means."""
        path = url_paths.plain(scope["path"])
        if path not in self._pages and path not in self.known:
            path = url_paths.plain(path, self._prefix)
        return {**scope, "path": path}, self.known.get(path) or self._rare(path)

    def _rare(self, path: str) -> Route:
        """Return what a path means that is none of the few exact ones."""
        name = url_paths.protocol_of(path)
        if not name:
            return Route(_key_of(path), UNREAD)
        match = url_paths.MODELS[name].fullmatch(path)
        runtime = self._served.named(match["name"], match["version"] or "") if match else None
        if match is None or runtime is None:
            return Route("", PAGES[name])
        key = runtime.model.key
        return self._route(key, name) if match["rest"] in ("/infer", ":predict") else Route(key, PAGES[name])

    def _route(self, key: str, name: str) -> Route:
        protocol = self._protocols[name]
        return Route(key, protocol, protocol)


def _key_of(path: str) -> str:
    parts = path.split("/", 3)
    return parts[2] if len(parts) == 4 and parts[1] == "models" else ""

"""What one worker serves: a version for each key, and the one before it, which stays warm."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from serving.front.telemetry import Telemetry
from serving.runtimes import Runtime
from serving.settings import Model


class Served:
    """The loaded versions by key. Which keys there are is settled at the start."""

    def __init__(self, runtimes: Iterable[Runtime], telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.since: dict[str, float] = {}
        """When the version in service came, in seconds since 1970, by key."""
        self._warm: dict[str, tuple[Runtime, ...]] = {}
        self.by_key: dict[str, Runtime] = {}
        for each in runtimes:
            self.swap(each)
        self.keys = {each.model.public_name: key for key, each in self.by_key.items()}

    def warm(self, model: Model) -> Runtime | None:
        """Return a version that is still loaded, if it is: the one in service or the one before."""
        return next((each for each in self._warm.get(model.key, ()) if each.model == model), None)

    def swap(self, runtime: Runtime) -> None:
        """Serve another version from the next request on; the old one finishes its own and stays warm."""
        key = runtime.model.key
        old = self.by_key.get(key)
        if old is not runtime:
            self._telemetry.serves(_facts(runtime), _facts(old) if old else None)
            self.by_key[key], self.since[key] = runtime, time.time()
            retired = [each for each in self._warm.get(key, ()) if each not in (runtime, old)]
            self._warm[key] = (runtime, old) if old else (runtime,)
            for each in retired:
                each.close()

    def named(self, name: str, version: str = "") -> Runtime | None:
        """Return a model by the name that the Open Inference Protocol has for it; no version means the one served."""
        key = self.keys.get(name)
        runtime = self.by_key[key] if key is not None else None
        return runtime if runtime and version in ("", runtime.description.label) else None

    def status(self, statuses: dict[str, dict[str, Any]], *, draining: bool) -> dict[str, Any]:
        """Return what is served and what the parent said of its place; shows it in the metrics too."""
        models = {}
        for key, runtime in self.by_key.items():
            followed, name = statuses.get(key, {}), runtime.model.name
            state = "DRAINING" if draining else followed.get("state", "READY")
            stale = round(max(0.0, time.time() - followed["seen"]), 1) if followed.get("seen") else None
            self._telemetry.show_state(
                name, state, stale, agrees=not followed.get("ledger"), signed=bool(followed.get("signed"))
            )
            label, digest = runtime.description.label, runtime.description.digest
            models[key or name] = {
                field: value for field, value in followed.items() if field not in ("seen", "standing")
            } | {
                "state": state,
                "registry_stale_seconds": stale,
                "serving": {"name": name, "version": label, "digest": digest},
            }
            if standing := followed.get("standing"):
                models[key or name]["standing"] = standing
        return {"models": models}


def _facts(runtime: Runtime) -> tuple[str, str, str]:
    """Return a version's name, number and digest, as the metrics have them."""
    return runtime.model.name, runtime.model.version, runtime.description.digest

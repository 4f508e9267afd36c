"""Read manifests by KServe's own models, and print them again as JSON: a field that the models do not know is gone.

Runs in an environment of its own. KServe's package is entered past its `__init__`, which would import a server.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path

import yaml
from kubernetes import client

found = importlib.util.find_spec("kserve")
assert found
package = types.ModuleType("kserve")
package.__path__ = list(found.submodule_search_locations or [])
sys.modules["kserve"] = package

from kserve import models  # noqa: E402 - after that

for name in dir(models):
    setattr(client.models, name, getattr(models, name))
KINDS = {
    "ClusterServingRuntime": "V1alpha1ClusterServingRuntime",
    "ClusterStorageContainer": "V1alpha1ClusterStorageContainer",
    "InferenceService": "V1beta1InferenceService",
}


class Answer:
    """What the client reads its objects from."""

    def __init__(self, data: object) -> None:
        self.data = json.dumps(data)


api = client.ApiClient()
for path in sys.argv[1:]:
    for each in yaml.safe_load_all(Path(path).read_text()):
        read = api.deserialize(Answer(each), KINDS[each["kind"]])
        sys.stdout.write(json.dumps(api.sanitize_for_serialization(read)) + "\n")

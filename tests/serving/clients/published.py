"""The client that the protocol's working group generated from its document, and that document's schemas.

Each answer is parsed into the published type.
"""

import json
import sys

import pydantic.v1
from open_inference.openapi import types
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError

asked = json.load(sys.stdin)
model, request = asked["model"], types.InferenceRequest.parse_obj(asked["request"])
client = OpenInferenceClient(base_url=asked["url"])
client.check_server_liveness()
client.check_server_readiness()
client.check_model_readiness(model)
metadata = client.read_model_metadata(model)
(version,) = metadata.versions
client.check_model_version_readiness(model, version)
assert client.read_model_version_metadata(model, version) == metadata
answers = [
    client.model_infer(model, request=request),
    client.model_version_infer(model, version, request=request),
]
refused = []
for name, inputs in (("another", request.inputs), (model, [])):
    try:
        client.model_infer(name, request=types.InferenceRequest(inputs=inputs))
    except ApiError as error:
        refused.append([error.status_code, error.body])
models = [getattr(types, name) for name in types.__all__ if isinstance(getattr(types, name), type)]
written = {
    "server": client.read_server_metadata().name,
    "inputs": [each.name for each in metadata.inputs],
    "predictions": [answer.outputs[0].data.__root__ for answer in answers],
    "refused": refused,
    "schemas": pydantic.v1.schema.schema(models, ref_prefix="#/components/schemas/")["definitions"],
}
json.dump(written, sys.stdout, default=lambda root: root.__root__)

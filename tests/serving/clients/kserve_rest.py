"""KServe's REST client, for protocol v2: everything that it can ask a server, binary data on and off."""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request(asked: dict, *, binary: bool, output: str = "prediction") -> InferRequest:
    inputs = []
    for name, values in asked["columns"].items():
        is_text = type(values[0]) is str
        array = np.array(values, dtype=object if is_text else np.float64)
        inputs.append(InferInput(name, list(array.shape), "BYTES" if is_text else "FP64"))
        inputs[-1].set_data_from_numpy(array, binary_data=binary)
    wanted = [RequestedOutput(output, {"binary_data": binary})]
    return InferRequest(asked["model"], inputs, request_outputs=wanted)


async def found(asked: dict) -> dict:
    url, model = asked["url"], asked["model"]
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        answers = {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model": await client.is_model_ready(url, model),
            "another": await client.is_model_ready(url, "another"),
        }
        for binary in (False, True):
            headers: dict[str, str] = {}
            answer = await client.infer(
                url, request(asked, binary=binary), model_name=model, response_headers=headers
            )
            predictions = answer.get_output_by_name("prediction").as_numpy()
            answers["binary" if binary else "json"] = predictions.ravel().tolist()
            answers["kind of binary" if binary else "kind of json"] = headers["content-type"]
        try:
            await client.infer(url, request(asked, binary=False, output="upside"), model_name=model)
        except httpx.HTTPStatusError as error:
            answers["refused"] = [error.response.status_code, str(error)]
        return answers


json.dump(asyncio.run(found(json.load(sys.stdin))), sys.stdout)

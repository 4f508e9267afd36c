"""KServe's REST client, for protocol v1: what it can ask a server."""

import asyncio
import json
import sys

import httpx
from kserve import InferenceRESTClient, RESTConfig


async def found(asked: dict) -> dict:
    url, model = asked["url"], asked["model"]
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        answers = {"live": await client.is_server_live(url), "ready": await client.is_model_ready(url, model)}
        for form in ("objects", "lists"):
            answers[form] = await client.infer(url, {"instances": asked[form]}, model_name=model)
        try:
            await client.infer(url, {"instances": [{}]}, model_name=model)
        except httpx.HTTPStatusError as error:
            answers["refused"] = [error.response.status_code, str(error)]
        return answers


json.dump(asyncio.run(found(json.load(sys.stdin))), sys.stdout)

"""A client that openapi-python-client generated from a server's document, in the folder that is given."""

import io
import json
import sys

asked = json.load(sys.stdin)
sys.path.insert(0, asked["folder"])

from generated import Client, models, types  # noqa: E402
from generated.api.default import infer, invocations, model_metadata, predict  # noqa: E402

client = Client(asked["url"] + asked["prefix"])
root = Client(asked["url"])  # the generator passes by that V2's paths have a server of their own
rows = [models.Row.from_dict(row) for row in asked["rows"]]
faulty = models.Row.from_dict(asked["rows"][0] | asked["fault"])
tensors = [models.Tensor.from_dict(each) for each in asked["tensors"]]
table = types.File(io.BytesIO(asked["csv"].encode()))

scored = invocations.sync(client=client, body=models.DataframeRecords(dataframe_records=rows))
by_csv = invocations.sync(client=client, body=table)
several = predict.sync(client=client, body=models.PredictRequest(x=rows))
one = predict.sync(client=client, body=models.PredictRequest(x=rows[0]))
inferred = infer.sync(client=root, body=models.InferRequest(inputs=tensors))
metadata = model_metadata.sync(client=root)
refused = invocations.sync(client=client, body=models.Instances(instances=[rows[0], faulty]))
refused_by_v2 = infer.sync(client=root, body=models.InferRequest(inputs=tensors[:1]))

answers = (scored, several, inferred, metadata, refused, refused_by_v2)
written = {
    "types": [type(each).__name__ for each in answers],
    "date": type(getattr(rows[0], "date", rows[0].hour)).__name__,
    "invocations": scored.predictions,
    "csv": by_csv.predictions,
    "several": several.y,
    "one": one.y,
    "infer": inferred.outputs[0].data,
    "inputs": [each.name for each in metadata.inputs],
    "fault": refused.errors[0].to_dict(),
    "v2 error": refused_by_v2.error,
}
json.dump(written, sys.stdout)

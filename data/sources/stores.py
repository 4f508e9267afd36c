"""Stores of files that are not on this machine: S3 and what speaks as it does, Google's and Azure's, HDFS.

pyarrow's own file systems read them. An address says where a file is and never who asks: keys come from the
environment alone, as each store's own tools find them there, so that no parameter, message or record holds one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from data.errors import OutOfReach
from data.redaction import MASK, STORES, redact_address

CONNECT_SECONDS, SILENT_SECONDS, ATTEMPTS = 10, 20, 3
"""How long a store may take to be reached, how long it may say nothing, and how often it is asked again."""

IN_BETWEEN = (
    "something between here and the store answers for it, such as a proxy: check the endpoint, and try again"
)

NO_BUCKET = ("there is no such bucket", "check its name and the endpoint")

_PLAIN = re.compile(r"[\w.\-]+(@[\w.\-]+)?|[\w.\-]*:\d+|")
_SETTINGS = ("AWS_", "AZURE_", "GOOGLE_", "CLOUD_STORAGE_", "HADOOP_", "STORAGE_")
_SECRETS = re.compile("KEY|SECRET|TOKEN|PASSWORD")

Result = TypeVar("Result")


def is_remote(where: str) -> bool:
    """Return whether an address names a file that is not on this machine.

    >>> is_remote("s3://bucket/flights.csv"), is_remote("/data/s3/flights.csv")
    (True, False)
    """
    scheme, mark, _ = where.partition("://")
    return bool(mark) and scheme.lower() in STORES


@dataclass(frozen=True)
class FileStore:
    """A store, and how the addresses of its files are told from the paths that its file system knows.

    Attributes
    ----------
    scheme : str
        In small letters.
    authority : str
        What stands between `//` and the next `/`: a bucket, a container with or without its account, or a host.
    """

    scheme: str
    authority: str

    @classmethod
    def of(cls, where: str) -> FileStore:
        """Return the place of an address; raises OutOfReach for one that holds more than a name."""
        scheme, _, rest = where.partition("://")
        authority, _, key = rest.partition("/")
        place = cls(scheme.lower(), authority)
        if not _PLAIN.fullmatch(authority) or ("@" in authority and place.is_bucket):
            raise OutOfReach(
                where=f"{place.scheme}://{MASK}",
                reason="an address of files is a name alone, without user, key or password",
                repair=f"write {place.scheme}://bucket/path, and {place.how_to_ask}",
            )
        if not authority and place.scheme != "hdfs":
            raise OutOfReach(
                where=where, reason="names no bucket", repair=f"write {place.scheme}://bucket/path"
            )
        if "?" in key:
            raise OutOfReach(
                where=redact_address(where),
                reason="a ? begins settings, and none are read from an address",
                repair="write * for any letters; keys and endpoints are set in the environment",
            )
        return place

    @property
    def is_bucket(self) -> bool:
        """Whether the first name is a bucket's, of which there is one in the world."""
        return self.scheme in ("s3", "gs")

    @property
    def how_to_ask(self) -> str:
        """Where whoever asks is named."""
        if self.scheme == "s3":
            return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, in the environment"
        if self.scheme == "gs":
            return "set GOOGLE_APPLICATION_CREDENTIALS in the environment"
        if self.scheme == "hdfs":
            return "log in as Hadoop's own tools need it"
        return (
            "set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN in the environment, or log in with `az login`"
        )

    @property
    def address(self) -> str:
        """What all its addresses begin with."""
        return f"{self.scheme}://{self.authority}/"

    @property
    def root(self) -> str:
        """What its file system's paths begin with in place of that."""
        return "/" if self.scheme == "hdfs" else f"{self.authority.partition('@')[0]}/"

    def path(self, where: str) -> str:
        """Return what its file system calls a file."""
        return self.root + where.partition("://")[2].partition("/")[2]

    def named(self, path: str) -> str:
        """Return the address of what its file system calls so."""
        return self.address + path.removeprefix(self.root)

    @property
    def files(self) -> fs.FileSystem:
        """Its file system; raises OutOfReach where that cannot be made."""
        settings = tuple(item for item in sorted(os.environ.items()) if item[0].startswith(_SETTINGS))
        try:
            return _file_system(self, settings)
        except (OSError, pa.ArrowException, ValueError) as error:
            raise self.fault(self.address, error) from error

    def fault(self, where: str, error: Exception) -> OutOfReach:
        """Return what to say where it gave no answer, or another one than was hoped for."""
        said = without_secrets((str(error) or type(error).__name__).splitlines()[0])
        for pattern, reason, repair in _FAULTS:
            if re.search(pattern, said, re.IGNORECASE):
                return OutOfReach(where=where, reason=reason, repair=repair or self.how_to_ask)
        return OutOfReach(where=where, reason=said[:300], repair="check that it can be read from here")


_FAULTS = (
    ("NO_SUCH_BUCKET|NoSuchBucket|ContainerNotFound", *NO_BUCKET),
    (
        "ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|InvalidAccessKeyId|SignatureDoesNotMatch"
        "|EXPIRED_TOKEN|ExpiredToken|INVALID_CLIENT_TOKEN|UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION"
        r"|AuthenticationFailed|AuthorizationFailure|PermissionDenied|UNAUTHENTICATED|\b40[13]\b"
        "|credential|oauth2|HTTP response code 403",
        "is refused to whoever the environment says is asking",
        "",
    ),
    ("Failed to flush response stream", "more came than the part of it that was asked for", IN_BETWEEN),
    (
        "deserialize thrift",
        "what came is no part of a Parquet file",
        f"check that it is whole; or {IN_BETWEEN}",
    ),
    (
        "curlCode: 18|end of response with",
        "the store broke off in the middle of the file",
        "try again; the network or the store is at fault",
    ),
    (
        r"NETWORK_CONNECTION|timeout|timed out|Could(n't| not) resolve|connect|REQUEST_TIMEOUT|curl",
        "the store does not answer",
        "check the network and the endpoint (AWS_ENDPOINT_URL for S3)",
    ),
    (
        r"SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|\b50[0-4]\b",
        "the store is too busy to answer",
        "try again later",
    ),
    (
        "libhdfs|libjvm|CLASSPATH|JAVA_HOME",
        "needs Hadoop's client, which is not found",
        "set HADOOP_HOME, JAVA_HOME and CLASSPATH=$(hadoop classpath --glob)",
    ),
)
"""What a file system's own words mean, and what to do; where that is empty, how to say who asks."""


def without_secrets(text: str) -> str:
    """Return a library's words without what the environment keeps secret."""
    for name, value in os.environ.items():
        if name.startswith(_SETTINGS) and _SECRETS.search(name) and len(value) > 3:
            text = text.replace(value, MASK)
    return text


@lru_cache(maxsize=8)
def _file_system(place: FileStore, settings: tuple[tuple[str, str], ...]) -> fs.FileSystem:
    """Return a file system, the same one while the environment says the same."""
    said = dict(settings)
    if place.scheme == "s3":
        return _s3(place.authority, said)
    if place.scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=SILENT_SECONDS))
    if place.scheme == "hdfs":
        host, _, port = place.authority.partition(":")
        return fs.HadoopFileSystem(host or "default", int(port or 0))
    account = place.authority.partition("@")[2].partition(".")[0] or said.get("AZURE_STORAGE_ACCOUNT", "")
    if not account:
        raise OutOfReach(
            where=place.address,
            reason="no storage account is named",
            repair="set AZURE_STORAGE_ACCOUNT in the environment, or write abfss://container@account.dfs.core.windows.net/path",
        )
    key, token = said.get("AZURE_STORAGE_KEY"), said.get("AZURE_STORAGE_SAS_TOKEN")
    return fs.AzureFileSystem(account, account_key=key, sas_token=None if key else token)


def s3_endpoint() -> str:
    """Return where S3 is, "" for Amazon's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")


def _s3(bucket: str, said: dict[str, str]) -> fs.FileSystem:
    endpoint = s3_endpoint()
    region = said.get("AWS_REGION") or said.get("AWS_DEFAULT_REGION")
    if not region and not endpoint:
        region = fs.resolve_s3_region(bucket)
    scheme, mark, host = endpoint.rpartition("://")
    return fs.S3FileSystem(
        region=region,
        scheme=scheme if mark else None,
        endpoint_override=host.rstrip("/") or None,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=SILENT_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def asked_of(where: str, question: Callable[[FileStore], Result]) -> Result:
    """Return a store's answer; raises OutOfReach in place of what pyarrow raises."""
    place = FileStore.of(where)
    try:
        return question(place)
    except (OSError, pa.ArrowException) as error:
        raise place.fault(where, error) from error

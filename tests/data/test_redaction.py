"""What is left of an address, and of a text with addresses, once it may be shown."""

from __future__ import annotations

import logging
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.errors import UnreadableSource
from data.redaction import HARMLESS, RedactingFormatter, redact, redact_address
from serving.registry.errors import ModelNotFound, RegistryDown
from training.commands.rereading import refuse_masked
from training.commands.trainings import TrainConfig
from training.errors import TrackingUnavailable, UsageError

NEEDLE = "Zq7"
odd = st.text(st.sampled_from("aZ9@/:?#&=%;'\"{}[]()+-._~!$,é"), max_size=6)
secrets = st.builds(lambda before, after: f"{before}{NEEDLE}{after}", odd, odd)
"""Odd passwords with something in the middle that stands nowhere else."""

schemes = st.sampled_from(
    ["http", "https", "postgresql", "postgresql+psycopg", "mysql", "mssql+pyodbc", "HTTP"]
)
unknown_keys = st.from_regex(r"[a-z_][a-z0-9_\-]{0,12}", fullmatch=True).filter(
    lambda key: key not in HARMLESS
)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """Addresses with a secret as password, token, value of a query, fragment or setting, as it is or encoded."""
    secret = draw(secrets)
    secret = quote(secret, safe="") if draw(st.booleans()) else secret
    scheme, key = draw(schemes), draw(unknown_keys)
    tails = [
        f"bob:{secret}@host",
        f"bob:{secret}@host:5432/db?sslmode=require",
        f":{secret}@host/db",
        f"host/db?{key}={secret}",
        f"bob@host/db?sslmode=require&{key}={secret}&timeout=3",
        f"bob:pw@host/db?{key}={secret}",
        f"host/x#{key}={secret}",
        f"host;user=me;password={secret}",
        f"/?odbc_connect=DRIVER%3D%7BODBC%7D%3BPWD%3D{quote(secret, safe='')}",
        f"/?odbc_connect=DRIVER={{ODBC Driver 17}};SERVER=h;PWD={secret}",
    ]
    return f"{scheme}://{draw(st.sampled_from(tails))}"


@given(addresses())
@example("http://host/db?key=#/Zq7")
def test_a_secret_anywhere_in_an_address_is_not_shown(address: str) -> None:
    """Not even its middle, and what is shown once may be shown again."""
    shown = redact_address(address)
    assert NEEDLE not in shown
    assert redact_address(shown) == shown
    assert shown.split("://")[0] == address.split("://", maxsplit=1)[0]


@given(
    addresses(),
    st.sampled_from(["{}", "cannot use {}", "'{}': no such host", 'at "{}", says the driver: {}']),
)
@example("http://bob:@Zq7;=9@host:5432/db?sslmode=require", "cannot use {}")
def test_nor_in_a_text_that_quotes_the_address(address: str, text: str) -> None:
    """A driver's own words; it was handed the address."""
    assert NEEDLE not in redact(text.replace("{}", address), address)


@given(secrets)
def test_nor_in_a_text_that_quotes_the_secret_alone(secret: str) -> None:
    """A driver decodes, encodes, or takes half of the password for a host."""
    address = f"postgresql://bob:{quote(secret, safe='')}@host/db"
    for said in (secret, quote(secret, safe="")):
        assert NEEDLE not in redact(f"invalid dsn: {said}", address) or len(said) < 8


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://bob:hun@ter2@host", "http://***@host"),
        ("http://bob:hun/ter2@host:5000/a", "http://***@host:5000/a"),
        ("https://ghp_token@host/x", "https://***@host/x"),
        ("http://bob:password-without-a-host", "http://bob:***"),
        ("http://[::1]:5000/x?token=abc", "http://[::1]:5000/x?token=***"),
        ("postgresql://me@host/db?password=S", "postgresql://me@host/db?password=***"),
        ("postgresql://me:p%40ss@host/db?sslmode=require", "postgresql://me:***@host/db?sslmode=require"),
        ("postgresql://me:what?@host/db", "postgresql://***"),
        ("http://me:so#me@host/db", "http://***"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER=x;PWD=p ss", "mssql+pyodbc:///?odbc_connect=***;PWD=***"),
        ("sqlite:///rows.db?password=a@b/c&mode=ro", "sqlite:///rows.db?password=***&mode=ro"),
        ("sqlite:////data/a@b/c.db", "sqlite:////data/a@b/c.db"),
        ("models:/houses@champion", "models:/houses@champion"),
        ("data/year=2020/x@y.csv", "data/year=2020/x@y.csv"),
        ("s3://bucket/year=2020/x@y.csv", "s3://bucket/year=2020/x@y.csv"),
        ("s3://bucket/book.xlsx#May 2024", "s3://bucket/book.xlsx#May 2024"),
        ("abfs://box@account/x@y.csv", "abfs://box@account/x@y.csv"),
        ("s3://key:12/secret@bucket/x.csv", "s3://key:***@bucket/x.csv"),
        ("s3://bucket/x.csv?X-Amz-Signature=word", "s3://bucket/x.csv?***"),
        (
            "http://127.0.0.1:5000/#/experiments/1?workflowType=machine_learning",
            "http://127.0.0.1:5000/#/experiments/1?workflowType=machine_learning",
        ),
    ],
)
def test_what_is_no_secret_stays_readable(address: str, shown: str) -> None:
    """A line that names no host helps nobody to mend it."""
    assert redact_address(address) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Max retries exceeded with url: /health?token=abc (Caused by X)",
            "url: /health?token=*** (Caused by X)",
        ),
        ("PWD={a b};UID=3", "PWD=***;UID=3"),
        ('connection "host=h password=abc user=me" failed', "host=h password=*** user=me"),
        ("did you mean 'x=3'?", "did you mean 'x=3'?"),
        ("version 3 of m-1 is READY", "version 3 of m-1 is READY"),
    ],
)
def test_texts_without_an_address_are_searched_too(text: str, shown: str) -> None:
    """An HTTP library drops the host, a driver writes key=value."""
    assert shown in redact(text)


@pytest.mark.parametrize(
    "error",
    [
        UnreadableSource(where="mysql://me:hunter22@h/db", reason="x", repair="y"),
        TrackingUnavailable(uri="http://h?token=hunter22", reason="http://h?token=hunter22: closed"),
        RegistryDown(uri="models:/a@b", reason="http://me:hunter22@h refused"),
        ModelNotFound(uri="s3://key:hunter22@bucket", reason="write another place"),
    ],
)
def test_no_error_of_ours_holds_one(error: Exception) -> None:
    """Each ends up in a tag, on a terminal, in a log, in /status."""
    assert "hunter22" not in str(error)


def test_a_log_line_holds_none_of_its_arguments_nor_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries log addresses; the process knows its own from the environment."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:hun@ter2@host")
    try:
        raise ValueError("no host 'ter2@host'")
    except ValueError as error:
        found = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("x", 20, "x", 1, "at %s", ("http://bob:hun@ter2@host",), found)
    written = RedactingFormatter("%(message)s").format(record)
    assert "hun" not in written.replace("hunter", "") and "'***@host'" in written


def test_a_recorded_address_without_its_password_is_not_tried() -> None:
    """The database would say "authentication failed", which helps nobody."""
    config = TrainConfig(data="mysql://me:hunter22@h/db", target="y", name="m", query="SELECT 1")
    recorded = config.as_params()["data"]
    with pytest.raises(UsageError, match="without its password: pass data="):
        refuse_masked(recorded)
    refuse_masked("mysql://me@h/db", "SELECT 1")

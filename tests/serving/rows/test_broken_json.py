"""What is said of a body that is no JSON, of a form, and of gzip in several members."""

from __future__ import annotations

import codecs
import gzip
import json
import shutil
import subprocess
import tracemalloc

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import Malformed, RequestError, TooLarge, WrongType
from serving.rows.decoding import read_json
from serving.rows.media import MOST_MEMBERS, expand, media_type, without_mark, wrong_type
from serving.settings import Limits
from tests.conftest import missing_part

JSON_TYPE = {"Content-Type": "application/json"}
SECRET = "swordfish"
SAYS = {
    b"": "is empty",
    b" \n\t ": "is empty",
    codecs.BOM_UTF8: "is empty",
    b'{"a": NaN}': "line 1, column 7: NaN and Infinity are not JSON, send null",
    b'{"a": [1,\n NaN]}': "line 2, column 2: NaN and Infinity are not JSON, send null",
    b'{"a":-Infinity}': "NaN and Infinity are not JSON, send null",
    b'{"a":nan}': "NaN and Infinity are not JSON, send null",
    b'{"a": 1e400}': "line 1, column 7: a number is beyond float64",
    b'{"a": ' + b"9" * 5000 + b"}": "a number is beyond float64",
    b'{"a": "\\ud800"}': "half a character",
    b'{"a": "\\udc00x"}': "half a character",
    b"{'a': 1}": "double quotes, not single ones",
    b"'{\"a\": 1}'": "double quotes, not single ones",
    b'{"a": None}': "Python's None",
    b'{"a": True}': "Python's None",
    b'{"a": 1,}': "a comma stands before a closing bracket",
    b'{"a": [1, 2,]}': "a comma stands before a closing bracket",
    b"{a: 1}": "a key in double quotes",
    b'{"a": // one\n 1}': "JSON has no comments",
    b'{"a": 01}': "begins with no zero",
    b'{"a": .5}': "0.5, 5.0 or -5",
    b'{"a": +5}': "0.5, 5.0 or -5",
    b'{"a": "x\ny"}': "control character",
    b'{"a": "C:\\dir"}': "a backslash",
    b'{"a": 1': "cut short",
    b'{"a": "x': "cut short",
    b'{"a":1}\n{"a":2}\n': "line 2, column 1: more follows behind its end",
    b'{"a": 1 "b": 2}': "a comma or a closing bracket",
    b'{"a" 1}': "a colon is due",
    b"x1,x2\n1,2\n": "Content-Type, such as text/csv",
    b"x=3&y=4": "Content-Type, such as text/csv",
    '{"a": "é"}'.encode("latin-1"): "in UTF-8 at its byte 8: send UTF-8, not Latin-1",
    b'{"a": "\xed\xa0\x80"}': "in UTF-8 at its byte 8",
    '{"a": 1}'.encode("utf-16"): "but UTF-16: send UTF-8",
    '{"a": 1}'.encode("utf-16-be"): "but UTF-16: send UTF-8",
    '{"a": 1}'.encode("utf-32"): "but UTF-32: send UTF-8",
    gzip.compress(b"{}"): "send the header Content-Encoding: gzip",
    b"PAR1\x15\x04": "Content-Type: application/vnd.apache.parquet",
    b"\xff\xff\xff\xff\x10\x00": "Content-Type: application/vnd.apache.arrow.stream",
}


@pytest.mark.parametrize("body", SAYS, ids=range(len(SAYS)))
def test_each_kind_of_mistake_has_a_text_of_its_own(body):
    """They all were 'not valid JSON in UTF-8', from which nobody learned what to mend."""
    with pytest.raises(Malformed) as refused:
        read_json(body, Limits())
    assert SAYS[body] in str(refused.value)
    assert "\n" not in str(refused.value)


@given(
    st.text(max_size=30),
    st.integers(0, 40),
    st.sampled_from(["", ",", "'", "NaN", "\\", '"', "}", "\x00", "é", "\ud800"]),
)
def test_no_text_quotes_the_body_or_fails(text, place, noise):
    """Whatever is broken: a secret in the body does not come back, and nothing but a refusal is raised."""
    whole = json.dumps({SECRET: [SECRET, text, None]})
    body = (whole[:place] + noise + whole[place:]).encode("utf-8", "surrogatepass")
    for cut in (body, body[: len(body) // 2], body[1:], body.decode("utf-8", "replace").encode("utf-16")):
        try:
            read_json(cut, Limits())
        except RequestError as error:
            assert SECRET not in str(error)
            assert len(str(error)) < 300


def test_too_many_levels_are_too_many_whoever_counts_them():
    """65 and 2,000 levels were 413 and 400: the parser has a limit of its own."""
    for levels in (65, 1_020, 2_000, 200_000):
        with pytest.raises(TooLarge, match="more than 64 levels of JSON"):
            read_json(b"[" * levels + b"]" * levels, Limits())


def test_a_byte_order_mark_is_skipped_at_every_door(server, golden):
    """RFC 8259, 8.1: a reader may. PowerShell and .NET write one."""
    row = golden[0]["row"]
    name = server.call("/v1/models")[1]["models"][0]
    bodies = {
        "/invocations": {"dataframe_records": [row]},
        "/predict": {"x": row},
        f"/v1/models/{name}:predict": {"instances": [row]},
    }
    for path, body in bodies.items():
        content = json.dumps(body).encode("utf-8-sig")
        assert server.call(path, content, headers=JSON_TYPE)[0] == 200, path
    assert (
        read_json(codecs.BOM_UTF8 + b'{"a": 12345678901234567890123}', Limits())["a"]
        == 12345678901234567890123
    )
    assert without_mark(codecs.BOM_UTF8 * 2) == codecs.BOM_UTF8
    with pytest.raises(Malformed):
        read_json(codecs.BOM_UTF8 * 2 + b"{}", Limits())


def test_mlflows_own_client_is_told_the_way_out(server, golden):
    """It sends NaN for a missing float, which is not JSON; as objects the cells become null, which is missing."""
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    host, port = server.url.removeprefix("http://").split(":")
    client = ScoringServerClient(host, int(port))
    frame = pd.DataFrame([golden[0]["row"], golden[0]["row"]])
    frame.loc[1, "dep_delay"] = float("nan")
    with pytest.raises(Exception, match="send null for a missing value; in pandas"):
        client.invoke(frame)
    found = client.invoke(frame.astype(object).where(frame.notna(), None)).get_predictions()
    row = {**golden[0]["row"], "dep_delay": None}
    expected = server.call("/invocations", {"dataframe_records": [golden[0]["row"], row]})[1]
    assert found.iloc[:, 0].tolist() == expected["predictions"]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("application/x-www-form-urlencoded", "add the header Content-Type: application/json"),
        ("application/x-www-form-urlencoded; charset=UTF-8", "add the header Content-Type: application/json"),
        ("multipart/form-data; boundary=----x", "curl --data-binary @rows.csv"),
        ("text/plain;charset=UTF-8", "add the header Content-Type: application/json"),
    ],
)
def test_what_clients_send_unless_told_is_named_with_the_header(server, golden, kind, says):
    """`curl -d`, HTML forms, fetch: the commonest first mistake, on every path that takes rows."""
    name = server.call("/v1/models")[1]["models"][0]
    for path in ("/invocations", "/predict", f"/v2/models/{name}/infer", f"/v1/models/{name}:predict"):
        status, answer, _ = server.call(path, b'{"x": 3}', headers={"Content-Type": kind})
        assert status == 415
        assert says in answer.get("message", answer.get("error"))


def test_curl_without_a_header_is_told_so(server):
    """The real program, as it is typed first."""
    if not shutil.which("curl"):
        missing_part("curl")
    done = subprocess.run(
        ["curl", "-s", server.url + "/predict", "-d", '{"x": 3}'],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "curl -d" in json.loads(done.stdout)["message"]


def test_parameters_of_a_content_type():
    """RFC 4180's header=present says what is the case; header=absent would change the meaning."""
    assert media_type("text/csv; charset=utf-8; header=present") == "text/csv"
    for header in ("text/csv; header=absent", "application/json; charset=latin-1"):
        with pytest.raises(WrongType):
            media_type(header)
    assert str(wrong_type("text/xml", "application/json")) == "Content-Type must be application/json here"


def test_gzip_of_several_members_is_one_body(server, golden):
    """RFC 1952: `cat a.gz b.gz`, pigz and bgzip write such. Zeros behind are padding."""
    body = json.dumps({"dataframe_records": [golden[0]["row"]]}).encode()
    parts = [body[:10], body[10:11], b"", body[11:]]
    for several in (
        b"".join(map(gzip.compress, parts)),
        gzip.compress(body) + bytes(512),
        b"".join(gzip.compress(body[place : place + 1]) for place in range(len(body))),
        gzip.compress(b"") + gzip.compress(body, mtime=0) + gzip.compress(b""),
    ):
        assert expand(several, "gzip", Limits()) == body == gzip.decompress(several)
        assert (
            server.call("/invocations", several, headers=JSON_TYPE | {"Content-Encoding": "gzip"})[0] == 200
        )


def test_gzip_keeps_its_limits_over_all_members():
    """Bytes count together; so do members, each of which takes time whatever it holds."""
    limits = Limits(body_bytes=1000)
    assert len(expand(gzip.compress(bytes(500)) * 2, "gzip", limits)) == 1000
    with pytest.raises(TooLarge, match="1000 bytes after gzip"):
        expand(gzip.compress(bytes(500)) * 2 + gzip.compress(b"x"), "gzip", limits)
    with pytest.raises(TooLarge, match="members of gzip"):
        expand(gzip.compress(b"") * (MOST_MEMBERS + 5), "gzip", Limits())
    bomb = gzip.compress(bytes(50 * 2**20))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        expand(gzip.compress(b"x") + bomb, "gzip", limits)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda z: z[:-1],
        lambda z: z + b"x",
        lambda z: z + z[:5],
        lambda z: z + bytes(3) + z,
        lambda _: b"",
        lambda _: b"\x00" * 9,
    ],
)
def test_gzip_that_is_cut_or_followed_by_something_else_is_refused(spoil):
    """Half a body is none."""
    with pytest.raises(Malformed, match="gzip"):
        expand(spoil(gzip.compress(b"{}")), "gzip", Limits())

"""Certificates: those that clients show, and those of the server, which change without a restart."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
import ssl
import subprocess
import urllib.request
from types import SimpleNamespace
from urllib.error import HTTPError, URLError

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from serving.__main__ import main
from serving.access.tls import Certificates, ClientNames, names_of, names_over_grpc
from serving.errors import SettingsError
from serving.protocols.v2_messages.messages import message
from serving.running import free_port
from tests.conftest import missing_part
from tests.recorded import recorded
from tests.serving.front.rpc.grpc_calls import one_row
from tests.serving.processes import processes_of, until

SPIFFE = "spiffe://cluster.local/ns/web/sa/default"
INFER = "/inference.GRPCInferenceService/ModelInfer"


def written(folder, name, leaf):
    """A certificate's chain and key as files."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return cert, key


def written_ca(folder, name, ca):
    """A CA's certificate as a file."""
    path = folder / f"{name}.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two CAs, the server's certificate, and those of clients."""
    folder = tmp_path_factory.mktemp("certificates")
    ca, stranger = trustme.CA(), trustme.CA()
    return SimpleNamespace(
        folder=folder,
        ca=written_ca(folder, "ca", ca),
        authority=ca,
        server=written(folder, "server", ca.issue_cert("localhost", "127.0.0.1")),
        web=written(folder, "web", ca.issue_cert("web.example.com")),
        other=written(folder, "other", ca.issue_cert("other.example.com")),
        stranger=written(folder, "stranger", stranger.issue_cert("web.example.com")),
        stranger_ca=written_ca(folder, "stranger_ca", stranger),
    )


@pytest.fixture(scope="module")
def served(start, line, made):
    """A server that asks for certificates, over HTTP and gRPC, and lets some names in."""
    port, audit = free_port(), made.folder / "audit"
    options = [
        "--tls-cert",
        str(made.server[0]),
        "--tls-key",
        str(made.server[1]),
        "--tls-client-ca",
        str(made.ca),
    ]
    options += ["--tls-client-san", "WEB.example.com", "--tls-client-san", SPIFFE]
    options += ["--audit-log", str(audit), "--audit-accepted", "--grpc-port", str(port)]
    with start("--model", f"line={line}", *options) as running:
        until(lambda: _reached(running, made))
        yield SimpleNamespace(
            url=running.url.replace("127.0.0.1", "localhost"), port=port, audit=audit, server=running
        )


def _reached(running, made):
    try:
        return ask(running.url, made, path="/readyz", body=None)[0] == 200
    except OSError:
        return False


def ask(url, made, *shown, path="/models/line/predict", body=b'{"x":3}', most=None, headers=None):
    """Ask with a certificate, or without."""
    context = ssl.create_default_context(cafile=made.ca)
    context.check_hostname = False
    if shown:
        context.load_cert_chain(*shown)
    if most:
        context.maximum_version = most
    request = urllib.request.Request(url + path, body, headers or {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def test_only_clients_with_a_certificate_that_is_let_in_are_answered(served, made):
    """403 with the reason for the others; a certificate of another CA ends the connection."""
    assert ask(served.url, made, *made.web)[0] == 200
    for shown, reason in (((), "of its CA"), (made.other, "whose name is let in")):
        for path, body in (
            ("/models/line/predict", b'{"x":3}'),
            ("/status", None),
            ("/metrics", None),
            ("/v2/models/line", None),
            ("/models/line/openapi.json", None),
            ("/nothing", None),
        ):
            status, said = ask(served.url, made, *shown, path=path, body=body)
            assert (status, reason in said.decode()) == (403, True), path
    with pytest.raises((URLError, ConnectionError, ssl.SSLError)):
        ask(served.url, made, *made.stranger)
    assert ask(served.url, made, *made.web, path="/metrics", body=None)[0] == 200


@pytest.mark.parametrize("shown", [None, "other"])
def test_a_model_called_as_a_probe_is_none(served, made, shown):
    """Its path ended like one, and the answer said which models are served."""
    certificate = getattr(made, shown) if shown else ()
    for path in ("/v2/models/ping", "/v1/models/health", "/models/nobody/ping", "/ping/ping"):
        status, said = ask(served.url, made, *certificate, path=path, body=None)
        assert (status, b"line" in said) == (403, False), path


def test_over_grpc_a_certificate_that_is_not_let_in_learns_no_name(served, made):
    """Nor whether a model is ready, which HTTP does not say either."""
    for name in ("line", "ping"):
        asked = message("ModelReadyRequest")(name=name).SerializeToString()
        code, said = ready(served.port, made, made.other, asked)
        assert (code, "line" in said) == ("PERMISSION_DENIED", False)
    assert ready(served.port, made, made.web, asked) == ("NOT_FOUND", "no such model: line is served")


def ready(port, made, shown, asked):
    """Ask whether a model is ready; the code's name and the reason."""
    trusted = grpc.ssl_channel_credentials(made.ca.read_bytes(), shown[1].read_bytes(), shown[0].read_bytes())
    with grpc.secure_channel(f"localhost:{port}", trusted) as channel:
        try:
            channel.unary_unary("/inference.GRPCInferenceService/ModelReady")(asked, timeout=20)
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return "OK", ""


def test_probes_need_no_certificate(served, made):
    """A kubelet has none."""
    for path in ("/livez", "/readyz", "/models/line/readyz", "/ping", "/v2/health/ready"):
        assert ask(served.url, made, path=path, body=None)[0] == 200


def test_the_audit_knows_who_it_was(served, made):
    """By the name in the certificate."""
    ask(served.url, made, *made.web)
    ask(served.url, made, *made.other)
    until(lambda: '"certificate": "web.example.com"' in served.audit.read_text())
    until(lambda: '"reason": "NoCertificate"' in served.audit.read_text())
    until(lambda: '"refused_certificate": "other.example.com"' in served.audit.read_text())


def test_curl_is_let_in_with_its_certificate(served, made):
    """Another client, with its own TLS."""
    if not shutil.which("curl"):
        missing_part("curl (apt-get install curl)")
    line = ["curl", "-s", "--cacert", made.ca, "-H", "Content-Type: application/json", "-d", '{"x":3}']
    line += [f"{served.url}/models/line/predict"]
    answer = subprocess.run(
        [*line, "--cert", made.web[0], "--key", made.web[1]], capture_output=True, check=True
    )
    assert "y" in json.loads(answer.stdout)
    assert b"client certificate" in subprocess.run(line, capture_output=True, check=True).stdout


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_before_1_2_is_not_spoken(served, made):
    """1.2 and 1.3 are."""
    assert ask(served.url, made, *made.web, most=ssl.TLSVersion.TLSv1_2)[0] == 200
    host, port = served.url.removeprefix("https://").split(":")
    words = ["openssl", "s_client", "-connect", f"{host}:{port}", "-cipher", "ALL:@SECLEVEL=0"]
    said = [
        subprocess.run([*words, version], capture_output=True, check=False, timeout=20, input=b"").stdout
        for version in ("-tls1_1", "-tls1_2")
    ]
    assert [b"Cipher is (NONE)" in each for each in said] == [True, False]


def call(port, made, *shown, ca=None):
    """Ask over gRPC; the code's name."""
    key, chain = (shown[1].read_bytes(), shown[0].read_bytes()) if shown else (None, None)
    trusted = grpc.ssl_channel_credentials((ca or made.ca).read_bytes(), key, chain)
    with grpc.secure_channel(f"localhost:{port}", trusted) as channel:
        try:
            answer = channel.unary_unary(INFER)(one_row().SerializeToString(), timeout=20)
        except grpc.RpcError as error:
            return error.code().name
    return "OK" if message("ModelInferResponse").FromString(answer).outputs else "EMPTY"


def test_over_grpc_the_same_certificates_are_let_in(served, made):
    """There a connection without one is not made at all."""
    assert call(served.port, made, *made.web) == "OK"
    assert call(served.port, made, *made.other) == "PERMISSION_DENIED"
    assert call(served.port, made, *made.stranger) == "UNAVAILABLE"
    assert call(served.port, made) == "UNAVAILABLE"
    recorded(
        "security",
        "no certificate, one of another CA, one of the right CA with another name, with `--tls-client-ca` and "
        "`--tls-client-san`, over HTTP and gRPC; TLS 1.1",
        "403 with the reason, or no connection; the name is compared with names of its kind alone",
        "the probes of HTTP",
    )


@pytest.mark.parametrize(
    ("listed", "names", "admitted"),
    [
        ((), (("DNS", "a"),), "a"),
        ((), (), ""),
        (("a.example.com",), (("DNS", "b.example.com"), ("DNS", "A.example.com")), "A.example.com"),
        (("a.example.com",), (("URI", "a.example.com"),), ""),
        (("a.example.com",), (("DNS", "*.example.com"),), ""),
        ((SPIFFE,), (("URI", SPIFFE),), SPIFFE),
        ((SPIFFE,), (("URI", SPIFFE.upper()),), ""),
        ((SPIFFE,), (("DNS", SPIFFE),), ""),
        (("10.0.0.1",), (("IP Address", "10.0.0.1"),), "10.0.0.1"),
        (("10.0.0.1",), (("DNS", "10.0.0.1"),), ""),
        (("::1",), (("IP Address", "0:0:0:0:0:0:0:1"),), "0:0:0:0:0:0:0:1"),
        (("me@example.com",), (("email", "me@example.com"),), "me@example.com"),
    ],
)
def test_a_name_is_compared_with_those_of_its_kind(listed, names, admitted):
    """Who may have a host put into a certificate may not become a service by it."""
    assert ClientNames(listed).admitted(names) == admitted


def test_grpc_s_names_are_the_same():
    """In its own words."""
    shown = {"peer_dns": [b"a"], "peer_uri": [SPIFFE.encode()], "x509_common_name": [b"b"]}
    assert names_over_grpc(shown) == (("DNS", "a"), ("URI", SPIFFE))


def test_certificates_change_without_a_restart(start, line, made, tmp_path, capfd):
    """As Kubernetes swaps them, HTTP and gRPC; requests on the way are answered; a broken pair keeps the old one."""
    new = trustme.CA()
    sides = (
        {"tls.crt": made.server[0], "tls.key": made.server[1], "ca.crt": made.ca},
        dict(
            zip(("tls.crt", "tls.key"), written(made.folder, "new", new.issue_cert("localhost")), strict=True)
        )
        | {"ca.crt": written_ca(made.folder, "new_ca", new)},
        {"tls.crt": made.server[0], "tls.key": made.web[1], "ca.crt": made.ca},
    )
    for number, files in enumerate(sides):
        (tmp_path / f"..{number}").mkdir()
        for name, source in files.items():
            shutil.copy(source, tmp_path / f"..{number}" / name)
    (tmp_path / "..data").symlink_to("..0")
    for name in sides[0]:
        (tmp_path / name).symlink_to(f"..data/{name}")

    def swap(number):
        (tmp_path / "..new").symlink_to(f"..{number}")
        (tmp_path / "..new").rename(tmp_path / "..data")

    mine = written(made.folder, "mine", new.issue_cert("web.example.com"))
    after = SimpleNamespace(ca=made.folder / "new_ca.pem")
    port = free_port()
    options = ["--tls-cert", str(tmp_path / "tls.crt"), "--tls-key", str(tmp_path / "tls.key")]
    options += ["--tls-client-ca", str(tmp_path / "ca.crt"), "--grpc-port", str(port)]
    with start("--model", f"line={line}", *options) as running:
        until(lambda: _reached(running, made))
        before = [worker.pid for worker in processes_of(running)]
        assert (ask(running.url, made, *made.web)[0], call(port, made, *made.web)) == (200, "OK")
        swap(1)
        until(lambda: _taken(running.url, after, mine))
        assert call(port, after, *mine, ca=after.ca) == "OK"
        assert not _taken(running.url, after, made.web)
        assert call(port, after, *made.web, ca=after.ca) == "UNAVAILABLE"
        swap(2)
        until(lambda: _state(running.url, after, mine) == "OLD_ONE_KEPT")
        assert _taken(running.url, after, mine)
        assert call(port, after, *mine, ca=after.ca) == "OK"
        swap(0)
        until(lambda: _taken(running.url, made, made.web))
        assert _state(running.url, made, made.web) == "READ"
        assert [worker.pid for worker in processes_of(running)] == before
    said = capfd.readouterr().err
    assert said.count("no usable pair in PEM") == 1
    assert "what was read before stays in use" in said
    recorded(
        "reliability",
        "certificate, key and clients' CA swapped as Kubernetes does, for new ones and for a pair that does not fit",
        "new connections over HTTP and gRPC got the new one within two seconds; the broken pair was kept out, said in "
        "`/status` and one line; the workers stayed",
        "nothing",
    )


def _taken(url, made, shown):
    try:
        return ask(url, made, *shown)[0] == 200
    except OSError:
        return False


def _state(url, made, shown):
    status = json.loads(ask(url, made, *shown, path="/status", body=None)[1])
    return status["files"]["--tls-cert"]["state"]


def test_a_key_is_asked_for_beside_a_certificate(start, line, made, tmp_path):
    """Where both are set, one does not take the place of the other."""
    key = "a key of some length for this test"
    keys = tmp_path / "keys"
    keys.write_text(f"{hashlib.sha256(key.encode()).hexdigest()} web predict\n")
    options = ["--tls-cert", str(made.server[0]), "--tls-key", str(made.server[1])]
    options += ["--tls-client-ca", str(made.ca), "--api-key-file", str(keys)]
    with start("--model", f"line={line}", *options) as running:
        until(lambda: _reached(running, made))
        assert ask(running.url, made, *made.web)[0] == 401
        asked = {"X-API-Key": key, "Content-Type": "application/json"}
        assert ask(running.url, made, *made.web, headers=asked)[0] == 200
        assert ask(running.url, made, headers=asked)[0] == 403


def test_names_of_kinds_that_cannot_be_let_in_are_passed_over():
    """A directory's name comes as tuples within tuples, which no name of the list can be compared with."""
    shown = {"subjectAltName": (("DirName", ((("countryName", "US"),),)), ("DNS", "a.example.com"))}
    names = names_of(SimpleNamespace(getpeercert=lambda: shown))
    assert ClientNames(["a.example.com"]).admitted(names) == "a.example.com"
    assert ClientNames([]).admitted(names[:0]) == ""


def revoked(made, *certificates, days=1):
    """The list of what the CA has revoked, as a file."""
    authority = x509.load_pem_x509_certificate(made.ca.read_bytes())
    key = serialization.load_pem_private_key(made.authority.private_key_pem.bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    listed = x509.CertificateRevocationListBuilder(authority.subject).last_update(
        now - datetime.timedelta(days=2)
    )
    listed = listed.next_update(now + datetime.timedelta(days=days))
    for each in certificates:
        number = x509.load_pem_x509_certificate(each.read_bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
        listed = listed.add_revoked_certificate(entry)
    file = made.folder / "revoked.pem"
    file.write_bytes(listed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return file


def is_let_in(context, made, shown):
    """Whether a client that shows a certificate gets through the handshake, without a network."""
    asking = ssl.create_default_context(cafile=made.ca)
    asking.load_cert_chain(*shown)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        asking.wrap_bio(down, up, server_hostname="localhost"),
        context.wrap_bio(up, down, server_side=True),
    )
    for each in ends * 3:
        try:
            each.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return bool(ends[1].getpeercert())


def test_a_certificate_that_its_ca_has_revoked_is_not_let_in(made):
    """From the next connection on, as the list says when it is read again; a list out of date lets nobody in."""
    listed = revoked(made, made.other[0])
    certificates = Certificates(*map(str, made.server), str(made.ca), str(listed))
    assert str(listed) in certificates.files
    assert [is_let_in(certificates.context, made, each) for each in (made.web, made.other)] == [True, False]
    revoked(made, made.web[0])
    certificates.load()
    assert [is_let_in(certificates.context, made, each) for each in (made.web, made.other)] == [False, True]
    revoked(made, days=-1)
    certificates.load()
    assert not is_let_in(certificates.context, made, made.web)


def test_a_list_of_revoked_certificates_that_is_none_is_refused(made, capsys):
    """A CA's certificate in its place revokes nothing; over gRPC nobody would look at it."""
    with pytest.raises(SettingsError, match="holds no list of revoked certificates"):
        Certificates(*map(str, made.server), str(made.ca), str(made.ca))
    tls = ["--model", "x", "--tls-cert", str(made.server[0]), "--tls-key", str(made.server[1])]
    tls += ["--tls-client-ca", str(made.ca), "--tls-client-crl", str(revoked(made))]
    assert main([*tls, "--grpc-port", "0"]) == 2
    assert "gRPC reads no list of revoked certificates" in capsys.readouterr().err


def test_certificates_that_are_read_again_as_they_were_change_nothing(made):
    """The first look reads them in any case: nobody has to listen anew for it."""
    certificates = Certificates(*map(str, made.server), str(made.ca))
    before = certificates.context
    certificates.load()
    assert certificates.context is before

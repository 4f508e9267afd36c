"""Where one request ends and the next begins: the server never takes a body for a request.

Held against h11, which was written by others from the same RFC.
"""

import re

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.settings import Limits
from tests.recorded import recorded
from tests.serving.front.connections.wire import admission_of, converse

GET = b"GET /inner HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GET), GET)
UPGRADES = [
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n",
    b"connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
    b"Upgrade: TLS/1.0\r\nEmpty:\r\nConnection: upgrade\r\n",
    b"Upgrade: h2c, websocket\r\nUpgrade: TLS/1.0\r\nConnection: upgrade\r\n",
    b"Upgrade:\r\nConnection: upgrade\r\n",
]


def post(extra=b"", *, method=b"POST", body=GET, chunked=False):
    """Return a request whose body is a request."""
    frame = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(body)
    content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    return method + b" /outer HTTP/1.1\r\nHost: localhost\r\n" + extra + frame + b"\r\n" + content


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("method", [b"POST", b"GET", b"PUT", b"OPTIONS", b"DELETE"])
def test_an_upgrade_that_is_not_taken_changes_nothing(upgrade, chunked, method):
    """RFC 9110, 7.8: whatever is asked for, by whom, in one packet, with requests behind it that ask too."""
    one = post(upgrade, method=method, chunked=chunked)
    heard = converse(one + one + GET)
    expected = (method.decode(), "/outer", GET)
    assert heard.requests == [expected, expected, ("GET", "/inner", b"")]
    assert heard.statuses == [200, 200, 200]
    assert not heard.closed


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upgrade_is_ignored_wherever_the_packets_part(chunked):
    """Each place, and each byte a packet of its own."""
    one = post(UPGRADES[1], chunked=chunked)
    whole = one + one + GET
    expected = [("POST", "/outer", GET), ("POST", "/outer", GET), ("GET", "/inner", b"")]
    for place in range(1, len(one) + 1):
        heard = converse(whole[:place], whole[place:])
        assert (heard.requests, heard.statuses) == (expected, [200] * 3), place
    heard = converse(*(whole[place : place + 1] for place in range(len(whole))))
    assert heard.requests == expected


def test_a_body_in_the_packet_after_an_upgrade_is_no_request():
    """The head says 42 bytes; they look like a request."""
    head, body = post(UPGRADES[0]).split(b"\r\n\r\n", 1)
    heard = converse(head + b"\r\n\r\n", body)
    assert heard.requests == [("POST", "/outer", GET)]
    assert heard.statuses == [200]


def test_connect_is_refused_and_nothing_behind_it_is_read():
    """It would make of everything behind it another protocol's bytes."""
    for rest in (b"", GET, UPGRADES[0]):
        heard = converse(b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n" + rest)
        assert (heard.requests, heard.statuses, heard.closed) == ([], [400], True)


REFUSED = [
    (501, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED),
    (501, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKED),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n" + CHUNKED),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n" + CHUNKED),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n" + CHUNKED),
    (400, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED),
    (400, b"GET / HTTP/1.1\r\n\r\n"),
    (400, b"GET /\r\nHost: a\r\n\r\n"),
    (400, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    (400, b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd"),
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (431, b"POST / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2**17 + b"\r\n\r\n"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "sent"), REFUSED, ids=range(len(REFUSED)))
@pytest.mark.parametrize("upgrade", [b"", UPGRADES[0]])
def test_a_frame_that_can_be_read_in_two_ways_ends_the_connection(status, sent, upgrade):
    """RFC 9112, 6.1 and 6.3; asking for an upgrade makes no difference, and what stands behind is not read."""
    line, end, rest = sent.partition(b"\r\n")
    heard = converse(line + end + (upgrade if rest else b"") + rest + GET)
    assert (heard.requests, heard.statuses, heard.closed) == ([], [status], True)
    assert b"connection: close" in heard.sent


def test_requests_before_a_broken_one_get_their_own_answers():
    """The refusal is the answer to the request that was broken, not to another's."""
    for broken in (b"nonsense\r\n\r\n", post(chunked=True).replace(b"\r\n%x\r\n" % len(GET), b"\r\nxx\r\n")):
        heard = converse(post() + GET + broken + GET)
        assert heard.requests == [("POST", "/outer", GET), ("GET", "/inner", b"")]
        assert (heard.statuses, heard.closed) == ([200, 200, 400], True)


def test_requests_sent_ahead_of_their_answers_are_bounded():
    """A quarter of a megabyte would be nine thousand requests of 3 kB, which wait while the client reads nothing."""
    heard = converse(GET * 1500)
    assert len(heard.requests) == 1001
    assert (heard.statuses, heard.closed) == ([200] * 1001 + [503], True)
    assert admission_of(Limits()).ahead == 0


@pytest.mark.parametrize("size", [2**12, 2**18])
def test_a_chunk_extension_without_end_is_refused(size):
    """A body in many small chunks is not: their sizes are no extensions."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = [head, b"1;a=", *[b"b" * size] * (2**20 // size), b"\r\na\r\n0\r\n\r\n"]
    heard = converse(*parts)
    assert (heard.requests, heard.statuses, heard.closed) == ([], [431], True)
    chunks = [b"00000001;a=b\r\na\r\n"] * 20_000
    body = b"".join(chunks) + b"0\r\n\r\n"
    heard = converse(head, *(body[place : place + size] for place in range(0, len(body), size)))
    assert heard.requests == [("POST", "/", b"a" * 20_000)]


def test_trailers_are_bounded_and_say_nothing():
    """They come when the request is answered already, so none of them may be a header."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    heard = converse(
        head + b"Host: b\r\nContent-Type: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" + GET
    )
    assert heard.requests == [("POST", "/", b"a"), ("GET", "/inner", b"")]
    heard = converse(head, *[b"X: " + b"a" * 4096 + b"\r\n"] * 40, b"\r\n")
    assert (heard.requests, heard.statuses, heard.closed) == ([], [431], True)


def read_by_h11(sent):
    """Return the requests that h11 reads, and why it refused the rest, if it did."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**17)
    connection.receive_data(sent)
    requests = []
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests.append((request.method.decode(), request.target.decode(), body))
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return requests, ""
                connection.start_next_cycle()
            else:
                return requests, ""
    except h11.ProtocolError as error:
        return requests, str(error)


STRICTER = re.compile("illegal request line|no request line received")
"""h11 knows no two blanks in a request's line, nor an empty line before it: RFC 9112, 2.2 and 3, allow both."""

HEADERS = st.sampled_from(
    [
        *UPGRADES, b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n", b"X:\r\n",
        b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", b"Content-Length: 41\r\n", b"Content-Length : 5\r\n",
        b"Content-Length: 5, 5\r\n", b"Content-Length: 05\r\n", b"Content-Length: 0x5\r\n", b"Content-Length:\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: Chunked \r\n", b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding:\tchunked\r\n", b"Transfer-Encoding:\r\n",
        b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding: chunked\r\n X: y\r\n", b"Transfer-Encoding\r\n",
        b"Host: b\r\n", b"X: a\nContent-Length: 5\r\n", b"X: a\rContent-Length: 5\r\n", b"X: \x00\r\n", b"X: \xff\r\n",
        b" X: y\r\n", b"\r\n", b"\n", b"Content_Length: 5\r\n", b"Content-Length: 18446744073709551621\r\n",
    ]
)  # fmt: skip
BODIES = st.sampled_from(
    [
        b"", b"abcde", GET, CHUNKED, b"0\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n", b"5;x=y\r\nabcde\r\n0\r\nX: y\r\n\r\n",
        b"5\nabcde\n0\n\n", b"5\r\nabcdeX\r\n0\r\n\r\n", b"005\r\nabcde\r\n00\r\n\r\n", b" 5\r\nabcde\r\n0\r\n\r\n",
        b"5 \r\nabcde\r\n0\r\n\r\n", b"-5\r\nabcde\r\n0\r\n\r\n", b"0x5\r\nabcde\r\n0\r\n\r\n",
        b"5;\nabcde\r\n0\r\n\r\n", b"5\r\nabcde\r\n0\r\nContent-Length: 5\r\n\r\n", b"5\r\nabcde\r\n0\r\n" + GET,
        b"10000000000000005\r\nabcde\r\n0\r\n\r\n", b"\r\n", b"\r\n\r\n" + GET, b"\n" + GET,
    ]
)  # fmt: skip
LINES = st.sampled_from(
    [
        b"POST /a HTTP/1.1\r\n", b"GET /a HTTP/1.1\r\n", b"HEAD /a HTTP/1.1\r\n", b"POST /a HTTP/1.0\r\n",
        b"POST  /a HTTP/1.1\r\n", b"POST /a HTTP/1.1\n", b"POST /a HTTP/1.2\r\n", b"POST /a\r\n",
        b"post /a HTTP/1.1\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n", b"\r\nPOST /a HTTP/1.1\r\n", b"POST /a b HTTP/1.1\r\n", b"PUT /a HTTP/1.1 \r\n",
    ]
)  # fmt: skip


@st.composite
def streams(draw):
    """Requests that are right, or nearly; then perhaps a byte goes, comes, or is doubled; then packets."""
    sent = b""
    for _ in range(draw(st.integers(1, 3))):
        line = draw(st.just(b"POST /a HTTP/1.1\r\n") | LINES)
        headers = draw(st.lists(HEADERS, max_size=3))
        host = draw(st.sampled_from([b"Host: a\r\n"] * 8 + [b""]))
        sent += line + host + b"".join(headers) + b"\r\n" + draw(BODIES)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(sent)))
        gone = draw(st.integers(0, 2))
        sent = sent[:place] + draw(st.binary(max_size=2)) + sent[place + gone :]
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    return [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


@settings(max_examples=250)
@given(streams())
@example([post(UPGRADES[0], body=CHUNKED)])
def test_no_request_is_read_that_another_parser_does_not_read(packets):
    """The same requests with the same bodies, or fewer and a refusal; never one more out of a body."""
    sent = b"".join(packets)
    heard = converse(*packets)
    expected, why = read_by_h11(sent)
    read = heard.requests
    if STRICTER.match(why):
        read = read[: len(expected)]
    assert read == expected[: len(read)], (why, heard.sent)
    if len(read) < len(expected):
        assert heard.closed, heard.sent


def test_attacks_on_the_frame_are_recorded():
    """What the tests above hold, for the page."""
    for _, sent in REFUSED:
        assert converse(sent + GET).requests == []
    recorded(
        "security",
        "requests whose end two servers see at two places: Transfer-Encoding beside Content-Length, twice, with gzip "
        "or in HTTP/1.0; no Host or two; CONNECT; HTTP/0.9; a chunk extension of 1 MB",
        "400, 431 or 501, and the connection ends; hundreds of odd streams give no request that h11 does not "
        "read too",
        "nothing that follows is read",
    )

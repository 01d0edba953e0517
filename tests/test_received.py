"""When the bytes of a client are a whole request: a table, and the same bytes cut in two at every position."""

from __future__ import annotations

import pytest

from app.serving.received import BODY_BYTES, HEAD_BYTES, Received

POST = b"POST /oauth/token HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = [
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="no-body"),
    pytest.param(b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", id="an-empty-line-first"),
    pytest.param(POST + b"Content-Length: 0\r\n\r\n", id="empty-body"),
    pytest.param(POST + b"CONTENT-LENGTH:  3  \r\nX: y\r\n\r\nabc", id="body"),
    pytest.param(POST + b"Content-Length: 7\r\n\r\n\r\n\r\nabc", id="body-that-looks-like-an-end"),
    pytest.param(CHUNKED + b"0\r\n\r\n", id="no-chunk"),
    pytest.param(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", id="chunk"),
    pytest.param(CHUNKED + b"1\r\na\r\nA;x=y\r\n0123456789\r\n0\r\nX: y\r\nZ: y\r\n\r\n", id="extension-and-trailers"),
    pytest.param(CHUNKED + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", id="chunk-that-looks-like-an-end"),
    pytest.param(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", id="expectation"),
]


@pytest.mark.parametrize("request_bytes", WHOLE)
def test_a_request_is_whole_with_its_last_byte_and_not_before(request_bytes: bytes) -> None:
    received = Received()

    found = []
    for byte in request_bytes:
        found.append(received.is_whole())
        received.add(bytes([byte]))

    assert found == [False] * len(request_bytes)
    assert received.is_whole()
    assert received.take() == request_bytes


@pytest.mark.parametrize("request_bytes", WHOLE)
def test_a_request_is_whole_with_the_next_one_behind_it_and_that_one_is_found_afterwards(request_bytes: bytes) -> None:
    received = Received()
    received.add(request_bytes + b"GET / HT")
    assert received.is_whole()

    taken = received.take()
    received.add(taken[len(request_bytes) :])

    assert not received.is_whole()
    received.add(b"TP/1.1\r\n\r\n")
    assert received.is_whole()


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"GET / HTTP/1.1\n\n", id="bare-line-feed"),
        pytest.param(b"x" * (HEAD_BYTES + 1), id="endless-head"),
        pytest.param(POST + b"Content-Length: x\r\n\r\n", id="length-is-no-number"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n", id="length-negative"),
        pytest.param(POST + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES + 1), id="length-too-long"),
        pytest.param(POST + b"Content-Length: %s\r\n\r\n" % (b"9" * 5_000), id="length-of-many-digits"),
        pytest.param(POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", id="two-lengths"),
        pytest.param(POST + b"Transfer-Encoding: gzip\r\n\r\n", id="other-coding"),
        pytest.param(POST + b"Expect: x\r\nContent-Length: 5\r\n\r\n", id="other-expectation"),
        pytest.param(CHUNKED + b"zz\r\n", id="chunk-size"),
        pytest.param(CHUNKED + b"3\r\nabcXX", id="chunk-end"),
        pytest.param(CHUNKED + b"fffffffff\r\n", id="chunk-size-too-large"),
        pytest.param(CHUNKED + b"1" * (HEAD_BYTES + 1), id="endless-chunk-size"),
        pytest.param(CHUNKED + b"0\r\n" + b"x" * (HEAD_BYTES + 1), id="endless-trailers"),
        pytest.param(CHUNKED + b"ffffffff\r\n" + b"x" * (BODY_BYTES + 1), id="endless-body"),
    ],
)
def test_nothing_more_is_waited_for_where_nothing_more_can_help(begin: bytes) -> None:
    received = Received()
    received.add(begin)

    assert received.is_whole()


def test_permission_to_send_a_body_is_given_only_to_http_1_1_and_only_while_it_is_awaited() -> None:
    def expects(begin: bytes) -> bool:
        received = Received()
        received.add(begin)
        received.is_whole()
        return received.expects_continue

    head = b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    assert expects(POST + head)
    assert not expects(POST.replace(b"/1.1", b"/1.0") + head)
    assert not expects(POST + b"Expect: 100-continue\r\n\r\n")
    assert not expects(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES + 1))

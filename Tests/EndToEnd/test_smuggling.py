"""Requests that two readers could understand differently, as raw bytes to a running hub.

Behind each one stands a second request. Whoever repairs the first one, or reads on behind it, answers the
second too. The hub answers the first with a refusal, closes, and says nothing more.
"""

import re
import socket

import pytest

SECOND = b"GET /livez HTTP/1.1\r\nHost: hub\r\n\r\n"
INNER = b"GET /livez HTTP/1.1\r\nHost: inner\r\n\r\n"


def fields(*lines, body=b"", method=b"POST", version=b"HTTP/1.1", host=b"Host: hub"):
    """A request with these field lines behind Host."""
    first = method + b" /api/accounts " + version
    return b"\r\n".join([first, *([host] if host else []), *lines]) + b"\r\n\r\n" + body


def chunked(body):
    return fields(b"Transfer-Encoding: chunked", body=body)


def line(first):
    return first + b"\r\nHost: hub\r\n\r\n"


REFUSED = {
    # Lengths.
    "two different lengths": (400, fields(b"Content-Length: 5", b"Content-Length: 40", body=b"hello")),
    "the same length twice": (400, fields(b"Content-Length: 5", b"content-length: 5", body=b"hello")),
    "lengths as a list": (400, fields(b"Content-Length: 5, 5", body=b"hello")),
    "length with a plus": (400, fields(b"Content-Length: +5", body=b"hello")),
    "negative length": (400, fields(b"Content-Length: -1")),
    "hexadecimal length": (400, fields(b"Content-Length: 0x5", body=b"hello")),
    "length with a space inside": (400, fields(b"Content-Length: 5 0", body=b"hello")),
    "length beyond 64 bits": (400, fields(b"Content-Length: 18446744073709551621", body=b"hello")),
    "empty length": (400, fields(b"Content-Length:", body=b"hello")),
    # Codings.
    "coding and length": (400, fields(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"0\r\n\r\n")),
    "length and coding": (400, fields(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    "unknown coding and length": (400, fields(b"Transfer-Encoding: x", b"Content-Length: 0")),
    "chunked in two lines": (
        400, fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    "chunked twice in a list": (400, fields(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n")),
    "chunked, then identity": (
        400, fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n")),
    "identity": (400, fields(b"Transfer-Encoding: identity", body=b"0\r\n\r\n")),
    "chunked not last": (400, fields(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n")),
    "gzip before chunked": (501, fields(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
    "another word that ends in chunked": (400, fields(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n")),
    "quoted chunked": (400, fields(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n")),
    "chunked with a parameter": (400, fields(b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n")),
    "vertical tab before chunked": (400, fields(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n")),
    "chunked with a length of mixed case beside it": (
        400, fields(b"tRANSFER-eNCODING: cHUNKED", b"cONTENT-lENGTH: 4", body=b"0\r\n\r\n")),
    "chunked in HTTP/1.0": (
        400, fields(b"Transfer-Encoding: chunked", b"Connection: keep-alive", body=b"0\r\n\r\n", version=b"HTTP/1.0")),
    # Field lines.
    "space before the colon": (400, fields(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    "tab before the colon": (400, fields(b"Content-Length\t: 5", body=b"hello")),
    "folded coding": (400, fields(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n")),
    "folded field that hides a length": (400, fields(b"X: a", b"\tContent-Length: 36", body=INNER)),
    "blank before the first field": (400, fields(b"X: a", host=b" Host: hub")),
    "line that ends with LF alone": (400, fields(b"X: a\nContent-Length: 5", body=b"hello")),
    "head that ends with LF alone": (400, b"GET /api/unread HTTP/1.1\nHost: hub\n\n"),
    "CR alone in a value": (400, fields(b"X: a\rContent-Length: 5", body=b"hello")),
    "NUL in a value": (400, fields(b"X: a\x00b")),
    "NUL in a name": (400, fields(b"Content-Length\x00: 5", body=b"hello")),
    "line without a colon": (400, fields(b"Content-Length")),
    "two hosts": (400, fields(b"Host: other")),
    "no host": (400, fields(host=None)),
    "host of two": (400, fields(host=b"Host: hub, other")),
    "host with a path": (400, fields(host=b"Host: hub/livez")),
    # Request lines.
    "two spaces": (400, line(b"GET  /api/unread HTTP/1.1")),
    "space behind the version": (400, line(b"GET /api/unread HTTP/1.1 ")),
    "space in the target": (400, line(b"GET /a HTTP/1.1 /api/unread HTTP/1.1")),
    "no version": (400, line(b"GET /api/unread")),
    "long version": (400, line(b"GET /api/unread HTTP/1.10")),
    "lower case method": (501, line(b"get /api/unread HTTP/1.1")),
    "CONNECT": (501, line(b"CONNECT hub:80 HTTP/1.1")),
    "absolute target with a user": (400, line(b"GET http://other@hub/api/unread HTTP/1.1")),
    "absolute target without a host": (400, line(b"GET http:///api/unread HTTP/1.1")),
    "absolute target of another scheme": (400, line(b"GET gopher://hub/api/unread HTTP/1.1")),
    "absolute target beside two hosts": (
        400, b"GET http://hub/livez HTTP/1.1\r\nHost: hub\r\nHost: other\r\n\r\n"),
    # Chunks.
    "chunk of more than 64 bits": (400, chunked(b"1" + b"0" * 16 + b"\r\nhello\r\n0\r\n\r\n")),
    "chunk whose size is all ones": (400, chunked(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n")),
    "chunk larger than any limit": (413, chunked(b"7fffffff\r\nhello\r\n0\r\n\r\n")),
    "chunk size with a prefix": (400, chunked(b"0x5\r\nhello\r\n0\r\n\r\n")),
    "chunk size with a plus": (400, chunked(b"+5\r\nhello\r\n0\r\n\r\n")),
    "negative chunk size": (400, chunked(b"-5\r\nhello\r\n0\r\n\r\n")),
    "space behind the chunk size": (400, chunked(b"5 \r\nhello\r\n0\r\n\r\n")),
    "chunk size that ends with LF alone": (400, chunked(b"5\nhello\r\n0\r\n\r\n")),
    "LF in a chunk extension": (400, chunked(b"5;a\nhello\r\n0\r\n\r\n")),
    "endless chunk extension": (400, chunked(b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n")),
    "chunk longer than its size": (400, chunked(b"5\r\nhello world\r\n0\r\n\r\n")),
    "chunk without its end": (400, chunked(b"5\r\nhello0\r\n\r\n")),
    "chunk that ends with LF alone": (400, chunked(b"5\r\nhello\n0\r\n\r\n")),
    "last chunk that ends with LF alone": (400, chunked(b"0\n\n")),
    "trailers that end with LF alone": (400, chunked(b"0\r\nX: a\n\r\n")),
    "folded trailer": (400, chunked(b"0\r\nX: a\r\n b\r\n\r\n")),
    "trailer with a space before its colon": (400, chunked(b"0\r\nContent-Length : 5\r\n\r\n")),
    "request in the place of trailers": (400, chunked(b"0\r\n" + INNER)),
}

PIECES = pytest.mark.parametrize("size", [1 << 20, 1], ids=["in one piece", "byte by byte"])


def exchange(hub, request, size=1 << 20):
    """All that comes back until the hub closes its side. A hub that does not close is a failure."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for start in range(0, len(request), size):
                connection.sendall(request[start : start + size])
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused before its end.
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def statuses(answer):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


@PIECES
@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_understood_differently_is_refused(hub, name, size):
    status, request = REFUSED[name]
    answer = exchange(hub, request + SECOND, size)
    assert statuses(answer) == [status], answer
    head = answer.split(b"\r\n\r\n")[0].lower()
    assert b"\r\nconnection: close" in head
    assert b'"code":"' in answer


@pytest.mark.parametrize("name", ["coding and length", "folded coding", "chunk longer than its size"])
def test_requests_before_it_are_answered_and_none_behind_it(hub, name):
    status, request = REFUSED[name]
    assert statuses(exchange(hub, SECOND + SECOND + request + SECOND)) == [200, 200, status]


def test_what_belongs_to_a_body_is_not_a_request(hub):
    """The same bytes in their place: each body hides a request, and the request behind it is answered."""
    closing = SECOND.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    sized = fields(b"Content-Length: %d" % len(INNER), body=INNER)
    in_chunks = chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (len(INNER), INNER))
    in_trailers = chunked(b"0\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n")
    for request in (sized, in_chunks, in_trailers):
        # Answered 401: nobody has signed in.
        assert statuses(exchange(hub, request + closing)) == [401, 200], request


def test_an_absolute_target_is_stronger_than_its_host(hub):
    """RFC 9112 section 3.2.2: the Host is to be ignored, not refused."""
    request = b"GET http://hub/livez HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n"
    assert statuses(exchange(hub, request)) == [200]

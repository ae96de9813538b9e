"""The wire forms of Engine.IO 3 and 4 and Socket.IO 4 and 5, byte by byte, as their specifications have them."""

import gzip
import json
import socket
import threading
import urllib.parse

import pytest
import requests
import websocket

from echo import Echo, Polling

SEPARATOR = "\x1e"


@pytest.fixture(scope="module")
def echo():
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture(scope="module")
def only_4():
    echo = Echo("--engine-io-3", "off")
    yield echo
    echo.close()


def expect_closed(connection):
    """Closed with a close frame or without one: whoever was silent may not be there to read it."""
    try:
        opcode, _ = connection.recv_data()
    except websocket.WebSocketConnectionClosedException:
        return
    assert opcode == websocket.ABNF.OPCODE_CLOSE


def handshake(text):
    """The JSON of an open packet."""
    assert text[0] == "0", text
    return json.loads(text[1:])


def counted(*packets):
    """A payload of revision 3: lengths in UTF-16 units."""
    return "".join(f"{len(packet.encode('utf-16-le')) // 2}:{packet}" for packet in packets)


def uncounted(text):
    packets = []
    while text:
        length, text = text.split(":", 1)
        units = text.encode("utf-16-le")
        packets.append(units[: 2 * int(length)].decode("utf-16-le"))
        text = units[2 * int(length):].decode("utf-16-le")
    return packets


def opened_4(echo, path="/engine.io/", **query):
    polling = Polling(echo, 4, path, **query)
    return polling.use(handshake(polling.opened.text)["sid"])


def opened_3(echo, path="/engine.io/", **query):
    polling = Polling(echo, 3, path, b64=1, **query)
    first, *more = uncounted(polling.opened.content.decode())
    polling.first = more
    return polling.use(handshake(first)["sid"])


# Engine.IO 4.


def test_handshake_of_revision_4(echo):
    by_polling = Polling(echo, 4).opened
    assert by_polling.status_code == 200
    assert by_polling.headers["Content-Type"].startswith("text/plain")
    opened = handshake(by_polling.text)
    assert opened == {
        "sid": opened["sid"], "upgrades": ["websocket"], "pingInterval": 300, "pingTimeout": 200,
        "maxPayload": 1_000_000,
    }
    with_socket = echo.socket("EIO=4")
    assert handshake(with_socket.recv())["upgrades"] == []
    with_socket.close()


def test_polling_of_revision_4(echo):
    polling = opened_4(echo)
    answer = polling.post(SEPARATOR.join(["4Grüße 👋", "bAQIDBA==", "4"]).encode())
    assert (answer.status_code, answer.text) == (200, "ok")
    packets = [packet for packet in polling.get().content.decode().split(SEPARATOR) if packet != "2"]
    assert packets == ["4Grüße 👋", "bAQIDBA==", "4"]


def test_websocket_of_revision_4(echo):
    connection = echo.socket("EIO=4")
    handshake(connection.recv())
    connection.send("4text")
    assert connection.recv() == "4text"
    connection.send_binary(b"\x00\x01\xff")
    assert connection.recv() == b"\x00\x01\xff"
    assert connection.recv() == "2", "the server pings"
    connection.send("3")
    assert connection.recv() == "2"
    connection.close()


def test_a_silent_client_of_revision_4_is_closed(echo):
    connection = echo.socket("EIO=4")
    handshake(connection.recv())
    assert connection.recv() == "2"
    expect_closed(connection)


@pytest.mark.parametrize("body", ["", "abc", "4a" + SEPARATOR, SEPARATOR + "4a", "b!!!", "7"])
def test_a_malformed_payload_closes_the_session(echo, body):
    polling = opened_4(echo)
    assert polling.post(body).status_code == 400
    assert polling.get().json()["code"] == 1


def test_two_polls_at_once_close_the_session(echo):
    polling = opened_4(echo)
    polling.get()  # The first ping is due soon; the next one is held.
    polling.post("3")
    answers = []

    def poll():
        answers.append(requests.get(polling.url, params=polling.query, timeout=5))

    both = [threading.Thread(target=poll) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert polling.get().status_code == 400


def test_upgrade_with_a_probe(echo):
    polling = opened_4(echo)
    polling.post("4before")
    assert "4before" in polling.get().text
    connection = echo.socket(f"EIO=4&sid={polling.query['sid']}")
    connection.send("2probe")
    assert connection.recv() == "3probe"
    connection.send("5")
    connection.send("4after")
    texts = [connection.recv()]
    while texts[-1] == "2":
        texts.append(connection.recv())
    assert texts[-1] == "4after"
    assert polling.get().status_code == 400
    connection.close()


@pytest.mark.parametrize("method, query, code", [
    ("GET", "EIO=4", 0), ("GET", "EIO=4&transport=abc", 0), ("GET", "EIO=4&transport=polling&sid=abc", 1),
    ("POST", "EIO=4&transport=polling", 2), ("PUT", "EIO=4&transport=polling", 2),
    ("GET", "EIO=4&transport=websocket", 3),
    ("GET", "transport=polling", 5), ("GET", "EIO=3&transport=polling", 5), ("GET", "EIO=abc&transport=polling", 5),
])
def test_refusals_are_json_as_clients_read_it(only_4, method, query, code):
    answer = requests.request(method, f"{only_4.url}/engine.io/?{query}", timeout=5)
    assert answer.status_code == 400
    assert answer.json()["code"] == code and answer.json()["message"]


def test_cors_reflects_the_origin(echo):
    headers = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    preflight = requests.options(f"{echo.url}/engine.io/?EIO=4&transport=polling", headers=headers, timeout=5)
    assert preflight.status_code == 204
    for answer in (preflight, Polling(echo).session.get(
            f"{echo.url}/engine.io/?EIO=4&transport=polling", headers=headers, timeout=5)):
        assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"


def test_a_body_that_is_too_long_is_refused_readably_and_the_session_lives_on(echo):
    polling = opened_4(echo)
    answer = polling.post("4" + "x" * 1_000_000, headers={"Origin": "https://page.example"})
    assert answer.status_code == 413
    assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert polling.post("4" + "x" * 999_999).text == "ok"


def test_a_message_that_is_too_long_closes_the_websocket(echo):
    connection = echo.socket("EIO=4")
    handshake(connection.recv())
    connection.send("4" + "x" * 1_000_000)
    while (frame := connection.recv_data())[0] != websocket.ABNF.OPCODE_CLOSE:
        assert frame[1] == b"2"
    assert int.from_bytes(frame[1][:2]) == 1009


@pytest.mark.parametrize("text", ["2other", "5", "4early", "3probe"])
def test_a_wrong_probe_is_closed_and_polling_goes_on(echo, text):
    polling = opened_4(echo)
    connection = echo.socket(f"EIO=4&sid={polling.query['sid']}")
    connection.send(text)
    expect_closed(connection)
    polling.post("4still")
    assert "4still" in polling.get().text


@pytest.mark.parametrize("revision, prefix", [(4, "b"), (3, "b4")])
def test_binary_as_text_for_those_who_take_no_bytes(echo, revision, prefix):
    """`forceBase64` of the JavaScript clients: `b64=1`, and base64 both ways on the WebSocket too."""
    connection = echo.socket(f"EIO={revision}&b64=1")
    handshake(connection.recv())
    connection.send(prefix + "AQID/w==")
    assert connection.recv() == prefix + "AQID/w=="
    connection.close()
    # Of a client that does not say so, base64 is read all the same, and answered by bytes.
    connection = echo.socket(f"EIO={revision}")
    handshake(connection.recv())
    connection.send(prefix + "AQID/w==")
    assert connection.recv() == (b"\x04" if revision == 3 else b"") + b"\x01\x02\x03\xff"
    connection.close()


@pytest.mark.parametrize("offer, status", [
    ("permessage-deflate; client_max_window_bits", 101), ("x-other; a=1, permessage-deflate", 101),
    ("permessage-deflate; unknown=1", 101), ("permessage-deflate; server_max_window_bits=\"8\"", 101),
    ("permessage-deflate; a b", 400), ("permessage-deflate; server_max_window_bits=", 400), (";", 400),
    ("permessage-deflate; server_max_window_bits=\"8", 400),
])
@pytest.mark.parametrize("path", ["/ws", "/engine.io/?EIO=4&transport=websocket"])
def test_offers_of_extensions(echo, path, offer, status):
    host, port = echo.address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall((
            f"GET {path} HTTP/1.1\r\nHost: {echo.address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Extensions: {offer}\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            assert (part := connection.recv(4096)), head
            head += part
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    agreed = b"sec-websocket-extensions: permessage-deflate" in head.lower()
    assert agreed == (path == "/ws" and status == 101 and "unknown" not in offer)


@pytest.mark.parametrize("revision", [4, 3])
def test_large_answers_are_compressed_for_those_who_take_it(echo, revision):
    polling = opened_4(echo) if revision == 4 else opened_3(echo)
    text = "4" + "again and " * 1000
    frame = (lambda packet: packet) if revision == 4 else counted
    for accepts, encoding in (("gzip", "gzip"), ("identity", None), ("gzip;q=0", None)):
        assert polling.post(frame(text)).text == "ok"
        answer = polling.get(headers={"Accept-Encoding": accepts}, stream=True)
        assert answer.headers.get("Content-Encoding") == encoding
        raw = answer.raw.read()
        assert len(raw) == int(answer.headers["Content-Length"])
        if encoding:
            assert len(raw) < 1000
            raw = gzip.decompress(raw)
        assert text in raw.decode()


# Engine.IO 3.


def test_handshake_of_revision_3(echo):
    for query in ({"EIO": 3}, {}):
        answer = requests.get(
            f"{echo.url}/engine.io/", params={"transport": "polling", "b64": 1, **query}, timeout=5)
        opened = handshake(uncounted(answer.text)[0])
        assert opened["upgrades"] == ["websocket"] and opened["pingInterval"] == 300


def test_polling_of_revision_3_as_text(echo):
    polling = opened_3(echo)
    sent = ["4Grüße 👋", "b4AQIDBA==", "4last"]
    answer = polling.post(counted(*sent).encode(), headers={"Content-Type": "text/plain;charset=UTF-8"})
    assert (answer.status_code, answer.text) == (200, "ok")
    assert uncounted(polling.get().content.decode()) == sent


def opened_3_binary(echo):
    """A session whose client takes bytes. Without any in them, payloads are text even so."""
    polling = Polling(echo, 3)
    return polling.use(handshake(uncounted(polling.opened.text)[0])["sid"])


BYTES = {"Content-Type": "application/octet-stream"}


def test_polling_of_revision_3_as_bytes(echo):
    polling = opened_3_binary(echo)
    payload = b"\x00\x03\xff" + b"4ab" + b"\x01\x05\xff" + b"\x04\x01\x02\x03\x04"
    assert polling.post(payload, headers=BYTES).text == "ok"
    answer = polling.get()
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.content == payload
    # Some clients count characters where UTF-16 units are meant: such text comes by byte lengths too.
    polling.post(counted("4👋").encode())
    assert polling.get().content == b"\x00\x05\xff" + "4👋".encode()


@pytest.mark.parametrize("body", ["", "abc", "5:4a", "0:", ":4a", "-1:4a", "99999999999:4a", "2:4a2"])
def test_a_malformed_payload_of_revision_3_closes_the_session(echo, body):
    polling = opened_3(echo)
    assert polling.post(body).status_code == 400
    assert polling.get().json()["code"] == 1


@pytest.mark.parametrize("body", [
    b"\x00\xff", b"\x02\x02\xff4a", b"\x00\x09\xff4a", b"\x00\x0a\xff4a", b"\x01\x02\xff\x05a", b"\x00" + b"\x01" * 12,
])
def test_malformed_bytes_of_revision_3_close_the_session(echo, body):
    polling = opened_3_binary(echo)
    assert polling.post(body, headers=BYTES).status_code == 400
    assert polling.get().json()["code"] == 1


def test_clients_of_revision_3_ping(echo):
    connection = echo.socket("EIO=3")
    handshake(connection.recv())
    for ping in ("2", "2probe", "2"):
        connection.send(ping)
        assert connection.recv() == "3" + ping[1:]
    connection.send_binary(b"\x04\x00\xff")
    assert connection.recv() == b"\x04\x00\xff"
    # Without pings it is closed, having been sent none.
    expect_closed(connection)


def test_script_tags(echo):
    """Polling by JSONP: answers are scripts, what is posted is a form."""
    polling = Polling(echo, 3, j=7)
    assert polling.opened.headers["Content-Type"].startswith("text/javascript")
    body = polling.opened.text
    assert body.startswith('___eio[7]("') and body.endswith('");')
    first = uncounted(json.loads(body[len("___eio[7]("):-2]))[0]
    polling.use(handshake(first)["sid"])
    message = '4"quoted"\\n and \u2028'
    # The page writes a written backslash-n with two backslashes, so that it is not taken for a line break.
    form = "d=" + urllib.parse.quote(counted(message).replace("\\n", "\\\\n"))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert polling.post(form, headers=headers).status_code == 200
    script = polling.get().content.decode()
    assert "\u2028" not in script
    assert uncounted(json.loads(script[len("___eio[7]("):-2])) == [message]


# Socket.IO.


class Client:
    """A raw Socket.IO client on a WebSocket, which answers the heartbeats of its revision."""

    def __init__(self, echo, revision):
        self.revision = revision
        self.connection = echo.socket(f"EIO={revision}", "/socket.io/")
        handshake(self.connection.recv())

    def send(self, *messages):
        for message in messages:
            if isinstance(message, bytes):
                self.connection.send_binary(message)
            else:
                self.connection.send(message)

    def receive(self):
        while True:
            message = self.connection.recv()
            if message == "2":
                self.connection.send("3")
            else:
                return message

    def close(self):
        self.connection.close()


@pytest.fixture
def client(echo):
    client = Client(echo, 4)
    yield client
    client.close()


@pytest.fixture
def joined(client):
    client.send("40")
    assert client.receive().startswith('40{"sid":"')
    assert client.receive() == '42["auth",{}]'
    return client


def test_namespaces_of_revision_5(client):
    client.send('40{"token":"t"}')
    assert set(json.loads(client.receive()[2:])) == {"sid"}
    assert client.receive() == '42["auth",{"token":"t"}]'
    client.send('40/custom,{"a":1}')
    assert client.receive().startswith('40/custom,{"sid":"')
    assert client.receive() == '42/custom,["auth",{"a":1}]'
    client.send("40/denied,")
    assert client.receive() == '44/denied,{"message":"not allowed","data":{"code":42}}'
    client.send("40/nowhere,")
    assert client.receive() == '44/nowhere,{"message":"Invalid namespace"}'
    client.send('42["bye"]', '42/custom,["message",1]')
    assert client.receive() == "41"
    assert client.receive() == '42/custom,["message-back",1]'


def test_a_second_connect_closes_the_connection(joined):
    joined.send("40")
    assert joined.receive() in ("", b"")


def test_events_answers_and_bytes(joined):
    joined.send('42["message",1,"2",{"3":[true]}]', '42456["message-with-ack",1,"2"]')
    assert joined.receive() == '42["message-back",1,"2",{"3":[true]}]'
    assert joined.receive() == '43456[1,"2"]'
    one, two = '{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":1}'
    joined.send(f'452-["message",{one},{two}]', b"\x01\x02", b"\x03")
    assert [joined.receive() for _ in range(3)] == [f'452-["message-back",{one},{two}]', b"\x01\x02", b"\x03"]
    joined.send(f'452-789["message-with-ack",{one},{two}]', b"\x01\x02", b"\x03")
    assert [joined.receive() for _ in range(3)] == [f"462-789[{one},{two}]", b"\x01\x02", b"\x03"]


def test_the_server_asks_and_waits_for_the_answer(joined):
    joined.send('429["ask-me",{"v":1}]')
    assert joined.receive() == '420["question",{"v":1}]'
    joined.send('430["yes",2]')
    assert joined.receive() == '439[["yes",2]]'
    # One that nobody waits for is not an error.
    joined.send("4377[]", '42["message"]')
    assert joined.receive() == '42["message-back"]'


def test_rooms(echo, joined):
    other = Client(echo, 4)
    other.send("40")
    other.receive(), other.receive()
    other.send('420["join","r"]')
    assert other.receive() == "430[]"
    joined.send('42["to-room","r",1]')
    assert other.receive() == '42["room-event",1]'
    other.close()


@pytest.mark.parametrize("placeholder", ['{"_placeholder":true,"num":1}', '[{"_placeholder":true,"num":-1}]'])
def test_a_placeholder_for_nothing_closes_the_connection(joined, placeholder):
    joined.send(f'451-["message",{placeholder}]', b"\x01")
    assert joined.receive() in ("", b"")


@pytest.mark.parametrize("name", ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"])
def test_a_reserved_name_closes_the_connection(joined, name):
    joined.send(f'42["{name}"]')
    assert joined.receive() in ("", b"")


@pytest.mark.parametrize("packet", ["4abc", "42{}", '42["message"', "42[1]", '452-["x"]x', '45a-["x"]', "46", "4"])
def test_a_malformed_packet_closes_the_connection(joined, packet):
    joined.send(packet)
    assert joined.receive() in ("", b"")


def test_the_revision_of_older_clients(echo):
    client = Client(echo, 3)
    assert client.receive() == "40", "the server connects the first namespace by itself"
    assert client.receive() == '42["auth",{}]'
    # A token may be long. The library for Python leaves the comma out.
    token = "abc." * 500
    client.send(f"40/custom?token={token}")
    assert client.receive() == "40/custom,"
    assert client.receive() == '42/custom,["auth",{"token":"%s"}]' % token
    client.send("41/custom")
    client.send("40/custom?token=abc&a=%20,")
    assert client.receive() == "40/custom,"
    assert client.receive() == '42/custom,["auth",{"a":" ","token":"abc"}]'
    client.send("40/denied,")
    assert client.receive() == '44/denied,{"code":42}'
    client.send("40/nowhere,")
    assert client.receive() == '44/nowhere,"Invalid namespace"'
    client.send('452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"\x04\x01", b"\x04\x02")
    assert client.receive().startswith('452-["message-back",')
    assert [client.receive(), client.receive()] == [b"\x04\x01", b"\x04\x02"]
    client.close()

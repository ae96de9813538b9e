"""A platform under test control: an HTTP server that writes down what it is sent and answers as it is told.

A test gives it a function from a request to an answer. An answer is (status, JSON or bytes), with headers as a third
part; `HANG` keeps the request until the test ends, `CUT` closes the connection without an answer, `HALF` in the
middle of one.
"""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

HANG = object()
CUT = object()
HALF = object()


class Listening(ThreadingHTTPServer):
    # Python's own, 5, has the kernel drop connections when a hub opens a hundred at once.
    request_queue_size = 1024


@dataclass
class Call:
    method: str
    path: str
    query: dict
    headers: dict
    body: bytes
    number: int = 0

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def form(self):
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class PlatformServer:
    answer: object = None
    calls: list = field(default_factory=list)

    def __post_init__(self):
        self.lock = threading.Lock()
        self.ended = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                call = Call(
                    self.command,
                    parts.path,
                    {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()},
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(length),
                )
                with server.lock:
                    call.number = len(server.calls) + 1
                    server.calls.append(call)
                result = server.answer(call)
                if result is HANG:
                    server.ended.wait(120)
                    result = CUT
                if result is HALF:
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"')
                    result = CUT
                if result is CUT:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, content, *more = result
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                headers = {"Content-Type": "application/json"} | (more[0] if more else {})
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                try:
                    self.end_headers()
                    self.wfile.write(body)
                except ConnectionError:
                    # Who asked has gone: a hub that was killed, or an account that was switched off.
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.server = Listening(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def named(self, ending):
        with self.lock:
            return [call for call in self.calls if call.path.endswith(ending)]

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

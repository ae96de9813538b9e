"""Publishes public keys on the loopback, where a hub fetches them instead of at the platform (KEY_SET_MIRRORS)."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class DocumentServer:
    """Answers with JSON documents, by path."""

    def __init__(self, documents):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                found = documents.get(self.path)
                body = json.dumps(found).encode()
                self.send_response(200 if found is not None else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

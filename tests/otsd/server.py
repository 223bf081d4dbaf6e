"""The protocol on HTTP: /digest, /timestamp/<hex>, and /commit for whoever runs the test."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.otsd.calendar import Calendar

DIGEST_BYTES_MAX = 64


class _Handler(BaseHTTPRequestHandler):
    calendar: Calendar

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/commit":
            self._answer(200, self.calendar.commit().encode())
        elif self.path == "/digest" and 0 < len(body) <= DIGEST_BYTES_MAX:
            self._answer(200, self.calendar.submit(body))
        else:
            self._answer(400, b"digest too long")

    def do_GET(self) -> None:
        message = bytes.fromhex(self.path.removeprefix("/timestamp/"))
        found = self.calendar.look_up(message)
        if found is None:
            self._answer(404, b"Pending confirmation in Bitcoin blockchain")
        else:
            self._answer(200, found)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.opentimestamps.v1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def make_server(make: Callable[[str], Calendar]) -> ThreadingHTTPServer:
    """A server on a free loopback port; `make` gets its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    _Handler.calendar = make(f"http://127.0.0.1:{server.server_address[1]}")
    return server

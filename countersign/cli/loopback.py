"""A web server of this machine that takes one answer from a browser (RFC 8252, 7.3)."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from countersign.cli.output import Failure

_HOST: Final = "127.0.0.1"
_PATH: Final = "/callback"
_LONGEST: Final = 16_384  # characters of an answer
_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}


class Loopback:
    """Listens at a port that the system gives."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self.redirect_uri = f"http://{_HOST}:{server.server_port}{_PATH}"

    def wait(self, state: str, seconds: float) -> dict[str, str]:
        """The parameters of the first answer that names the state that was asked with.

        Others count for nothing: whatever page is open in a browser can send some.

        Raises:
            Failure: there was none in time.
        """
        self._server.state = state
        try:
            return self._server.answers.get(timeout=seconds)
        except queue.Empty:
            raise Failure("nobody signed in in time") from None


@contextmanager
def listening() -> Iterator[Loopback]:
    """Listen until the block ends."""
    server = _Server((_HOST, 0), _Handler)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    serving.start()
    try:
        yield Loopback(server)
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    state: str | None = None

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.answers: queue.Queue[dict[str, str]] = queue.Queue()


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # seconds; a browser opens connections that it sends nothing on
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != _PATH:
            self._say(HTTPStatus.NOT_FOUND, "There is nothing here.")
            return
        pairs = parse_qsl(parts.query) if len(parts.query) <= _LONGEST else []
        answer, state = dict(pairs), self.server.state
        at_home = self.headers.get("Host") == f"{_HOST}:{self.server.server_port}"
        known = state is not None and secrets.compare_digest(answer.get("state", "").encode(), state.encode())
        if not known or not at_home or len(answer) < len(pairs):
            self._say(HTTPStatus.BAD_REQUEST, "Nobody asked for this. Begin again at the command line.")
            return
        self._say(HTTPStatus.OK, "The command line has the answer and goes on there. Close this page.")
        self.server.answers.put(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nothing: a request line has the code in it."""

    def version_string(self) -> str:
        return "countersign"

    def _say(self, status: HTTPStatus, text: str) -> None:
        page = (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>Countersign</title><main><h1>Countersign</h1><p>{text}</p></main></html>\n"
        ).encode()
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Length": str(len(page))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

"""``make audit``: a known vulnerability fails it, and that its data cannot be had it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.people import ROOT

KNOWN = {
    "id": "OSV-0000-1",
    "summary": "Made up",
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "httpx", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999.0"}]}],
        }
    ],
}


@contextmanager
def a_service(vulnerable: set[str]) -> Iterator[str]:
    """A service of OSV's interface that knows of one vulnerability, in the packages named."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = [KNOWN] if asked["package"]["name"] in vulnerable else []
            body = json.dumps({"vulns": known} if known else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


async def audit(url: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "make",
        "--no-print-directory",
        "audit",
        f"AUDIT=--vulnerability-service osv --osv-url {url}",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.mark.parametrize(("vulnerable", "status"), [(set(), 0), ({"httpx"}, 2)])
async def test_a_known_vulnerability_fails_the_audit(vulnerable: set[str], status: int) -> None:
    with a_service(vulnerable) as url:
        ended, said = await audit(url)
    assert ended == status, said
    assert ("OSV-0000-1" in said) == bool(vulnerable), said
    assert "SKIPPED" not in said


async def test_an_audit_without_data_says_that_it_was_skipped() -> None:
    ended, said = await audit("http://127.0.0.1:1/v1/query")
    assert ended == 0
    assert "SKIPPED: the data on known vulnerabilities cannot be had from here" in said

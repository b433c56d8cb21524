"""Bringing documents, and getting them, at the command line."""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from countersign.runtime.embedded.ports import free_ports
from countersign.runtime.embedded.services import Services
from countersign.runtime.resources import directory
from tests.attachments.papers import archive, pdf
from tests.cli.conftest import Terminal, run
from tests.conftest import an_api_process
from tests.people import minimal_proposal


@pytest.fixture(scope="module")
async def strict(services: Services, working: None) -> AsyncIterator[Terminal]:
    """At an API that takes nothing whose documents are not there."""
    (port,) = free_ports(0)
    async with an_api_process(
        services, port, services.home.logs / "strict.log", COUNTERSIGN_ATTACHMENTS_ABSENT="refuse"
    ):
        yield Terminal(services, f"http://127.0.0.1:{port}")


def hash_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def lying_in(path: Path) -> list[str]:
    return [one.name for one in path.iterdir()]


def proposal(path: Path) -> tuple[Path, list[bytes]]:
    """A proposal in a file, with its documents beside it, and the contents of these."""
    contents = [pdf(str(uuid.uuid4())) for _ in range(3)]
    (path / "documents").mkdir()
    body = minimal_proposal(title={"en": f"Of {path.name}"})
    for i, (content, document) in enumerate(zip(contents, body["documents"], strict=True)):
        document |= {"sha256": hash_of(content), "name": f"Paper {i}.pdf"}
        (path / "documents" / f"called-otherwise-{i}.pdf").write_bytes(content)
    (path / "documents" / "unnamed.txt").write_text("Nobody names this.")
    file = path / "proposal.json"
    file.write_text(json.dumps(body), encoding="utf-8")
    return file, contents


async def test_what_a_proposal_names_is_brought_from_beside_it_and_downloaded_again(
    strict: Terminal, tmp_path: Path
) -> None:
    file, contents = proposal(tmp_path)
    submitted = await strict.remotely("submit", file, "--json", who="il-lead")
    assert submitted.status == 0, submitted
    initiative = submitted.json["id"]
    again = await strict.remotely("submit", file, "--json", who="il-lead")
    assert again.json["id"] == initiative

    listed = await strict.remotely("attachments", initiative, "--json", who="il-head")
    assert [(one["name"], one["sha256"]) for one in listed.json["items"]] == [
        (f"Paper {i}.pdf", hash_of(content)) for i, content in enumerate(contents)
    ]
    table = await strict.remotely("attachments", initiative, who="il-head")
    assert "data_management_plan" in table.out
    assert "Nobody" not in table.out

    target = tmp_path / "got.pdf"
    begun = hash_of(contents[1]).removeprefix("sha256:")[:20]
    got = await strict.remotely("download", initiative, begun, "-o", target, who="az-auditor")
    assert got.status == 0, got
    assert target.read_bytes() == contents[1]
    over = await strict.remotely("download", initiative, begun, "-o", target, who="az-auditor")
    assert (over.status, "is there already" in over.err) == (2, True)
    none = await strict.remotely("download", initiative, "0" * 40, who="az-auditor")
    assert (none.status, "0 of its documents" in none.err) == (2, True)
    stranger = await strict.remotely("download", initiative, begun, who="az-partner")
    assert (stranger.status, "not_found" in stranger.err) == (1, True)
    assert sorted(lying_in(tmp_path)) == ["documents", "got.pdf", "proposal.json"]


async def test_a_document_is_saved_here_whatever_an_api_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pdf("elsewhere")
    known = hash_of(content)
    named = {"sha256": known, "size": len(content), "file_name": f"{tmp_path}/elsewhere.pdf"}

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers = {"attachments": {"items": [named]}, known: named | {"url": "/v1/downloads/a"}}
            found = answers.get(self.path.rpartition("/")[2])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content if found is None else json.dumps(found).encode())

    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        got = await run(
            *("download", "ILAZ-2027-0001", known, "--url", url),
            COUNTERSIGN_TOKEN="a-token",
        )
        server.shutdown()
    assert got.status == 0, got
    assert (lying_in(here), lying_in(tmp_path)) == (["elsewhere.pdf"], ["here"])


async def test_a_proposal_without_its_documents_is_refused_with_their_places(
    strict: Terminal, tmp_path: Path
) -> None:
    file, _ = proposal(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "documents").rename(elsewhere)
    refused = await strict.remotely("submit", file, who="il-lead")
    assert refused.status == 1
    assert "documents[0].sha256" in refused.err
    wrong = await strict.remotely("submit", file, "--documents", tmp_path / "nowhere", who="il-lead")
    assert (wrong.status, "is no directory" in wrong.err) == (2, True)
    taken = await strict.remotely("submit", file, "--documents", elsewhere, who="il-lead")
    assert taken.status == 0, taken


async def test_documents_are_brought_one_by_one_and_what_is_not_taken_is_told(
    strict: Terminal, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.pdf", tmp_path / "bad.docx"
    good.write_bytes(pdf(str(uuid.uuid4())))
    bad.write_bytes(archive({"run.exe": b"MZ"}))
    brought = await strict.remotely("attach", good, who="il-lead")
    assert (brought.status, brought.out.split()) == (0, [hash_of(good.read_bytes()), str(good)])
    as_json = await strict.remotely("attach", good, "--json", who="il-lead")
    assert as_json.json["items"][0]["media_type"] == "application/pdf"
    refused = await strict.remotely("attach", bad, who="il-lead")
    assert (refused.status, "media_type_refused" in refused.err) == (1, True)
    absent = await strict.remotely("attach", tmp_path / "absent.pdf", who="il-lead")
    assert (absent.status, "cannot be read" in absent.err) == (2, True)


@pytest.mark.parametrize(
    "name",
    [
        *("doctoral-exchange-school", "low-resource-language-models"),
        *("supercomputer-allocation", "water-loss-detection"),
    ],
)
async def test_each_shipped_example_is_submitted_with_its_documents(name: str, strict: Terminal) -> None:
    file = directory("examples") / f"{name}.json"
    body = json.loads(file.read_text(encoding="utf-8"))
    lead = next(one["directorate"] for one in body["partners"] if one["role"] == "lead")
    submitted = await strict.remotely(
        "submit", file, "--key", str(uuid.uuid4()), "--json", who=f"{lead}-lead"
    )
    assert submitted.status == 0, submitted
    listed = await strict.remotely("attachments", submitted.json["id"], "--json", who="il-auditor")
    assert [one["sha256"] for one in listed.json["items"]] == [one["sha256"] for one in body["documents"]]
    for one in body["documents"]:
        content = (file.parent / "documents" / one["name"]).read_bytes()
        assert hash_of(content) == one["sha256"]

"""What people write is data: in every text field something that would be code elsewhere, stored and shown as it is."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from countersign.domain.proposal import Proposal
from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.people import Office, minimal_proposal

Body = dict[str, Any]

NASTY = (
    "'; DROP TABLE audit_entry; --",
    "' OR '1'='1",
    "$1; SELECT pg_sleep(10)",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{7*7}} ${7*7} #{7*7} %s %(name)s {number}",
    "${jndi:ldap://127.0.0.1:1/a}",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "=HYPERLINK(cmd|' /C calc'!A0)",
    "<!ENTITY xxe SYSTEM 'file:///etc/passwd'>&xxe;",
    "[bold red]INJECTED[/]",
    "\\u0000 \\n \\x1b[2J",
)
"""Each harmless as text, and code to somebody who does not take it for text."""

FREE = re.compile(
    r"^(title|summary|partners\[\d+\]\.(name|contact\.name|participants\[\d+\]\.name)|work_packages\[\d+\]\.title"
    r"|work_packages\[\d+\]\.deliverables\[\d+\]|budget\[\d+\]\.description|documents\[\d+\]\.name"
    r"|milestones\[\d+\]\.title)(\.[a-z]{2})?$"
)
"""The places of a proposal in which anything may be written."""


def written(body: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every text in a body: its place, what holds it, and under which key."""
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        here = f"{place}[{key}]" if isinstance(body, list) else f"{place}.{key}".lstrip(".")
        if isinstance(value, str):
            yield here, body, key
        else:
            yield from written(value, here)


def nasty_proposal() -> Body:
    """A proposal with something nasty in every place where one can write."""
    proposal = copy.deepcopy(minimal_proposal())
    proposal["milestones"] = [{"id": "pilot", "title": {"en": "A pilot"}, "month": 3}]
    proposal["partners"][0]["participants"] = [{"name": "Somebody", "email": "some@body.example"}]
    texts = itertools.cycle(NASTY)
    places = [one for one in written(proposal) if FREE.match(one[0])]
    assert len(places) >= len(NASTY)
    for _, holder, key in places:
        holder[key] = next(texts)
    return proposal


async def tables(database: Database) -> set[str]:
    """Every table that has rows."""
    async with database.reading() as connection:
        names = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        return {
            name for name in names if await connection.scalar(text(f'SELECT EXISTS (SELECT 1 FROM "{name}")'))
        }


async def test_what_is_written_in_a_proposal_is_shown_as_it_was_written(
    office: Office, services: Services, database: Database
) -> None:
    before = await tables(database)
    proposal = nasty_proposal()
    submitted = await office.submit(proposal)
    base = f"/v1/initiatives/{submitted['id']}"
    read = await office.call("il-lead", "GET", f"{base}/proposal")
    assert read.headers["content-type"] == "application/json"
    assert read.json()["proposal"] == Proposal.model_validate(proposal).document_form()
    view = await office.get("il-head", base)
    assert view["title"] == proposal["title"]
    assert await tables(database) >= before


@pytest.mark.parametrize("nasty", NASTY)
async def test_what_is_written_in_messages_and_searches_is_shown_as_it_was_written(
    nasty: str, office: Office, database: Database
) -> None:
    initiative = (await office.submit(minimal_proposal()))["id"]
    base = f"/v1/initiatives/{initiative}"
    before = await tables(database)
    matter = await office.open_matter_of(initiative, "clearance")
    signed = await office.sign("il-legal", initiative, "return", matter=matter, reasons=nasty, comment=nasty)
    assert signed.status_code == 200, signed.text
    own = (await office.get("il-head", f"{base}/matters/{matter['number']}"))["sides"]["il"]
    (first,) = own["sign_offs"]
    assert (first["reasons"], first["comment"]) == (nasty, nasty)
    declared = await office.call("il-officer", "POST", f"{base}/conflicts", body={"reasons": nasty})
    assert declared.status_code == 200
    found = await office.get("il-auditor", "/v1/audit?limit=5")
    assert found["items"]
    for query in ("/v1/initiatives", "/v1/audit"):
        for name in ("text", "area", "actor", "action", "initiative", "cursor"):
            answer = await office.call("il-auditor", "GET", query + "?" + name + "=" + _quoted(nasty))
            assert answer.status_code in (200, 404, 422), (name, answer.text)
    withdrawn = await office.call("il-lead", "POST", f"{base}/withdrawal", body={"reasons": nasty})
    assert withdrawn.status_code == 200
    told = [one["body"].get("reasons") for one in await office.trail(initiative)]
    assert told.count(nasty) == 3
    assert await tables(database) >= before


def _quoted(value: str) -> str:
    return "".join(f"%{byte:02X}" for byte in value.encode())


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..%2F..%2Fetc%2Fpasswd", "%00", "a'b", "%0d%0aSet-Cookie:%20a=b", "x" * 5000],
)
async def test_what_is_in_a_path_is_an_id_or_nothing(name: str, office: Office) -> None:
    for path in (f"/v1/initiatives/{name}", f"/v1/initiatives/{name}/proposal", f"/v1/mandates/{name}"):
        method = "DELETE" if "mandates" in path else "GET"
        answer = await office.call("il-head", method, path)
        assert answer.status_code in (403, 404, 405, 422), answer.text
        assert "set-cookie" not in answer.headers
        assert "root:" not in answer.text


async def test_no_line_is_forged_in_a_log_and_no_header_in_an_answer(
    office: Office, services: Services
) -> None:
    forged = "2027-01-01T00:00:00Z [info     ] FORGED"
    body = minimal_proposal()
    body["title"]["en"] = f"A title\n{forged}"
    answer = await office.call("il-lead", "POST", "/v1/proposals", body=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    mark = {"X-Request-ID": "one\ttwo", "User-Agent": f"x {forged}", "X-Forwarded-For": forged}
    answered = await office.call(
        "il-lead", "GET", f"/v1/initiatives/a?text=%0A{_quoted(forged)}", headers=mark
    )
    assert answered.headers["x-request-id"] != "one\ttwo"
    initiative = (await office.submit(minimal_proposal()))["id"]
    reasons = {"reasons": f"Two lines.\n{forged}"}
    told = await office.call("il-lead", "POST", f"/v1/initiatives/{initiative}/withdrawal", body=reasons)
    assert told.status_code == 200
    logs = list(services.home.logs.glob("*.log"))
    assert logs
    lines = [line for one in logs for line in one.read_text(errors="replace").splitlines()]
    assert [line for line in lines if line.startswith(forged)] == []

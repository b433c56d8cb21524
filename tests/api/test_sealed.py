"""What one side decided stays with that side until both are in: looked for behind every GET, by everybody."""

from __future__ import annotations

import asyncio
import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import select

from countersign.runtime.embedded.identity import PersonListed, people
from countersign.runtime.embedded.services import Services
from countersign.store import tables
from countersign.store.session import Database
from tests.people import SIGNERS, Office, minimal_proposal

PUBLIC: Final = {"/v1/keys", "/v1/session/issuers", "/health/live", "/health/ready"}
EVENTS: Final = "/v1/events"

CHAINS: Final = {"il": ("il-officer", "il-legal"), "az": ("az-officer", "az-reviewer")}
"""Who signs for a side: the first approves, the second one's return ends the chain."""

OWN_OFFICES: Final = {"il": {"legal_counsel", "head"}, "az": {"finance_reviewer", "deputy_minister"}}
"""The offices of a side's chain that the other side has none of: where they are named, that chain is named."""


@dataclass
class Sealed:
    """An initiative whose proposal one side has returned and the other has not decided on."""

    side: str
    other: str
    initiative: str
    reference: str
    matter: dict[str, Any]
    markers: tuple[str, ...]
    before: str

    @property
    def signers(self) -> tuple[str, ...]:
        return CHAINS[self.side]

    def told_of(self, who: PersonListed) -> bool:
        """Whether somebody may know: they are of that side, or audit."""
        return who.issuer == self.side or who.issuer.startswith("audit-")


@pytest.fixture(params=["il", "az"])
async def sealed(request: pytest.FixtureRequest, office: Office, database: Database) -> Sealed:
    """One side's chain has ended in a return, over two steps; of the other side nobody has signed."""
    side = str(request.param)
    async with database.reading() as connection:
        last = select(tables.event.c.transaction, tables.event.c.position)
        row = (await connection.execute(last.order_by(tables.event.c.position.desc()).limit(1))).first()
    before = f"{int(row.transaction)}-{row.position}" if row else "0-0"
    submitted = await office.submit(minimal_proposal())
    initiative = str(submitted["id"])
    clearance = await office.open_matter_of(initiative, "clearance")
    for who in SIGNERS["clearance"]:
        assert (await office.sign(who, initiative, matter=clearance)).status_code == 200
    matter = await office.open_matter_of(initiative, "proposal")
    markers = tuple(f"marker-{uuid.uuid4().hex}" for _ in range(4))
    first, second = CHAINS[side]
    agreed = await office.sign(first, initiative, matter=matter, comment=f"to us only: {markers[0]}")
    assert agreed.status_code == 200, agreed.text
    returned = await office.sign(
        second,
        initiative,
        "return",
        matter=matter,
        reasons=f"because of {markers[1]}",
        comment=f"between us: {markers[2]}",
        id=markers[3],
    )
    assert returned.json()["matter"]["sides"][side]["position"] == "return", returned.text
    await office.until_countersigned(initiative, matter, side)
    other = "az" if side == "il" else "il"
    reference = str(submitted["reference"])
    return Sealed(side, other, initiative, reference, matter, markers, before)


def values(sealed: Sealed) -> dict[str, list[str]]:
    """Every GET route with the addresses that it is asked under."""
    mine, number = f"/v1/initiatives/{sealed.initiative}", sealed.matter["number"]
    return {
        "/v1/initiatives": [
            "/v1/initiatives?limit=200",
            f"/v1/initiatives?text={sealed.reference}",
            f"/v1/initiatives?waits_for={sealed.other}&limit=200",
            f"/v1/initiatives?waits_for={sealed.side}&limit=200",
            "/v1/initiatives?text=marker&limit=200",
        ],
        "/v1/initiatives/{identifier}": [mine, f"/v1/initiatives/{sealed.reference}"],
        "/v1/initiatives/{identifier}/proposal": [f"{mine}/proposal"],
        "/v1/initiatives/{identifier}/proposal/versions/{number}": [
            f"{mine}/proposal/versions/1",
            f"{mine}/proposal/versions/2",
        ],
        "/v1/initiatives/{identifier}/matters": [f"{mine}/matters"],
        "/v1/initiatives/{identifier}/matters/{number}": [
            f"{mine}/matters/{number}",
            f"{mine}/matters/{number - 1}",
            f"{mine}/matters/{number + 1}",
            f"/v1/initiatives/{sealed.reference}/matters/{number}",
        ],
        "/v1/initiatives/{identifier}/matters/{number}/decision": [
            f"{mine}/matters/{number}/decision",
            f"{mine}/matters/{number + 1}/decision",
        ],
        "/v1/initiatives/{identifier}/funding-agreements": [f"{mine}/funding-agreements"],
        "/v1/initiatives/{identifier}/funding-agreements/{directorate}": [
            f"{mine}/funding-agreements/{sealed.side}",
            f"{mine}/funding-agreements/{sealed.side}?language=en",
        ],
        "/v1/initiatives/{identifier}/amendments": [f"{mine}/amendments"],
        "/v1/initiatives/{identifier}/tranches": [f"{mine}/tranches"],
        "/v1/initiatives/{identifier}/closure-certificate": [f"{mine}/closure-certificate"],
        "/v1/initiatives/{identifier}/tranches/{number}/claim": [f"{mine}/tranches/1/claim"],
        "/v1/initiatives/{identifier}/reports": [f"{mine}/reports"],
        "/v1/initiatives/{identifier}/reports/{number}": [f"{mine}/reports/1"],
        "/v1/initiatives/{identifier}/reports/{number}/draft": [f"{mine}/reports/1/draft"],
        "/v1/initiatives/{identifier}/attachments": [f"{mine}/attachments"],
        "/v1/initiatives/{identifier}/attachments/{content_hash}": [f"{mine}/attachments/sha256:{'0' * 64}"],
        "/v1/attachments/{content_hash}": [f"/v1/attachments/sha256:{'0' * 64}"],
        "/v1/downloads/{link}": ["/v1/downloads/eyJhbGciOi"],
        "/v1/initiatives/{identifier}/audit": [f"{mine}/audit?limit=1000", f"{mine}/audit?start=5"],
        "/v1/initiatives/{identifier}/history": [f"{mine}/history", f"{mine}/history?format=temporal-json"],
        "/v1/initiatives/{identifier}/ledger": [f"{mine}/ledger", f"{mine}/ledger?format=csv"],
        "/v1/ledger": ["/v1/ledger"],
        "/v1/budgets": ["/v1/budgets"],
        "/v1/audit/checkpoint": ["/v1/audit/checkpoint"],
        "/v1/audit/proofs/{sequence}": ["/v1/audit/proofs/0"],
        "/v1/audit/consistency": ["/v1/audit/consistency"],
        "/v1/initiatives/{identifier}/audit/{number}/proof": [f"{mine}/audit/5/proof"],
        "/v1/initiatives/{identifier}/dossier": [f"{mine}/dossier"],
        "/v1/audit": [f"/v1/audit?initiative={sealed.initiative}&limit=1000", "/v1/audit?limit=1000"],
        "/v1/inbox": ["/v1/inbox?limit=200"],
        "/v1/mandates": ["/v1/mandates"],
        "/v1/keys": ["/v1/keys"],
        "/v1/session": ["/v1/session"],
        "/v1/session/issuers": ["/v1/session/issuers"],
        "/v1/session/login": ["/v1/session/login?issuer=il"],
        "/v1/session/callback": ["/v1/session/callback?state=a"],
        EVENTS: [EVENTS],
        "/health/live": ["/health/live"],
        "/health/ready": ["/health/ready"],
    }


async def routes(office: Office) -> set[str]:
    """Every path of the OpenAPI document that takes a GET."""
    async with httpx.AsyncClient(base_url=office.urls[0], trust_env=False) as client:
        document = (await client.get("/openapi.json")).json()
    return {path for path, operations in document["paths"].items() if "get" in operations}


async def heard(office: Office, services: Services, who: str, sealed: Sealed) -> str:
    """What the event stream tells somebody in a moment, of all that happened since the initiative began."""
    headers = {"Authorization": f"Bearer {services.token(who)}", "Last-Event-ID": sealed.before}
    lines: list[str] = []
    try:
        async with (
            asyncio.timeout(3),
            httpx.AsyncClient(base_url=office.urls[1], timeout=20, trust_env=False) as client,
            client.stream("GET", EVENTS, headers=headers) as stream,
        ):
            if who == "operator":
                assert stream.status_code == 403
                return ""
            assert stream.status_code == 200
            async for line in stream.aiter_lines():
                lines.append(line)  # noqa: PERF401 - what came before the time is over is kept
    except TimeoutError:
        pass
    return "\n".join(lines)


def strings(value: Any) -> Iterator[str]:
    """Every key and every text in some JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


def about(sealed: Sealed, text: str) -> list[str]:
    """The texts in an answer that are about the initiative: of lists and streams, its own items only."""
    data = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
    parsed = [json.loads(one) for one in data] if data else [_parsed(text)]
    items = [
        item
        for one in parsed
        for item in (one["items"] if isinstance(one, dict) and isinstance(one.get("items"), list) else [one])
    ]
    return [one for item in items if sealed.initiative in json.dumps(item) for one in strings(item)]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def leaks(sealed: Sealed, text: str, *, whole: bool) -> list[str]:
    """What an answer gives away. ``whole`` when all of it is about the initiative."""
    found = [marker for marker in sealed.markers if marker in text]
    said = list(strings(_parsed(text))) if whole else about(sealed, text)
    found += [one for one in said for who in sealed.signers if who in one]
    return found + [one for one in said if one == "return" or one in OWN_OFFICES[sealed.side]]


def _text_of(answer: httpx.Response) -> str:
    """What an answer says; of an archive, every file in it."""
    if answer.headers.get("content-type") != "application/zip":
        return answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return "\n".join(archive.read(name).decode(errors="replace") for name in archive.namelist())


async def test_no_get_route_tells_anybody_else_what_a_side_decided_before_the_other_side_did(
    sealed: Sealed, office: Office, services: Services
) -> None:
    known = values(sealed)
    assert await routes(office) == set(known), "every GET route needs values here, and no other"
    addresses = [(path, one) for path, some in known.items() for one in some if path != EVENTS]

    async def asked(who: PersonListed) -> tuple[list[str], set[str]]:
        found: list[str] = []
        tells: set[str] = set()
        for path, address in addresses:
            answer = await office.call(who.name, "GET", address)
            assert answer.status_code in (200, 303, 400, 403, 404), f"{who.name} {address}: {answer.text}"
            if path in PUBLIC:
                assert answer.status_code == 200
            whole = "{identifier}" in path
            headers = json.dumps(dict(answer.headers))
            here = leaks(sealed, _text_of(answer), whole=whole) + leaks(sealed, headers, whole=False)
            found += [f"{who.name} {address}: {one}" for one in here]
            tells |= {path} if here else set()
        stream = await heard(office, services, who.name, sealed)
        if who.issuer in ("il", "az") or who.issuer.startswith("audit-"):
            assert "matter.position_reached" in stream, "the stream was not read far enough"
        found += [f"{who.name} {EVENTS}: {one}" for one in leaks(sealed, stream, whole=False)]
        return found, tells

    everybody = people()
    answers = await asyncio.gather(*(asked(who) for who in everybody))
    for who, (found, tells) in zip(everybody, answers, strict=True):
        if not sealed.told_of(who):
            assert found == []
        else:
            # What is looked for would be found: those who may know are told.
            assert "/v1/initiatives/{identifier}/matters/{number}" in tells
            assert not any(EVENTS in one for one in found)
            audits = who.issuer.startswith("audit-")
            assert ("/v1/initiatives/{identifier}/audit" in tells) is audits
            assert ("/v1/initiatives/{identifier}/history" in tells) is audits
            assert ("/v1/initiatives/{identifier}/dossier" in tells) is audits


async def test_no_refusal_tells_anybody_else_what_a_side_decided_before_the_other_side_did(
    sealed: Sealed, office: Office
) -> None:
    matter, initiative = sealed.matter, sealed.initiative
    path = f"/v1/initiatives/{initiative}"
    first, second = CHAINS[sealed.other]
    head = "az-deputy" if sealed.other == "az" else "il-head"
    secretariat = f"{sealed.other}-secretariat"
    stale = {**matter, "content_hash": "sha256:" + "0" * 64}
    reasons = {"reasons": "We wonder."}
    theirs = f"{sealed.side}/{sealed.signers[1]}"
    answers: list[tuple[str, httpx.Response]] = []
    for who in (first, second, head, secretariat, f"{sealed.other}-finance-1", "il-lead", "az-lead"):
        attempts: tuple[dict[str, Any], ...] = (
            {"matter": stale},
            {"matter": {**matter, "number": matter["number"] - 1}},
            {"matter": {**matter, "number": matter["number"] + 1}},
            {"matter": matter, "response": "return"},
            {"matter": matter, "response": "approve_with_conditions"},
            {"matter": matter, "response": "approve", "on_behalf_of": theirs},
            {"matter": stale, "id": sealed.markers[3]},  # the very id by which the other side's return came
        )
        answers += [(who, await office.sign(who, initiative, **fields)) for fields in attempts]
        answers.append((who, await office.call(who, "POST", f"{path}/matters/{matter['number']}/sign-offs")))
    for who, where, body in (
        (first, f"/matters/{matter['number']}/extension", {"working_days": 3, **reasons}),
        (head, f"/matters/{matter['number']}/extension", {"working_days": 300, **reasons}),
        (head, "/withdrawal", reasons),
        (first, "/complaint", reasons),
        ("il-lead", "/complaint", reasons),
        (first, "/conditions/1/clearance", None),
        (first, "/conditions/1/refusal", reasons),
        ("il-lead", "/conditions/1/evidence", {"text": "Here."}),
        ("az-lead", "/conflicts", reasons),
        (f"{sealed.other}-finance-1", f"/tranches/1/{sealed.side}/authorisation", None),
    ):
        answers.append((who, await office.call(who, "POST", path + where, body=body)))
    tag = f'"{matter["content_hash"]}"'
    for who in ("il-lead", "az-lead", head):
        changed = minimal_proposal(summary={"en": "Another thing."})
        headers = {"If-Match": tag}
        answers.append(
            (who, await office.call(who, "PUT", f"{path}/proposal", body=changed, headers=headers))
        )
    for who, answer in answers:
        assert 400 <= answer.status_code < 500, f"{who}: {answer.text}"
        told = {key: value for key, value in answer.json().items() if key != "instance"}
        text = json.dumps(told, ensure_ascii=False)
        assert not any(marker in text for marker in sealed.markers), f"{who}: {text}"
        assert not any(signer in text for signer in sealed.signers), f"{who}: {text}"
        assert not any(f"{one!r}" in text for one in OWN_OFFICES[sealed.side]), f"{who}: {text}"

    # A sign-off of the other side that counts is answered with the matter: as sealed as before.
    counted = await office.sign(first, initiative, matter=matter)
    assert counted.status_code == 200, counted.text
    assert leaks(sealed, counted.text, whole=True) == []
    assert counted.json()["matter"]["sides"][sealed.side]["position_in"] is True
    again = await office.sign(first, initiative, "refuse", matter=matter, reasons="Twice.")
    assert leaks(sealed, again.text, whole=True) == []
    # With the other side's position the seal is off, though a side's own chain stays its own.
    assert (await office.sign(second, initiative, matter=matter)).status_code == 200
    if sealed.other == "il":
        assert (await office.sign("il-head", initiative, matter=matter)).status_code == 200
    view = await office.get(second, f"{path}/matters/{matter['number']}")
    told_now = view["sides"][sealed.side]
    assert told_now["position"] == "return"
    assert told_now["reasons"] == [f"because of {sealed.markers[1]}"]
    after = json.dumps(view)
    assert sealed.markers[0] not in after
    assert sealed.markers[2] not in after
    assert not any(signer in after for signer in sealed.signers)

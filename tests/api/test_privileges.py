"""The privilege matrix, run over HTTP: every route by everybody, each answer as the matrix says."""

from __future__ import annotations

import copy
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from temporalio.testing import TimeSkipper

from countersign.api.app import _ROUTES, create_app
from countersign.api.privileges import BY_ROUTE, MATRIX, Party, Privilege, Verdict, as_markdown
from countersign.domain.agreement import ProgrammeAgreement
from countersign.runtime.embedded.services import Services
from countersign.store.roles import API
from countersign.store.session import Database
from tests.amendments import shifted
from tests.journeys.journey import Journey
from tests.journeys.test_adoption import registered
from tests.people import ROOT, Office, minimal_proposal

Body = dict[str, Any]

AUTHORITY = {"unauthenticated", "forbidden", "not_found", "not_your_office"}
"""The codes of refusals for who somebody is; any other says that they might, another time or otherwise."""

PAPER = b"What the partners of the privileges agree on."
PAPER_HASH = "sha256:" + hashlib.sha256(PAPER).hexdigest()

IL = {Party.OFFICE: "il-head", Party.SIDE: "il-secretariat", Party.OTHER_SIDE: "az-deputy"}
FINANCE = {Party.OFFICE: "il-finance-1", Party.SIDE: "il-legal", Party.OTHER_SIDE: "az-finance-1"}
CERTIFIER = {Party.OFFICE: "il-officer", Party.SIDE: "il-secretariat"}
ANYBODY_ELSE = {
    Party.ANYBODY: (None,),
    Party.PARTICIPANT: ("il-lead", "az-lead"),
    Party.STRANGER: ("az-partner",),
    Party.AUDITOR: ("il-auditor", "az-auditor"),
    Party.OPERATOR: ("operator",),
}


@dataclass
class World:
    """Initiatives in the stages that the routes need, each by its name."""

    office: Office
    services: Services
    skipper: TimeSkipper
    ids: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    proposals: dict[str, Body] = field(default_factory=dict)
    mandate: str = ""
    newer: int = 0
    link: str = ""

    async def make(self) -> World:
        await self._make()
        checkpoint = await self.office.call("il-auditor", "POST", "/v1/audit/checkpoint")
        assert checkpoint.status_code == 200, checkpoint.text
        return self

    async def _make(self) -> None:
        for who in ("il-lead", "az-lead", "az-partner"):
            brought = await self.office.call(who, "PUT", f"/v1/attachments/{PAPER_HASH}", content=PAPER)
            assert brought.status_code == 201, brought.text
        for name in ("deciding", "withdrawing", "declaring"):
            await (await self._begun(name)).clear()
        matter = await self.office.open_matter_of(self.ids["deciding"], "proposal")
        self.numbers["deciding"], self.hashes["deciding"] = matter["number"], matter["content_hash"]
        revising = await self._begun("revising")
        await revising.clear()
        await revising.decide("proposal", ("return", "approve"))
        await revising.reach("revision")
        refused = await self._begun("refused")
        await refused.clear()
        await refused.decide("proposal", ("refuse", "approve"))
        await refused.reach("not_approved")
        await self._conditional()
        for name in ("active", "suspended", "ended", "closed"):
            journey = await self._begun(name, 12)
            await journey.clear()
            await journey.approve_and_sign()
            await getattr(self, f"_{name}")(journey)

    async def _begun(self, name: str, months: int = 18) -> Journey:
        proposal = minimal_proposal(months)
        proposal["documents"][0]["sha256"] = PAPER_HASH
        journey = Journey(self.office, self.services, self.skipper, proposal)
        await journey.submit()
        self.ids[name], self.proposals[name] = journey.id, journey.proposal
        return journey

    async def _conditional(self) -> None:
        journey = await self._begun("conditional")
        await journey.clear()
        matter = await journey.matter("proposal")
        for side, conditions in (("il", ["Another auditor."]), ("az", ["Another site."])):
            await self.office.carry(
                journey.id, matter, side, "approve_with_conditions", conditions=conditions
            )
        await journey.reach("conditions")
        path = f"/v1/initiatives/{journey.id}/conditions/1/evidence"
        given = await self.office.call("il-lead", "POST", path, body={"text": "A letter."})
        assert given.status_code == 200, given.text

    async def _active(self, journey: Journey) -> None:
        path = f"/v1/initiatives/{journey.id}/reports/1/draft"
        written = await self.office.call("il-lead", "PUT", path, body={"narrative": {}})
        assert written.status_code == 200, written.text
        decided = await self.office.get("il-auditor", f"/v1/initiatives/{journey.id}/proposal")
        self.hashes["active"] = decided["content_hash"]
        named = await self.office.get("il-lead", f"/v1/initiatives/{journey.id}/attachments/{PAPER_HASH}")
        self.link = named["url"].rpartition("/")[2]

    async def _suspended(self, journey: Journey) -> None:
        path = f"/v1/initiatives/{journey.id}/suspension"
        announced = await self.office.call("az-deputy", "POST", path, body={"reasons": "A flood."})
        assert announced.status_code == 200, announced.text
        await self._skip(journey, 15)
        await journey.reach("suspended")

    async def _ended(self, journey: Journey) -> None:
        await journey.pay(1)
        path = f"/v1/initiatives/{journey.id}/termination"
        ended = await self.office.call("az-deputy", "POST", path, body={"reasons": "No site is left."})
        assert ended.status_code == 200, ended.text
        await journey.reach("terminated")
        await self._skip(journey, 70)
        self.numbers["claim"] = (await self.office.recovery(journey.id))["number"]

    async def _closed(self, journey: Journey) -> None:
        await journey.pay(1)
        await journey.report(1)
        await journey.pay(2)
        await journey.report(2)
        await journey.close()
        await journey.reach_end("closed")

    async def _skip(self, journey: Journey, days: int) -> None:
        now = await self.skipper.get_current_time(journey.handle)
        await journey.skip_to(now + timedelta(days=days))


@dataclass
class Call:
    """How a route is called: on which initiative, with which number in its path, what is sent, and by which offices."""

    where: str = "active"
    number: str = "1"
    body: Callable[[World], Any] = lambda _: None
    offices: dict[Party, str] = field(default_factory=lambda: IL)
    headers: Callable[[World], dict[str, str]] = lambda _: {}
    content: bytes | None = None

    def path(self, privilege: Privilege, world: World) -> str:
        identifier = world.mandate if privilege.path.startswith("/mandates") else world.ids[self.where]
        number = str(world.numbers[self.number]) if self.number in world.numbers else self.number
        filled = privilege.path.format(
            identifier=identifier,
            number=number,
            directorate="il",
            content_hash=PAPER_HASH,
            link=world.link,
            sequence=0,
        )
        return f"/v1{filled}"


def _why(_: World) -> Body:
    return {"reasons": "So that it is tried."}


def _sign_off(world: World) -> Body:
    return {
        "id": str(uuid.uuid4()),
        "response": "approve",
        "content_hash": world.hashes["deciding"],
    }


def _amendment(world: World) -> Body:
    proposal = shifted(copy.deepcopy(world.proposals["active"]), "dugma", 7)
    return {"proposal": proposal, "replaces": world.hashes["active"], "reasons": "A post came free."}


def _mandate(_: World) -> Body:
    now = datetime.now(UTC)
    return {
        "delegate": "il/il-finance-2",
        "kinds": ["proposal"],
        "valid_from": (now - timedelta(hours=1)).isoformat(),
        "valid_to": (now + timedelta(days=9)).isoformat(),
    }


def _notice(_: World) -> Body:
    return {"reasons": "So that it is tried.", "notice_days": 300}


def _key(_: World) -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def _costs(_: World) -> Body:
    amount = {"minor": 1, "unit": "ILS"}
    return {"partner": "dugma", "amount": amount, "reasons": "A private journey."}


def _revised(world: World) -> Body:
    revised = copy.deepcopy(world.proposals["revising"])
    revised["summary"]["en"] += " And smaller."
    return revised


OF = "/initiatives/{identifier}"
TRANCHE = f"{OF}/tranches/{{number}}/{{directorate}}"

CALLS: dict[tuple[str, str], Call] = {
    ("POST", "/proposals"): Call(body=lambda _: minimal_proposal()),
    ("PUT", f"{OF}/proposal"): Call(
        "revising", body=_revised, headers=lambda world: {"If-Match": f'"{world.hashes["revising"]}"'}
    ),
    ("POST", f"{OF}/withdrawal"): Call("withdrawing", body=_why),
    ("POST", f"{OF}/complaint"): Call("refused", body=_why),
    ("GET", f"{OF}/matters/{{number}}/decision"): Call(),
    ("POST", f"{OF}/matters/{{number}}/sign-offs"): Call(
        "deciding", "deciding", _sign_off, {Party.OFFICE: "il-officer", Party.SIDE: "il-legal"}
    ),
    ("POST", f"{OF}/matters/{{number}}/extension"): Call(
        "deciding", "deciding", lambda world: {"working_days": 3, **_why(world)}
    ),
    ("POST", f"{OF}/conflicts"): Call("declaring", body=_why),
    ("POST", f"{OF}/conditions/{{number}}/evidence"): Call("conditional", "2", lambda _: {"text": "A map."}),
    ("POST", f"{OF}/conditions/{{number}}/refusal"): Call("conditional", body=_why),
    ("POST", f"{OF}/conditions/{{number}}/clearance"): Call("conditional"),
    ("POST", f"{OF}/amendments"): Call(body=_amendment),
    ("POST", f"{OF}/amendments/agreement"): Call(
        body=lambda world: {"agreement_version": world.newer, **_why(world)}
    ),
    ("PUT", "/attachments/{content_hash}"): Call(content=PAPER),
    ("POST", f"{TRANCHE}/authorisation"): Call(offices=FINANCE),
    ("POST", f"{TRANCHE}/confirmation"): Call(offices=FINANCE | {Party.OFFICE: "il-finance-2"}),
    ("POST", f"{TRANCHE}/hold"): Call("active", "2", _why, FINANCE),
    ("POST", f"{TRANCHE}/resumption"): Call("active", "2", _why, FINANCE),
    ("POST", f"{TRANCHE}/write-off"): Call("ended", "claim", _why),
    ("GET", f"{OF}/tranches/{{number}}/claim"): Call("ended", "claim"),
    ("POST", "/bank-statements"): Call(
        offices=FINANCE, content=b"<Document/>", headers=lambda _: {"Content-Type": "application/xml"}
    ),
    ("POST", f"{OF}/reports/{{number}}"): Call(body=lambda _: {"narrative": {"en": "It went well."}}),
    ("PUT", f"{OF}/reports/{{number}}/draft"): Call(body=lambda _: {"narrative": {}}),
    ("POST", f"{OF}/reports/{{number}}/waiver"): Call(body=_why, offices=CERTIFIER),
    ("POST", f"{OF}/reports/{{number}}/disallowance"): Call(body=_costs, offices=CERTIFIER),
    ("POST", f"{OF}/suspension"): Call(body=_notice),
    ("POST", f"{OF}/resumption"): Call("suspended", body=_why),
    ("DELETE", f"{OF}/suspension"): Call(headers=_key),
    ("POST", f"{OF}/termination"): Call(body=_notice),
    ("DELETE", f"{OF}/termination"): Call(headers=_key),
    ("GET", f"{OF}/closure-certificate"): Call("closed"),
    ("POST", "/mandates"): Call(body=_mandate, offices={Party.OFFICE: "il-officer", Party.SIDE: "il-legal"}),
    ("POST", "/codec/decode"): Call(body=lambda _: {"payloads": []}),
    ("POST", "/codec/encode"): Call(body=lambda _: {"payloads": []}),
    ("DELETE", "/mandates/{identifier}"): Call(
        offices={Party.OFFICE: "il-officer", Party.SIDE: "il-legal", Party.OTHER_SIDE: "az-deputy"}
    ),
}
"""How routes are called that need more than the path of an active initiative."""


async def test_every_route_answers_everybody_as_the_matrix_says(
    office: Office,
    services: Services,
    skipper: TimeSkipper,
    database: Database,
    agreement: ProgrammeAgreement,
) -> None:
    world = await World(office, services, skipper).make()
    world.newer = (await registered(database, agreement)).version
    proposal = await office.call("il-lead", "GET", f"/v1/initiatives/{world.ids['revising']}/proposal")
    world.hashes["revising"] = proposal.json()["content_hash"]
    given = await office.call("il-officer", "POST", "/v1/mandates", body=_mandate(world))
    world.mandate = given.json()["id"]

    wrong: list[str] = []
    counted = 0
    for privilege in MATRIX:
        call = CALLS.get((privilege.method, privilege.path), Call())
        asked = [(party, who) for party in Party for who in _people(party, call)]
        # Whoever is let in may change something: they come last.
        for party, who in sorted(asked, key=lambda one: privilege.of(one[0]) is Verdict.YES):
            verdict = privilege.of(party)
            if verdict is Verdict.NONE:
                continue
            counted += 1
            answer = await _answer(world, privilege, call, who)
            said = answer if answer in AUTHORITY else Verdict.YES.value
            if said != verdict:
                wrong.append(
                    f"{privilege.method} {privilege.path} by {who} ({party}): {answer}, not {verdict}"
                )
    assert wrong == [], "\n".join(wrong)
    assert counted > 6 * len(MATRIX)


def _people(party: Party, call: Call) -> tuple[str | None, ...]:
    if party in ANYBODY_ELSE:
        return ANYBODY_ELSE[party]
    return (call.offices[party],) if party in call.offices else ()


async def _answer(world: World, privilege: Privilege, call: Call, who: str | None) -> str:
    """The code of the answer, or its status where it is no refusal."""
    path, headers = call.path(privilege, world), call.headers(world)
    if privilege.path == "/events":
        return await _of_stream(world, path, who)
    answer = await world.office.call(
        who, privilege.method, path, body=call.body(world), headers=headers, content=call.content
    )
    assert answer.status_code < 500, answer.text
    return str(answer.json()["code"]) if answer.status_code >= 400 else str(answer.status_code)


async def _of_stream(world: World, path: str, who: str | None) -> str:
    """The same of a stream, which does not end by itself."""
    headers = {"Authorization": f"Bearer {world.services.token(who)}"} if who else {}
    async with (
        httpx.AsyncClient(base_url=world.office.urls[0], trust_env=False, timeout=30) as client,
        client.stream("GET", path, headers=headers) as answer,
    ):
        if answer.status_code < 400:
            return str(answer.status_code)
        await answer.aread()
        return str(answer.json()["code"])


def routes(services: Services) -> set[tuple[str, str]]:
    """Every route below /v1, as the application has them, documented or not."""
    paths = create_app(services.settings(API)).openapi()["paths"]
    documented = {
        (method.upper(), path.removeprefix("/v1"))
        for path, operations in paths.items()
        if path.startswith("/v1/")
        for method in operations
    }
    every = {
        (method, route.path)
        for module in _ROUTES
        for route in module.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert documented <= every
    return every


async def test_every_route_has_a_row_in_the_matrix_and_every_row_a_route(services: Services) -> None:
    assert routes(services) == set(BY_ROUTE)
    assert len(BY_ROUTE) == len(MATRIX)
    assert set(CALLS) <= set(BY_ROUTE)


async def test_a_route_that_the_matrix_does_not_have_lets_nobody_in(
    office: Office, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(services.settings(API))
    monkeypatch.delitem(BY_ROUTE, ("GET", "/inbox"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://countersign.example") as client:
            for who in ("il-head", "il-auditor", "il-lead"):
                headers = {"Authorization": f"Bearer {services.token(who)}"}
                answer = await client.get("/v1/inbox", headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
                assert (await client.get("/v1/keys", headers=headers)).status_code == 200


def test_the_documentation_shows_the_matrix_as_it_is() -> None:
    shown = (ROOT / "docs" / "privileges.md").read_text(encoding="utf-8")
    assert shown == as_markdown(), "python -m countersign.api.privileges > docs/privileges.md"

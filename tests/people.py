"""People who use the system in tests: each calls the API with a token of their own."""

from __future__ import annotations

import copy
import json
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from countersign.api.schemas import inbox_view
from countersign.runtime.embedded import identity
from countersign.runtime.embedded.services import Services
from countersign.runtime.resources import directory
from countersign.store import initiatives
from countersign.store.roles import Reader
from countersign.store.session import Database
from tests.eventually import eventually


def example(name: str) -> dict[str, Any]:
    """A shipped example proposal."""
    found: dict[str, Any] = json.loads((directory("examples") / f"{name}.json").read_text(encoding="utf-8"))
    return found


def minimal_proposal(months: int = 18, **changes: Any) -> dict[str, Any]:
    """A small eligible proposal with amounts that divide badly."""
    nothing = "sha256:" + "0" * 64
    proposal: dict[str, Any] = {
        "agreement": "il-az-ai",
        "area": "civilian_sectors",
        "kind": "joint_project",
        "title": {"en": "A small project", "az": "Kiçik layihə"},
        "summary": {"en": "It is small."},
        "duration_months": months,
        "partners": [
            {
                "id": "dugma",
                "name": {"en": "Dugma Institute"},
                "directorate": "il",
                "role": "lead",
                "contact": {"name": "Dr Almonit Plonit", "email": "il-lead@applicants.countersign.example"},
            },
            {
                "id": "numune",
                "name": {"en": "Nümunə Institute"},
                "directorate": "az",
                "role": "partner",
                "contact": {
                    "name": "Dr Nümunə Filankəsova",
                    "email": "az-lead@applicants.countersign.example",
                },
            },
        ],
        "work_packages": [
            {
                "number": 1,
                "title": {"en": "The work"},
                "lead": "dugma",
                "from_month": 1,
                "to_month": months,
                "deliverables": ["A result"],
            }
        ],
        "budget": [
            {
                "partner": "dugma",
                "category": "personnel",
                "description": "One post",
                "amount": {"minor": 100_000_01, "unit": "ILS"},
            },
            {
                "partner": "numune",
                "category": "personnel",
                "description": "One post",
                "amount": {"minor": 50_000_03, "unit": "AZN"},
            },
        ],
        "declarations": {"civil_use": True, "export_control": "none"},
        "documents": [
            {"kind": kind, "name": kind, "sha256": nothing}
            for kind in ("consortium_agreement_draft", "data_management_plan", "ethics_statement")
        ],
    }
    return copy.deepcopy(proposal | changes)


class Office:
    """Calls on the API, by anybody, through either of its two processes."""

    def __init__(self, services: Services, urls: tuple[str, str]) -> None:
        self._services = services
        self.urls = urls
        self._clients = [httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) for url in urls]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.aclose()

    async def call(
        self,
        who: str | None,
        method: str,
        path: str,
        *,
        body: Any = None,
        key: str | None = None,
        process: int = 0,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """One call. POSTs get an Idempotency-Key of their own unless one is given."""
        sent = dict(headers or {})
        if token is None and who is not None:
            token = self._services.token(who)
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if method == "POST":
            sent.setdefault("Idempotency-Key", key or str(uuid.uuid4()))
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
            return await self._clients[process].request(method, path, content=content, headers=sent)
        return await self._clients[process].request(method, path, json=body, headers=sent)

    def token(self, who: str) -> str:
        """A bearer token of somebody's."""
        return self._services.token(who)

    async def get(self, who: str, path: str) -> Any:
        """The JSON of a GET that succeeds."""
        answer = await self.call(who, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def submit(self, proposal: dict[str, Any], who: str = "il-lead", key: str | None = None) -> Any:
        """Submit a proposal; the JSON of the 201."""
        answer = await self.call(who, "POST", "/v1/proposals", body=proposal, key=key)
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == f"/v1/initiatives/{answer.json()['id']}"
        return answer.json()

    async def open_matter(self, initiative: str, who: str = "il-auditor") -> Any:
        """The last matter that is open."""
        matters = (await self.get(who, f"/v1/initiatives/{initiative}/matters"))["items"]
        return [one for one in matters if one["outcome"] is None][-1]

    async def open_matter_of(self, initiative: str, kind: str) -> dict[str, Any]:
        """The open matter of a kind; the workflow opens it a moment after the step before."""

        async def opened() -> dict[str, Any] | None:
            found = (await self.get("il-auditor", f"/v1/initiatives/{initiative}/matters"))["items"]
            return next((one for one in found if one["kind"] == kind and one["outcome"] is None), None)

        return await eventually(opened)

    async def sign(
        self,
        who: str,
        initiative: str,
        response: str = "approve",
        *,
        matter: dict[str, Any] | None = None,
        **fields: Any,
    ) -> httpx.Response:
        """Sign off in the open matter."""
        matter = matter or await self.open_matter(initiative)
        headers = fields.pop("headers", None)
        process = fields.pop("process", 0)
        body = {
            "id": str(uuid.uuid4()),
            "response": response,
            "content_hash": matter["content_hash"],
            **fields,
        }
        path = f"/v1/initiatives/{initiative}/matters/{matter['number']}/sign-offs"
        return await self.call(who, "POST", path, body=body, headers=headers, process=process)

    async def carry(
        self, initiative: str, matter: dict[str, Any], side: str, response: str = "approve", **fields: Any
    ) -> list[str]:
        """Have a side's offices sign one after the other until its position is in; who did."""
        path = f"/v1/initiatives/{initiative}/matters/{matter['number']}"
        signed: list[str] = []
        while not (own := (await self.get("il-auditor", path))["sides"][side])["position_in"]:
            who = HOLDERS[side, own["waits_for_office"]]
            answer = await self.sign(who, initiative, response, matter=matter, **fields)
            assert answer.status_code == 200, answer.text
            signed.append(who)
            response, fields = "approve", {}
        return signed

    async def until_countersigned(self, initiative: str, matter: dict[str, Any], side: str) -> None:
        """Wait until a side's position is signed with its key."""
        path = f"/v1/initiatives/{initiative}/matters/{matter['number']}"

        async def done() -> bool:
            return bool((await self.get("il-auditor", path))["sides"][side]["countersigned"])

        await eventually(done)

    async def until_decided(self, initiative: str, number: int) -> dict[str, Any]:
        """Wait until a matter is decided; the matter."""
        path = f"/v1/initiatives/{initiative}/matters/{number}"

        async def decided() -> dict[str, Any] | None:
            found: dict[str, Any] = await self.get("il-auditor", path)
            return found if found["outcome"] is not None else None

        return await eventually(decided)

    async def until_stage(self, initiative: str, stage: str) -> None:
        """Wait until an initiative is in a stage."""

        async def reached() -> bool:
            return await self.stage(initiative) == stage

        await eventually(reached)

    async def until_shares(self, initiative: str, number: int, state: str) -> None:
        """Wait until every side's part of a tranche is in a state."""

        async def reached() -> bool:
            tranches = (await self.get("il-auditor", f"/v1/initiatives/{initiative}/tranches"))["items"]
            return all(one["state"] == state for one in tranches[number - 1]["shares"].values())

        await eventually(reached)

    async def until_share(self, initiative: str, number: int, side: str, state: str) -> None:
        """Wait until one side's part of a tranche is in a state."""

        async def reached() -> bool:
            tranches = (await self.get("il-auditor", f"/v1/initiatives/{initiative}/tranches"))["items"]
            return str(tranches[number - 1]["shares"][side]["state"]) == state

        await eventually(reached)

    async def recovery(self, initiative: str) -> dict[str, Any]:
        """The tranche that is claimed back, once the workflow has made it."""

        async def made() -> dict[str, Any] | None:
            tranches = (await self.get("il-auditor", f"/v1/initiatives/{initiative}/tranches"))["items"]
            return next((one for one in tranches if one["trigger"] == "recovery"), None)

        return await eventually(made)

    async def stage(self, initiative: str) -> str:
        """Where an initiative stands."""
        found: str = (await self.get("il-auditor", f"/v1/initiatives/{initiative}"))["stage"]
        return found

    async def inbox(self, who: str) -> list[dict[str, Any]]:
        """All that waits for somebody by their offices: of a long run of tests more than the API gives at once."""
        one = next(one for one in identity.people() if one.name == who)
        database = Database(self._services.database_url, pool_size=1)
        reader = Reader("staff", f"{one.issuer}/{who}", one.side)
        async with database.read_by(reader).reading() as connection:
            found = await initiatives.inbox(
                connection,
                person=reader.person,
                directorate=one.side,
                offices=one.offices,
                mandates=(),
                limit=1_000_000,
            )
        await database.close()
        return [inbox_view(item).model_dump(mode="json") for item in found]

    async def trail(self, initiative: str) -> list[dict[str, Any]]:
        """The whole audit trail."""
        entries: list[dict[str, Any]] = []
        start: int | None = 1
        while start is not None:
            page = await self.get(
                "il-auditor", f"/v1/initiatives/{initiative}/audit?start={start}&limit=1000"
            )
            entries += page["items"]
            start = page["next"]
        return entries


SIGNERS = {
    "clearance": ("il-legal", "az-officer"),
    "proposal": ("il-officer", "il-legal", "il-head", "az-officer", "az-reviewer"),
    "agreement": ("il-legal", "il-head", "az-reviewer"),
    "report": ("il-officer", "az-officer"),
    "closure": ("il-officer", "il-head", "az-reviewer"),
}
"""Who signs what under the shipped agreement, in order, for an initiative as small as the minimal proposal."""

HOLDERS = {
    (one.side, office): one.name
    for one in reversed(identity.people())
    for office in one.offices
    if one.side is not None
}
"""Who holds an office of a side."""

ROOT = Path(__file__).resolve().parent.parent

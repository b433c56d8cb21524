"""An initiative as its people carry it: over HTTP, with their own tokens, on its own virtual clock."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import TimeSkipper

from countersign.cli.rehearsal import report_due
from countersign.domain.ids import workflow_id
from countersign.domain.proposal import Proposal
from countersign.domain.reporting import ReportDue
from countersign.runtime.embedded.services import Services
from tests.eventually import eventually
from tests.people import Office, minimal_proposal

Told = tuple[str, str]


class Journey:
    """One initiative under way; ``expected`` is the trail as it must read: (action, actor), entry by entry."""

    def __init__(
        self, office: Office, services: Services, skipper: TimeSkipper, proposal: dict[str, Any]
    ) -> None:
        self.office, self.skipper, self.proposal = office, skipper, proposal
        self._services = services
        self.lead_side: str = next(
            one["directorate"] for one in proposal["partners"] if one["role"] == "lead"
        )
        self.lead = f"{self.lead_side}-lead"
        self.applicant = f"applicants/{self.lead}"
        self.id = ""
        self.expected: list[Told] = []

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        return self._services.client.get_workflow_handle(workflow_id(self.id))

    async def submit(self) -> None:
        submitted = await self.office.submit(self.proposal, self.lead)
        self.id = submitted["id"]
        self.expected += [("initiative.submitted", self.applicant), ("stage.entered", "system")]
        self._eligible()

    def _eligible(self) -> None:
        self.expected += [
            ("stage.entered", "system"),
            ("eligibility.checked", "system"),
            ("matter.opened", "system"),
        ]

    async def decide(self, kind: str, responses: tuple[str, str] = ("approve", "approve")) -> None:
        """Both sides sign in the open matter; the expected trail grows by what that must write."""
        matter = await self.matter(kind)
        for side, response in zip(("il", "az"), responses, strict=True):
            reasons = {"reasons": f"{side} wants it otherwise"} if response in ("return", "refuse") else {}
            signed = await self.office.carry(self.id, matter, side, response, **reasons)
            self.expected += [("matter.signed", f"{side}/{who}") for who in signed]
            await self.office.until_countersigned(self.id, matter, side)
            self.expected += [("matter.position_reached", "system"), ("matter.countersigned", "system")]
        self.expected.append(("matter.decided", "system"))

    async def matter(self, kind: str) -> dict[str, Any]:
        """The open matter of a kind."""
        return await self.office.open_matter_of(self.id, kind)

    async def reach(self, stage: str) -> None:
        await self.office.until_stage(self.id, stage)

    async def reach_end(self, stage: str) -> None:
        """Wait for a terminal stage and for the workflow to be over; a refusal is when no complaint came in time."""
        await self.office.until_stage(self.id, stage)
        if stage in ("ineligible", "not_approved"):
            now = await self.skipper.get_current_time(self.handle)
            await self.skip_to(now + timedelta(days=31))
        async with asyncio.timeout(20):
            ended = await self.handle.result()
        assert ended["stage"] == stage
        assert await self.office.stage(self.id) == stage

    async def complaint_until(self) -> datetime:
        """Wait until a termination may be complained of; until when."""

        async def told() -> str | None:
            found = await self.office.get("il-auditor", f"/v1/initiatives/{self.id}")
            return None if found["complaint_until"] is None else str(found["complaint_until"])

        return datetime.fromisoformat(await eventually(told))

    async def no_complaint_comes(self) -> None:
        """The time passes in which a termination may be complained of."""
        await self.skip_to(await self.complaint_until() + timedelta(hours=1))

    async def clear(self) -> None:
        await self.decide("clearance")
        self.expected += [("stage.entered", "system"), ("matter.opened", "system")]

    async def returned_and_revised(self, responses: tuple[str, str], change: str) -> None:
        """The proposal comes back with reasons; a new version goes in by PUT with If-Match."""
        await self.decide("proposal", responses)
        self.expected.append(("stage.entered", "system"))
        await self.reach("revision")
        read = await self.office.call(self.lead, "GET", f"/v1/initiatives/{self.id}/proposal")
        revised = read.json()["proposal"]
        revised["summary"]["en"] = revised["summary"].get("en", "") + " " + change
        answer = await self.office.call(
            self.lead,
            "PUT",
            f"/v1/initiatives/{self.id}/proposal",
            body=revised,
            headers={"If-Match": read.headers["etag"]},
        )
        assert answer.status_code == 200, answer.text
        self.proposal = revised
        self.expected.append(("proposal.revised", self.applicant))
        self._eligible()

    async def approve_and_sign(self) -> None:
        await self.decide("proposal")
        self.expected += [
            ("stage.entered", "system"),
            ("commitment.fixed", "system"),
            ("tranche.planned", "system"),
            ("agreement.drawn_up", "system"),
            ("matter.opened", "system"),
        ]
        await self.decide("agreement")
        self.expected += [
            ("stage.entered", "system"),
            ("report.scheduled", "system"),
            ("tranche.due", "system"),
        ]
        await self.reach("active")

    async def pay(self, number: int) -> None:
        """Both sides authorise, both are instructed, both confirm: four people."""
        tranche = (await self.tranches())[number - 1]
        path = f"/v1/initiatives/{self.id}/tranches/{number}"
        for side in tranche["shares"]:
            answer = await self.office.call(f"{side}-finance-1", "POST", f"{path}/{side}/authorisation")
            assert answer.status_code == 200, answer.text
            self.expected.append(("tranche.authorised", f"{side}/{side}-finance-1"))
        self.expected.append(("tranche.instructed", "system"))
        await self.all_shares(number, "instructed")
        for side in tranche["shares"]:
            answer = await self.office.call(f"{side}-finance-2", "POST", f"{path}/{side}/confirmation")
            assert answer.status_code == 200, answer.text
            self.expected.append(("tranche.paid", f"{side}/{side}-finance-2"))

    async def all_shares(self, number: int, state: str) -> None:
        """Wait until every side's part of a tranche is in a state."""
        await self.office.until_shares(self.id, number, state)

    async def tranches(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            await self.office.get("il-auditor", f"/v1/initiatives/{self.id}/tranches")
        )["items"]
        return found

    async def reports(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            await self.office.get("il-auditor", f"/v1/initiatives/{self.id}/reports")
        )["items"]
        return found

    async def report(self, number: int) -> None:
        """Time passes to the end of the period; the report is submitted and accepted by both sides."""
        reports = await self.reports()
        report = reports[number - 1]
        await self.skip_to(datetime.fromisoformat(report["ends_at"]) + timedelta(hours=1))
        due = [ReportDue.model_validate({key: one[key] for key in ReportDue.model_fields}) for one in reports]
        body = report_due(Proposal.model_validate(self.proposal), number, due).document_form()
        answer = await self.office.call(
            self.lead, "POST", f"/v1/initiatives/{self.id}/reports/{number}", body=body
        )
        assert answer.status_code == 200, answer.text
        self.expected += [("report.submitted", self.applicant), ("matter.opened", "system")]
        await self.decide("report")
        self.expected.append(("report.accepted", "system"))
        if report["final"]:
            self.expected += [("stage.entered", "system"), ("matter.opened", "system")]
            await self.reach("closing")
        elif report["milestone"] is None:
            self.expected.append(("tranche.due", "system"))

    async def skip_to(self, instant: datetime) -> None:
        """Move the clock; a run that has just gone on as new takes a moment before it can be moved."""
        await eventually(self._has_begun)
        now = await self.skipper.get_current_time(self.handle)
        if instant > now:
            await self.skipper.fast_forward(self.handle, instant - now)

    async def _has_begun(self) -> bool:
        try:
            await self.handle.query("stage")
        except RPCError as error:
            if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                raise
            return False
        return True

    async def close(self) -> None:
        await self.decide("closure")
        self.expected.append(("tranche.due", "system"))
        last = len(await self.tranches())
        await self.all_shares(last, "due")
        await self.pay(last)
        self.expected += [("stage.entered", "system"), ("closure.certified", "system")]
        await self.reach("closed")

    async def carry_out_after(self, number: int) -> None:
        """Every report after that one comes, what each releases is paid, and it is closed."""
        for report in (await self.reports())[number:]:
            await self.report(report["number"])
            if not report["final"]:
                await self.pay(report["number"] + 1)
        await self.close()
        await self.reach_end("closed")

    async def paid(self) -> dict[str, dict[str, int]]:
        """Minor units paid per side and unit."""
        sums: dict[str, dict[str, int]] = {}
        for tranche in await self.tranches():
            for side, share in tranche["shares"].items():
                assert share["state"] == "paid"
                for amount in share["amounts"]:
                    mine = sums.setdefault(side, {})
                    mine[amount["unit"]] = mine.get(amount["unit"], 0) + amount["minor"]
        return sums


async def paid_journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    """A small active initiative whose first tranche both sides have paid."""
    made = Journey(office, services, skipper, minimal_proposal())
    await made.submit()
    await made.clear()
    await made.approve_and_sign()
    await made.pay(1)
    return made


def asked_for(proposal: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Minor units that the proposal asks for, per side and unit, added up apart from the system's own code."""
    side = {one["id"]: one["directorate"] for one in proposal["partners"]}
    sums: dict[str, dict[str, int]] = {}
    for line in proposal["budget"]:
        mine = sums.setdefault(side[line["partner"]], {})
        unit = line["amount"]["unit"]
        mine[unit] = mine.get(unit, 0) + line["amount"]["minor"]
    return sums

"""Lives that dossiers are made of: one carried to its closure, one refused, one under way."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.cli.rehearsal import report_due
from countersign.domain.proposal import Proposal
from countersign.domain.reporting import ReportDue
from countersign.runtime.embedded.services import Services
from tests.api.test_authority import give
from tests.attachments.papers import pdf
from tests.dossier.making import checkpointed, exported, unpacked
from tests.journeys.journey import Journey
from tests.people import Office, minimal_proposal

HOSTILE = "<script>alert(1)</script> <img src=x onerror=alert(1)> #panic() $x$ *b* _i_ @ref `c` \\ = H"
"""A title that would be markup if somebody took it for that. Marks that turn the order of text are refused before."""

CALLED = "../../etc/passwd <b>..\\paper.exe"


@dataclass(frozen=True)
class Lives:
    """Initiatives by what became of them, the dossier of each, and the checkpoint that they are proven by."""

    office: Office
    ids: dict[str, str]
    archives: dict[str, bytes]
    checkpoint: dict[str, Any]


@pytest.fixture(scope="session")
async def lives(services: Services, api_urls: tuple[str, str], skipper: TimeSkipper) -> AsyncIterator[Lives]:
    async with Office(services, api_urls) as office:
        closed = await carried_to_closure(office, services, skipper)
        refused = await carried_to_refusal(office, services, skipper)
        running = Journey(office, services, skipper, minimal_proposal())
        await running.submit()
        await running.clear()
        matter = await running.matter("proposal")
        checkpoint = await checkpointed(office)
        # What comes now is in no checkpoint yet: one side's position, which the other may not see.
        await office.carry(running.id, matter, "il", "refuse", reasons="Nobody is to know this yet.")
        await office.until_countersigned(running.id, matter, "il")
        ids = {"closed": closed, "refused": refused, "running": running.id}
        archives = {
            name: await exported(office, one, query=f"?checkpoint={checkpoint['size']}")
            for name, one in ids.items()
        }
        yield Lives(office, ids, archives, checkpoint)


@pytest.fixture
def files(lives: Lives, tmp_path: Path) -> Callable[[str], Path]:
    """A dossier unpacked, to be changed."""
    return lambda name: unpacked(lives.archives[name], tmp_path / name)


async def brought(office: Office, who: str, content: bytes) -> str:
    """Bring an attachment; its hash."""
    content_hash = f"sha256:{hashlib.sha256(content).hexdigest()}"
    headers = {"Content-Type": "application/octet-stream"}
    answer = await office.call(
        who, "PUT", f"/v1/attachments/{content_hash}", content=content, headers=headers
    )
    assert answer.status_code in (200, 201), answer.text
    return content_hash


async def carried_to_closure(office: Office, services: Services, skipper: TimeSkipper) -> str:
    """Two attachments, a mandate, an answer that was refused, a report with evidence, every tranche paid."""
    proposal = minimal_proposal(12)
    proposal["title"] |= {"he": "מערכת לגילוי דליפות", "az": "Kənd təsərrüfatı üçün gübrə"}  # noqa: RUF001 - its own letters
    for i, one in enumerate(proposal["documents"][:2]):
        one |= {
            "sha256": await brought(office, "il-lead", pdf(f"Paper {i} of a dossier")),
            "name": f"Draft {i}",
        }
    journey = Journey(office, services, skipper, proposal)
    await journey.submit()
    matter = await journey.matter("clearance")
    assert (await office.sign("il-head", journey.id, matter=matter)).status_code == 409
    given = await give(office, "il-legal", "il/il-secretariat")
    assert given.status_code == 201, given.text
    signed = await office.sign("il-secretariat", journey.id, matter=matter, on_behalf_of="il/il-legal")
    assert signed.status_code == 200, signed.text
    await office.call("il-legal", "DELETE", f"/v1/mandates/{given.json()['id']}")
    await office.carry(journey.id, matter, "az")
    await journey.approve_and_sign()
    await journey.pay(1)
    await report_with_evidence(journey, await brought(office, "il-lead", pdf("An invoice of a dossier")))
    await journey.pay(2)
    await journey.carry_out_after(1)
    return journey.id


async def report_with_evidence(journey: Journey, evidence: str) -> None:
    """The first report, whose first line names a paper; both sides accept it."""
    reports = await journey.reports()
    await journey.skip_to(datetime.fromisoformat(reports[0]["ends_at"]) + timedelta(hours=1))
    due = [ReportDue.model_validate({key: one[key] for key in ReportDue.model_fields}) for one in reports]
    body = report_due(Proposal.model_validate(journey.proposal), 1, due).document_form()
    body["costs"][0]["evidence"] = evidence
    answer = await journey.office.call(
        journey.lead, "POST", f"/v1/initiatives/{journey.id}/reports/1", body=body
    )
    assert answer.status_code == 200, answer.text
    await journey.decide("report")
    await journey.all_shares(2, "due")


async def carried_to_refusal(office: Office, services: Services, skipper: TimeSkipper) -> str:
    """Refused by one side; its title and what its documents are called are meant to do harm."""
    proposal = minimal_proposal(title={"en": HOSTILE})
    proposal["documents"][0] |= {"sha256": await brought(office, "il-lead", pdf("Harm")), "name": CALLED}
    journey = Journey(office, services, skipper, proposal)
    await journey.submit()
    await journey.clear()
    await journey.decide("proposal", ("refuse", "approve"))
    await journey.reach_end("not_approved")
    return journey.id

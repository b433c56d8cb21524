"""Record the histories that are replayed against the code: ``python -m tests.workflows.record``.

Needed after a change that is meant to break replay; whatever runs in production then needs ``workflow.patched``.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from countersign import worker
from countersign.domain import clock, complaining
from countersign.domain.agreement import Budget
from countersign.domain.amounts import Amount
from countersign.domain.budget import TRY_AGAIN
from countersign.domain.matter import OVERDUE, REMINDERS, Response
from countersign.domain.projection import Task
from countersign.domain.proposal import Proposal
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import embedded_services
from countersign.runtime.histories import opened
from countersign.runtime.payload_codec import configured
from countersign.store.session import Database
from tests.amendments import asking, extended, shifted
from tests.eventually import eventually
from tests.people import minimal_proposal
from tests.workflows.carrying import Carried, in_force

HISTORIES: Final = Path(__file__).parent / "histories"


async def straight(life: Carried) -> None:
    """Everybody approves; four reports."""
    await life.carry_to(Stage.CLOSED)


async def returned_twice(life: Carried) -> None:
    """Returned by both sides, then by one that is asked for clearance, then approved."""
    await life.all_sign()
    await life.all_sign(Response.RETURN)
    await life.reached(Stage.REVISION)
    await life.do()
    await life.reached(Stage.ELIGIBILITY)
    await life.side_signs("il", Response.RETURN)
    await life.side_signs("az")
    await life.reached(Stage.REVISION)
    await life.carry_to(Stage.CLOSED)


async def refused(life: Carried) -> None:
    """One side refuses, the other one approves; nobody complains in time."""
    await life.all_sign()
    await life.reached(Stage.DECISION)
    await life.side_signs("il", Response.REFUSE, 2)
    await life.side_signs("az", matter=2)
    await life.reached(Stage.NOT_APPROVED)
    until = complaining.until(await life.state())
    assert until is not None
    await life.pass_until(until)
    await life.handle.result()


async def complaint_upheld(life: Carried) -> None:
    """Both sides refuse clearance, uphold the complaint, and then the proposal is refused for good."""
    await life.all_sign(Response.REFUSE)
    await life.reached(Stage.INELIGIBLE)
    await life.complain()
    await life.all_sign()
    await life.reached(Stage.DECISION)
    await life.all_sign(Response.REFUSE)
    await life.reached(Stage.NOT_APPROVED)
    await life.complain()
    await life.all_sign(Response.REFUSE)
    await life.handle.result()


async def withdrawn(life: Carried) -> None:
    """The applicant withdraws while one side's position is in."""
    await life.all_sign()
    await life.reached(Stage.DECISION)
    await life.side_signs("il", matter=2)
    await life.countersigned(2, "il")
    await life.withdraw()
    await life.reached(Stage.WITHDRAWN)


async def lapsed(life: Carried) -> None:
    """One side keeps silent, is reminded, and its silence is escalated."""
    await life.all_sign()
    await life.reached(Stage.DECISION)
    await life.side_signs("il", matter=2)
    matter = await life.countersigned(2, "il")
    for percent in (*REMINDERS, OVERDUE):
        await life.pass_until(clock.at_percent(matter, "az", percent))

        async def told(percent: int = percent) -> bool:
            return (await life.matter(2)).reminded.get("az") == percent

        await eventually(told)
    assert matter.lapses_at is not None
    await life.pass_until(matter.lapses_at)
    await life.reached(Stage.LAPSED)


async def conditions(life: Carried) -> None:
    """Both sides set a condition; they are met and cleared."""
    await life.all_sign()
    await life.reached(Stage.DECISION)
    await life.all_sign(Response.APPROVE_WITH_CONDITIONS)
    await life.reached(Stage.CONDITIONS)
    await life.carry_to(Stage.ACTIVE)


async def waits_for_money(life: Carried) -> None:
    """Approved by both sides, and nothing is left; a week later a side gives more."""
    await life.put_budgets(Budget(directorate="il", amounts=(Amount(1, "ILS"),)))
    await life.all_sign()
    await life.reached(Stage.DECISION)
    await life.all_sign()

    async def waits() -> bool:
        return [one.task for one in await life.waiting()] == [Task.BUDGET]

    await eventually(waits)
    deferral = (await life.state()).deferral
    assert deferral is not None
    await life.pass_until(deferral.since + TRY_AGAIN + timedelta(hours=1))
    await life.put_budgets(*life.agreement.budget)
    await life.handle.signal("budget_changed")
    await life.carry_to(Stage.ACTIVE)


async def report_returned(life: Carried) -> None:
    """The first report falls overdue, comes, is returned, comes again and is accepted."""
    await life.carry_to(Stage.ACTIVE)
    while (one := await life.next()).task is not Task.REPORT:
        await life.do(one)
    assert one.deadline is not None
    await life.pass_until(one.deadline)

    async def overdue() -> bool:
        return any(entry.action == "report.overdue" for entry in await life.trail())

    await eventually(overdue)
    await life.do()
    await life.all_sign(Response.RETURN)
    await life.carry_to(Stage.CLOSED)


async def amended(life: Carried) -> None:
    """A notice, then an extension that is decided on when the last report is overdue, then one that lapses."""
    await life.carry_to(Stage.ACTIVE)
    await life.amend(shifted(life.proposal.document_form(), "dugma", 100))
    await life.amendment(1)
    last = (await life.state()).reports[-1]
    while (await life.state()).next_report() != last:
        await life.do()
    await life.pass_until(last.ends_at - timedelta(days=10, hours=1))
    await life.amend(extended(life.proposal.document_form(), 6))
    await life.pass_until(last.due_at + timedelta(hours=1))

    async def overdue() -> bool:
        return any(entry.action == "report.overdue" for entry in await life.trail())

    await eventually(overdue)
    await life.approve_amendment()
    await life.amendment(2)
    await life.amend(asking(life.proposal.document_form(), "dugma", 1))
    lapses_at = (await life.state()).matters[-1].lapses_at
    assert lapses_at is not None
    await life.pass_until(lapses_at)
    await life.amendment(3)
    life.proposal = Proposal.model_validate(asking(life.proposal.document_form(), "dugma", -1))
    await life.carry_to(Stage.CLOSED)


async def suspended(life: Carried) -> None:
    """No report comes, so it is suspended; the report comes, both sides resume it; then it is ended with notice."""
    await life.carry_to(Stage.ACTIVE)
    while (one := await life.next()).task is not Task.REPORT:
        await life.do(one)
    assert one.deadline is not None
    await life.pass_until(one.deadline + timedelta(days=61))
    await life.reached(Stage.SUSPENDED)
    await life.do()
    await life.all_sign()
    await life.all_sign()
    await life.reached(Stage.ACTIVE)
    for _ in range(4):  # the tranche that the report released
        await life.do()
    await life.terminate("il", notice_days=10)
    (notice,) = (await life.state()).notices
    await life.pass_until(notice.effective_at + timedelta(minutes=1))
    await life.reached(Stage.TERMINATED)
    last = await life.next()
    assert (last.task, last.number) == (Task.REPORT, 2)
    assert last.deadline is not None
    await life.pass_until(last.deadline + timedelta(minutes=1))
    await life.no_complaint_comes()
    for _ in range(4):  # each side authorises what it claims back, and confirms that it came
        await life.do()
    await life.handle.result()


async def terminated(life: Carried) -> None:
    """One side ends it; the partners report what they spent, nobody complains, and the rest comes back."""
    await life.carry_to(Stage.ACTIVE)
    while (one := await life.next()).task is not Task.REPORT:
        await life.do(one)
    await life.terminate("il")
    await life.no_complaint_comes()
    for _ in range(4):
        await life.do()
    await life.handle.result()


async def reinstated(life: Carried) -> None:
    """Ended in the second period; what was spent up to then is accepted, a complaint upheld, and it is resumed.

    The second complaint, when one side has ended it again, is dismissed.
    """
    await life.carry_to(Stage.ACTIVE)
    while (one := await life.next()).task is not Task.REPORT:
        await life.do(one)
    await life.do(one)
    await life.all_sign()
    for _ in range(4):  # the tranche that the first report released
        await life.do()
    begun = (await life.state()).reports[1].starts_at
    await life.pass_until(begun + timedelta(days=25))
    await life.terminate("az")
    await life.do()  # the last report
    await life.all_sign()
    await life.complaint_is_decided()
    await life.all_sign()
    await life.reached(Stage.ACTIVE)
    await life.terminate("il")
    await life.complaint_is_decided(Response.REFUSE)
    await life.handle.result()  # nothing is unspent


async def by_signal(life: Carried) -> None:
    """A sign-off as a signal, the same once more, and signals that are no sign-offs."""
    first = await life.command(await life.next())
    strange: list[Any] = [{"id": "m", "response": "perhaps"}, "not at all", 7, None, {}]
    for payload in (strange[0], first, *strange[1:], first):
        await life.handle.signal("sign_off", payload)

    async def all_told() -> bool:
        return sum(entry.message is not None for entry in await life.trail()) == len(strange) + 1

    await eventually(all_told)
    await life.do()
    await life.reached(Stage.DECISION)
    await life.withdraw()
    await life.reached(Stage.WITHDRAWN)


LIVES: Final[dict[str, tuple[int, Callable[[Carried], Awaitable[None]]]]] = {
    "straight": (24, straight),
    "returned-twice": (12, returned_twice),
    "refused": (12, refused),
    "complaint-upheld": (12, complaint_upheld),
    "withdrawn": (12, withdrawn),
    "lapsed": (12, lapsed),
    "conditions": (12, conditions),
    "waits-for-money": (12, waits_for_money),
    "report-returned": (12, report_returned),
    "amended": (14, amended),
    "suspended": (12, suspended),
    "terminated": (12, terminated),
    "reinstated": (18, reinstated),
    "by-signal": (12, by_signal),
}
"""Each life with its duration in months; a report falls due every six."""

_NOBODY: Final = {"identity": "worker", "buildId": "build"}
_WORKER: Final = re.compile(r"\d+@[\w.-]+")  # a process and its machine, in the names of sticky queues


def impersonal(history: Any) -> Any:
    """Without what tells one machine from another."""
    if isinstance(history, dict):
        return {key: _NOBODY[key] if key in _NOBODY else impersonal(value) for key, value in history.items()}
    if isinstance(history, str):
        return _WORKER.sub("worker", history)
    return [impersonal(one) for one in history] if isinstance(history, list) else history


async def record(names: list[str]) -> None:
    """Carry the lives on servers of their own and write down what Temporal remembers."""
    HISTORIES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        async with embedded_services(Path(place) / "home") as services:
            database, settings = Database(services.database_url), services.settings()
            codec = configured(settings)
            agreement = in_force(settings)
            try:
                async with worker.running(services.client, settings):
                    for name in names or LIVES:
                        months, carry = LIVES[name]
                        proposal = Proposal.model_validate(minimal_proposal(months))
                        life = Carried(services.client, database, agreement, proposal)
                        await life.begin()
                        await carry(life)
                        await asyncio.sleep(0.5)  # the last workflow task may be under way
                        # Decrypted: whoever changes the code has to read in them what it is held against.
                        found = [opened(one, codec) for one in await life.histories()]
                        runs = [json.loads(one.to_json()) for one in found]
                        content = {"workflow_id": life.handle.id, "runs": impersonal(runs)}
                        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
                        (HISTORIES / f"{name}.json").write_text(text + "\n", encoding="utf-8")
                        sys.stdout.write(f"{name}: {[len(run['events']) for run in runs]} events\n")
            finally:
                await database.close()


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:]))

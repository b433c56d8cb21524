"""Lives on real servers: what the workflow does with messages that a well-behaved sender would not send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from temporalio import activity
from temporalio.common import RawValue
from temporalio.service import RPCError, RPCStatusCode

from countersign import worker
from countersign.activities.agreements import Agreements
from countersign.domain import audit
from countersign.domain.audit import AuditEntry
from countersign.domain.funding import FundingAgreements
from countersign.domain.funding_agreement import Basis
from countersign.domain.matter import Outcome, Response, SignOff
from countersign.domain.projection import Task
from countersign.domain.reporting import CostLine, Report
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.runtime.temporal import connect
from countersign.store import documents, initiatives
from countersign.store.session import Database
from countersign.workflows.messages import Answer
from tests.domain.lives import holder, three_sides, two_sides
from tests.eventually import eventually
from tests.people import ROOT
from tests.workflows.carrying import Carried, in_force

pytestmark = pytest.mark.services

Make = Callable[..., Carried]


# ---- funding agreements


class SlowAgreements(Agreements):
    """They are drawn up, and known to the workflow only when ``known`` is set."""

    asked: ClassVar[list[Basis]] = []
    known: ClassVar[asyncio.Event] = asyncio.Event()

    @activity.defn(name="draw_up_funding_agreements")
    async def draw_up(self, basis: Basis) -> FundingAgreements:
        self.asked.append(basis)
        drawn_up = await Agreements.draw_up(self, basis)
        await self.known.wait()
        return drawn_up


async def test_a_correction_while_the_funding_agreements_are_drawn_up_has_them_drawn_up_anew(
    services: Services, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is signed must be of the version that the proposal has by then."""
    _, proposal = two_sides()
    settings = services.settings(task_queue="slow-agreements")
    monkeypatch.setattr(worker, "Agreements", SlowAgreements)
    client = await connect(settings, lazy=False)
    async with worker.running(client, settings):
        life = Carried(client, database, in_force(settings), proposal, queue="slow-agreements")
        # A local activity that is under way lets messages in only at a heartbeat, which follows from this.
        life.task_timeout = timedelta(seconds=2)
        await life.begin()
        await life.carry_to(Stage.DECISION)
        await life.all_sign()

        async def drawing_up() -> bool:
            return bool(SlowAgreements.asked)

        await eventually(drawing_up)
        assert (await life.correct()).status == "counted"
        SlowAgreements.known.set()
        await life.reached(Stage.CONTRACTING)
        state = await life.state()
        assert [(one.version, one.edition) for one in SlowAgreements.asked] == [(1, 1), (2, 1)]
        assert state.funding_agreements is not None
        assert (state.funding_agreements.version, state.version) == (2, 2)
        assert sum(one.action == "agreement.drawn_up" for one in await life.trail()) == 1
        await life.withdraw()
        await life.reached(Stage.WITHDRAWN)


# ---- three directorates


async def test_an_initiative_of_three_directorates_is_carried_to_closed_by_an_agreement_file_alone(
    services: Services, database: Database
) -> None:
    _, proposal = three_sides()
    settings = services.settings(
        agreement=ROOT / "tests" / "agreements" / "three-sides.toml", task_queue="three-sides"
    )
    agreement = in_force(settings)
    # A connection of its own: one takes a queue once, and the session's worker has the sides' queues on the other.
    client = await connect(settings, lazy=False)
    async with worker.running(client, settings):
        life = await Carried(client, database, agreement, proposal, queue="three-sides").begin()
        for stage in (Stage.ELIGIBILITY, Stage.DECISION, Stage.CONTRACTING):
            await life.reached(stage)
            first = await life.next()
            for side in ("il", "az", "ge"):
                matter = await life.matter(first.number)
                assert matter.outcome is None
                assert len(matter.positions) == ("il", "az", "ge").index(side)
                await life.side_signs(side, matter=first.number)
            decided = await life.decided(first.number)
            assert decided.outcome is Outcome.APPROVED
            assert set(decided.positions) == set(decided.countersigned) == {"il", "az", "ge"}
        await life.carry_to(Stage.CLOSED)
    async with database.reading() as connection:
        tranches = await initiatives.tranches(connection, life.id)
    paid: dict[str, dict[str, int]] = {}
    for tranche in tranches:
        assert tranche.is_paid
        for side, share in tranche.shares.items():
            for amount in share.amounts:
                sums = paid.setdefault(side, {})
                sums[amount.unit] = sums.get(amount.unit, 0) + amount.minor
    assert paid == {
        "il": {"ILS": 10000001, "GPUh": 1009},
        "az": {"AZN": 5000003, "GPUh": 1013},
        "ge": {"GEL": 7000007},
    }
    entries = await life.trail()
    assert audit.chain_faults(entries) == []
    assert (await life.state()).stage is Stage.CLOSED


# ---- messages


async def test_the_same_sign_off_as_an_update_twice_and_as_a_signal_counts_once(initiative: Make) -> None:
    life = await initiative().begin()
    command = await life.command(await life.next())
    answers = await asyncio.gather(*(life.send(command) for _ in range(5)))
    await life.handle.signal("sign_off", command)
    assert {one.status for one in answers} == {"counted"}
    assert len({one.sequence for one in answers}) == 1
    await life.do()
    await life.reached(Stage.DECISION)
    assert sum(entry.message == command.id for entry in await life.trail()) == 1
    assert await life.send(command) == answers[0]  # in a later stage still
    other = command.model_copy(update={"response": Response.REFUSE, "reasons": "On second thoughts."})
    assert (await life.send(other)).code == "idempotency_key_reused"


async def still_answers(life: Carried) -> None:
    """The initiative takes the next message."""
    async with asyncio.timeout(8):
        assert (await life.withdraw()).status == "counted"


async def test_a_signal_that_is_no_sign_off_is_on_record_as_refused(initiative: Make) -> None:
    life = await initiative().begin()
    await life.next()
    await life.handle.signal("sign_off", {"id": "strange", "response": "perhaps"})

    async def told() -> bool:
        return any(entry.action == "message.refused" for entry in await life.trail())

    await eventually(told)
    refused = next(entry for entry in await life.trail() if entry.action == "message.refused")
    assert (refused.actor, refused.body["code"]) == ("unknown", "invalid")
    assert "strange" in refused.body["detail"]
    await still_answers(life)


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["one", "two"],
        [{"id": "x", "reasons": "\x00"}],
        [[[[]]]],
    ],
    ids=["none", "two", "nul", "nested"],
)
async def test_a_signal_of_any_shape_is_on_record_as_refused_and_does_not_stop_an_initiative(
    initiative: Make, args: list[Any]
) -> None:
    life = await initiative().begin()
    await life.next()
    await life.handle.signal("sign_off", args=args)

    async def told() -> list[AuditEntry] | None:
        return [entry for entry in await life.trail() if entry.action == "message.refused"] or None

    (refused,) = await eventually(told)
    body = refused.body
    assert (refused.actor, body["message"], body["code"]) == ("unknown", "sign_off", "invalid")
    await still_answers(life)


@pytest.mark.parametrize(
    "change",
    [
        {"content_hash": "sha256:" + "0" * 200},
        {"content_hash": ""},
        {"matter": 2**60},
        {"matter": -1},
        {"comment": "a\x00b"},
        {"id": "x" * 128},
        {"on_behalf_of": "il/" + "x" * 1000},
    ],
    ids=["long-hash", "no-hash", "huge-number", "negative-number", "nul", "long-id", "long-name"],
)
async def test_a_sign_off_with_an_extreme_field_does_not_stop_an_initiative(
    initiative: Make, change: dict[str, Any]
) -> None:
    life = await initiative().begin()
    command = await life.command(await life.next())
    assert isinstance(command, SignOff)
    await life.handle.signal("sign_off", command.model_dump(mode="json") | change)
    await still_answers(life)


async def test_a_report_whose_costs_are_too_large_to_add_up_does_not_stop_an_initiative(
    initiative: Make,
) -> None:
    life = await initiative().begin()
    await life.carry_to(Stage.ACTIVE)
    while (one := await life.next()).task is not Task.REPORT:
        await life.do(one)
    line = CostLine.model_validate(
        {
            "partner": "dugma",
            "category": "travel",
            "description": "Far",
            "amount": {"minor": 10**15, "unit": "ILS"},
        }
    )
    report = Report(narrative={"en": "Dear."}, costs=(line, line))
    async with life.database.transaction() as connection:
        await documents.keep(connection, report.content_hash(), report.document_form())
    command = await life.command(one)
    too_large = command.model_copy(update={"id": "too-large", "content_hash": report.content_hash()})
    async with asyncio.timeout(15):
        answer = await life.send(too_large)
    assert (answer.status, answer.code) == ("refused", "invalid")
    assert (await life.send(command)).status == "counted"


async def test_a_withdrawal_between_a_return_and_the_next_matter_leaves_nothing_open(
    initiative: Make,
) -> None:
    """The funding agreements are returned and the applicant withdraws at the same moment."""
    life = await initiative().begin()
    await life.carry_to(Stage.CONTRACTING)
    await life.side_signs("il", Response.RETURN)
    last = await life.command(await life.next(), Response.RETURN)

    async def signed() -> Answer | None:
        try:
            return await life.send(last)
        except RPCError as error:
            assert error.status is RPCStatusCode.NOT_FOUND  # noqa: PT017
            return None  # it was over before this came

    answer, withdrawn = await asyncio.gather(signed(), life.withdraw())
    assert withdrawn.status == "counted"
    await life.reached(Stage.WITHDRAWN)
    await life.handle.result()
    entries = await life.trail()
    told = [entry.sequence for entry in entries if entry.message == last.id]
    assert told == ([answer.sequence] if answer else [])
    assert [entry.action for entry in entries].count("initiative.withdrawn") == 1
    assert await life.waiting() == []
    assert not any(one.is_open for one in (await life.state()).matters)


async def test_what_an_office_of_another_side_sends_is_refused_and_on_record(initiative: Make) -> None:
    life = await initiative().begin()
    command = await life.command(await life.next())
    stranger = command.model_copy(update={"id": "stranger", "caller": holder("ge", "head")})
    answer = await life.send(stranger)
    assert (answer.status, answer.code) == ("refused", "not_your_office")
    assert (await life.trail())[answer.sequence - 1].message == "stranger"


async def test_a_payload_that_cannot_be_decoded_does_not_stop_an_initiative(initiative: Make) -> None:
    from temporalio.api.common.v1 import Payload

    life = await initiative().begin()
    await life.next()
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b"{not json")
    await life.handle.signal("sign_off", RawValue(payload))
    await still_answers(life)

"""What Temporal keeps, read from its database file: nothing of what people wrote, unless encryption is off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from countersign import worker
from countersign.api import history
from countersign.domain.matter import Response, SignOff
from countersign.domain.proposal import Proposal
from countersign.domain.stage import Stage
from countersign.runtime import payload_keys
from countersign.runtime.embedded.services import Services, embedded_services
from countersign.runtime.histories import payloads
from countersign.runtime.payload_codec import KEY_ID, EncryptingCodec, PayloadRefused, configured
from countersign.runtime.payload_keys import KeyRing
from countersign.runtime.settings import Settings
from countersign.runtime.temporal import connect, data_converter
from countersign.store.session import Database
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import Begin, GiveEvidence, Submit, Withdraw
from tests.at_rest import found_in, kept
from tests.eventually import eventually
from tests.people import minimal_proposal
from tests.workflows.carrying import Carried, in_force

pytestmark = [pytest.mark.services, pytest.mark.slow]

COMMENT = "Between ourselves: the hydrology is thin."
REASONS = "Work package 1 has no baseline for the aquifer."
CONDITION = "A letter from the waterworks of Dugma."
EVIDENCE = "The letter is enclosed, from the chief engineer."
WITHDRAWAL = "The waterworks were sold."

PROPOSAL = minimal_proposal(
    12,
    title={"en": "Aquifers under glass", "az": "Şüşə içində sular"},
    summary={"en": "We listen to the aquifer, and it leaks."},
)
WRITTEN = {
    *("Aquifers under glass", "Şüşə içində sular", "We listen to the aquifer, and it leaks."),
    *(COMMENT, REASONS, CONDITION, EVIDENCE),
}
PEOPLE = {
    *(partner["contact"]["name"] for partner in PROPOSAL["partners"]),
    *(partner["contact"]["email"] for partner in PROPOSAL["partners"]),
    *(partner["name"]["en"] for partner in PROPOSAL["partners"]),
    *("Plonit Almonit", "applicants/plonit", "il/legal_counsel", "az/programme_officer"),
}
INSIDE = {"dugma", "numune", "content_hash", "approve_with_conditions", "end_to_end_id"}
"""What only the structure of the messages holds: ids of partners, names of fields, responses."""

IN_MESSAGES = {COMMENT, REASONS, CONDITION, EVIDENCE, "Plonit Almonit", "applicants/plonit"} | INSIDE
"""What Temporal is given to keep; titles and narratives stay in the record, under their hash."""


class Talkative(Carried):
    """Whoever signs says something, and whoever returns says why."""

    async def command(self, one: Any, response: Response = Response.APPROVE) -> Any:
        command = await super().command(one, response)
        if isinstance(command, GiveEvidence):
            return command.model_copy(update={"text": EVIDENCE})
        if not isinstance(command, SignOff):
            return command
        said: dict[str, Any] = {"comment": COMMENT}
        if response is Response.RETURN:
            said["reasons"] = REASONS
        if response is Response.APPROVE_WITH_CONDITIONS:
            said["conditions"] = (CONDITION,)
        return command.model_copy(update=said)


def talkative(client: Client, database: Database, settings: Settings) -> Talkative:
    return Talkative(client, database, in_force(settings), Proposal.model_validate(PROPOSAL))


async def whole_life(life: Carried) -> None:
    """Returned once, approved with conditions, paid, reported, closed."""
    await life.begin()
    await life.all_sign()
    await life.all_sign(Response.RETURN)
    await life.carry_to(Stage.DECISION)
    await life.all_sign(Response.APPROVE_WITH_CONDITIONS)
    await life.carry_to(Stage.CLOSED)
    await life.handle.result()


@asynccontextmanager
async def at_work(client: Client, services: Services, settings: Settings) -> AsyncIterator[Database]:
    """A worker, and the record."""
    database = Database(services.database_url)
    try:
        async with worker.running(client, settings):
            yield database
    finally:
        await database.close()


async def plain_client(services: Services) -> Client:
    """A client that encrypts nothing, as if there were no encryption."""
    settings = services.settings()
    return await connect(settings, converter=data_converter(None), lazy=False)


async def test_nothing_of_a_whole_life_is_in_temporals_database_file(tmp_path: Path) -> None:
    async with embedded_services(tmp_path / "home", persistent=True) as services:
        settings = services.settings()
        async with at_work(services.client, services, settings) as database:
            life = talkative(services.client, database, settings)
            await whole_life(life)
            trail = await life.trail()
            runs = await history.runs(services.client, configured(settings), database, life.id)
        keys = payload_keys.read(services.home.payload_keys)
        # What is meant to be read, so the search does find things.
        open_to_all = {life.handle.id, "InitiativeWorkflow", "sign_off", "civilian_sectors", keys.current.id}
        open_to_all.add(life.beginning.reference)
        secret = WRITTEN | PEOPLE | INSIDE
        secret |= {life.applicant.contact or "", life.proposal.content_hash()}
        secret |= {entry.hash for entry in trail}
        assert found_in(services.home.path, secret | open_to_all) == open_to_all
        assert not any(keys.current.secret in one for one in kept(services.home.path))
    # What those see who may: the same texts, in Temporal's own form.
    told = b"".join(payload.data for run in runs for event in run.events for payload in payloads(event))
    assert {text for text in secret if text.encode() in told} >= IN_MESSAGES


async def test_the_same_search_finds_what_people_wrote_when_encryption_is_off(tmp_path: Path) -> None:
    async with embedded_services(tmp_path / "home", persistent=True) as services:
        settings, client = services.settings(), await plain_client(services)
        async with at_work(client, services, settings) as database:
            life = talkative(client, database, settings)
            await whole_life(life)
        found = found_in(services.home.path, WRITTEN | PEOPLE | INSIDE)
    assert found >= IN_MESSAGES


# ---- failures


async def test_what_went_wrong_is_told_to_nobody_without_the_key(tmp_path: Path) -> None:
    """A workflow that fails, and an activity that is tried again: messages, causes and stack traces are encrypted."""
    said = {"no proposal under that hash", "cannot be read", "No such file", "Traceback", "signing.py"}
    async with embedded_services(tmp_path / "home", persistent=True) as services:
        (tmp_path / "no-keys").mkdir()
        settings = services.settings(signing_keys=tmp_path / "no-keys")
        async with at_work(services.client, services, settings) as database:
            with pytest.raises(WorkflowFailureError) as failed:
                await (await begin_without_a_proposal(services.client, settings)).result()
            life = await talkative(services.client, database, settings).begin()
            await life.side_signs("il")
            last = await last_failure(life)
        assert found_in(services.home.path, said) == set()
        plain = await plain_client(services)
        async with at_work(plain, services, settings) as database:
            with pytest.raises(WorkflowFailureError):
                await (await begin_without_a_proposal(plain, settings)).result()
            life = await talkative(plain, database, settings).begin()
            await life.side_signs("il")
            await last_failure(life)
        # Without a codec they stand in the open, so that they would be found.
        assert found_in(services.home.path, said) >= {
            "no proposal under that hash",
            "cannot be read",
            "signing.py",
        }
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, "no proposal under that hash" in cause.message) == ("invalid", True)
    assert (last.message, last.stack_trace, last.cause.message) == ("Encoded failure", "", "Encoded failure")


async def begin_without_a_proposal(client: Client, settings: Settings) -> Any:
    """An initiative whose proposal is not on record: its workflow fails."""
    life = Carried(client, None, in_force(settings), Proposal.model_validate(PROPOSAL))  # type: ignore[arg-type]
    submission = Submit(
        initiative=life.id,
        reference=life.beginning.reference,
        agreement=life.agreement.id,
        agreement_version=life.agreement.version,
        content_hash="sha256:" + "0" * 64,
        applicant=life.applicant,
    )
    return await client.start_workflow(
        InitiativeWorkflow.run,
        Begin(submission=submission),
        id=life.handle.id,
        task_queue=settings.task_queue,
    )


async def last_failure(life: Carried) -> Any:
    """What Temporal says of an activity that is tried again."""

    async def failed() -> Any:
        described = await life.handle.describe()
        return next(
            (one.last_failure for one in described.raw_description.pending_activities if one.attempt > 1),
            None,
        )

    return await eventually(failed)


# ---- rotation


async def test_an_initiative_goes_on_across_a_rotation_and_a_restart_of_everything(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with embedded_services(home, persistent=True) as services:
        settings = services.settings()
        async with at_work(services.client, services, settings) as database:
            life = await talkative(services.client, database, settings).begin()
            await life.carry_to(Stage.ACTIVE)
            old, file = payload_keys.read(services.home.payload_keys), services.home.payload_keys
    added = old.with_new()
    new = added.ids[1]
    payload_keys.write(file, added.using(new))
    async with embedded_services(home, persistent=True) as services:
        settings = services.settings()
        async with at_work(services.client, services, settings) as database:
            before, life = life, talkative(services.client, database, settings)
            life.id, life.handle = before.id, services.client.get_workflow_handle(before.handle.id)
            life.applicant, life._messages = before.applicant, before._messages
            await life.carry_to(Stage.CLOSED)
            await life.handle.result()
            raw = await life.histories()
            runs = await history.runs(services.client, configured(settings), database, life.id)
            used = [{key for event in run.events for key in keys_of(event)} for run in raw]
            assert used[0] == {old.current.id, new}  # under way as the key changed
            assert [one for one in used[1:] if one != {new}] == []
            sentences = [one.sentence for run in runs for one in history.sentences(run)]
            assert sum("sent sign_off (matter" in one for one in sentences) >= 10
            assert sentences[-1] == "The workflow ended: closed."
            # Once no history of it is needed any more the old key goes; whoever needs one after all is told so.
            dropped = EncryptingCodec(payload_keys.read(file).without(old.current.id))
            with pytest.raises(PayloadRefused, match=rf"payload_key_unknown: run .*'{old.current.id}'"):
                await history.runs(services.client, dropped, database, life.id)


def keys_of(event: Any) -> set[str]:
    return {one.metadata[KEY_ID].decode() for one in payloads(event) if KEY_ID in one.metadata}


async def test_a_worker_that_lacks_a_key_does_nothing_wrong_and_the_initiative_goes_on_when_it_has_it(
    services: Services, database: Database
) -> None:
    """It is what happens when the old key is taken away too early, or the new one is used before all have it."""
    whole = payload_keys.new_ring().with_new()
    settings = services.settings(task_queue="rotation")
    rings = (KeyRing([whole.keys[0]]), KeyRing([whole.keys[1]]), whole)
    old, new, both = [
        await connect(settings, converter=data_converter(EncryptingCodec(ring)), lazy=False) for ring in rings
    ]
    proposal = Proposal.model_validate(PROPOSAL)
    async with worker.running(old, settings):
        life = await Carried(old, database, in_force(settings), proposal, queue="rotation").begin()
        await life.all_sign()
        await life.reached(Stage.DECISION)
    async with worker.running(new, settings):
        await new.get_workflow_handle(life.handle.id).signal("sign_off", {"id": "m"})

        async def stands_still() -> bool:
            failed = (await life.handle.describe()).raw_description.pending_workflow_task
            return failed.attempt > 1

        await eventually(stands_still)
        entries = len(await life.trail())
    async with worker.running(both, settings):
        life.handle = both.get_workflow_handle(life.handle.id)

        async def told() -> bool:
            return len(await life.trail()) > entries

        await eventually(told)
        assert (await life.trail())[-1].action == "message.refused"  # the signal that waited: no sign-off
        await life.all_sign()
        await life.reached(Stage.CONTRACTING)
        await life.withdraw()
        await life.handle.result()


# ---- what comes in plain text


async def test_a_plain_signal_is_refused_on_record_and_a_plain_update_to_its_sender(
    services: Services, working: None, database: Database
) -> None:
    """Who can reach Temporal, and has no key, cannot speak for anybody, and stops nothing."""
    life = await talkative(services.client, database, services.settings()).begin()
    await life.reached(Stage.ELIGIBILITY)
    stranger = (await plain_client(services)).get_workflow_handle(life.handle.id)
    forged = await life.command(await life.next())
    before = await life.trail()
    await stranger.signal("sign_off", forged)
    await stranger.signal("budget_changed", "plain")

    async def refused() -> Any:
        return next(iter((await life.trail())[len(before) :]), None)

    entry = await eventually(refused)
    assert (entry.action, entry.body["code"]) == ("message.refused", "invalid")
    assert entry.body["detail"] == "a message that came unencrypted is not read"
    with pytest.raises(Exception, match="update failed"):
        await stranger.execute_update("withdraw", Withdraw(id="w", caller=life.applicant, reasons=WITHDRAWAL))
    assert len(await life.trail()) == len(before) + 1
    assert (await life.send(forged)).status == "counted"
    runs = await history.runs(services.client, configured(services.settings()), database, life.id)
    assert "by signal" in " ".join(one.sentence for run in runs for one in history.sentences(run))
    await life.withdraw()
    await life.handle.result()


async def test_what_is_plain_counts_for_as_long_as_the_setting_accepts_it(
    services: Services, database: Database
) -> None:
    """An initiative that began before anything was encrypted is carried on, and what it writes now is encrypted."""
    plain = await plain_client(services)
    settings = services.settings(task_queue="migration", payload_plain="accept")
    proposal = Proposal.model_validate(PROPOSAL)
    async with worker.running(plain, settings):
        life = await Carried(plain, database, in_force(settings), proposal, queue="migration").begin()
        await life.all_sign()
        await life.reached(Stage.DECISION)
    accepting = await connect(settings, lazy=False)
    async with worker.running(accepting, settings):
        life.handle = accepting.get_workflow_handle(life.handle.id)
        await life.all_sign()
        await life.reached(Stage.CONTRACTING)
        (run,) = await life.histories()
        await life.withdraw()
        await life.handle.result()
    encrypted = [bool(keys_of(event)) for event in run.events if list(payloads(event))]
    assert encrypted[0] is False
    assert encrypted[-1] is True

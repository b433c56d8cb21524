"""The sides' signatures under joint decisions, as verification looks at them."""

from __future__ import annotations

import json

from sqlalchemy import text

from countersign.domain.verification import Fault
from countersign.runtime.embedded.services import Services
from countersign.runtime.verification import Verified, _decisions
from countersign.store.session import Database
from tests.people import Office, minimal_proposal
from tests.workflows.carrying import in_force


async def found(
    database: Database, services: Services, initiative: str, change: str | None = None
) -> list[Fault]:
    """What is wrong with the decisions of an initiative, after a change that is undone again."""
    verified = Verified()
    async with database._engine.connect() as connection:
        undone = await connection.begin()
        if change is not None:
            await connection.execute(text("ALTER TABLE document DISABLE TRIGGER ALL"))
            await connection.execute(text(change), {"initiative": initiative})
        await _decisions(connection, in_force(services.settings()), verified)
        await undone.rollback()
    return [one for one in verified.faults if one.trail == initiative]


CHANGES = {
    "the outcome that follows": "jsonb_set(d.body, '{outcome}', '\"refused\"')",
    "the signature is missing": "d.body #- '{positions,il}'",
    "signed another content_hash": "jsonb_set(d.body, '{content_hash}', '\"sha256:0\"')",
    "the signature does not hold": "jsonb_set(d.body, '{positions,az}', to_jsonb(d.body #>> '{positions,az}' || 'A'))",
    "signed with a key that is not this side's": "jsonb_set(d.body, '{positions,az}', d.body #> '{positions,il}')",
}


async def test_every_joint_decision_is_held_against_the_keys_of_the_sides(
    office: Office, services: Services, database: Database
) -> None:
    initiative = str((await office.submit(minimal_proposal()))["id"])
    matter = await office.open_matter_of(initiative, "clearance")
    for side in ("il", "az"):
        await office.carry(initiative, matter, side)
    await office.until_decided(initiative, matter["number"])
    assert await found(database, services, initiative) == []
    for said, body in CHANGES.items():
        change = (
            f"UPDATE document d SET body = {body} FROM audit_entry e "
            "WHERE e.initiative_id = cast(:initiative AS uuid) AND e.body ->> 'decision' = d.content_hash"
        )
        faults = await found(database, services, initiative, change)
        assert faults, said
        assert any(said in one.problem for one in faults), json.dumps([one.problem for one in faults])
        assert {one.sequence is not None for one in faults} == {True}

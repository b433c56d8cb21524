"""Whatever is done to the record by somebody who may do everything is found, and named."""

from __future__ import annotations

import itertools
import json
import os
import random
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import pytest
from joserfc.jwk import OKPKey
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from countersign.activities.notes import sign_checkpoint
from countersign.domain import verification
from countersign.domain.agreement import MatterKind, ProgrammeAgreement, SigningKey
from countersign.domain.audit import AuditEntry
from countersign.domain.checkpoint import SignedCheckpoint, origin_of
from countersign.domain.mandate import Mandate
from countersign.domain.matter import Response
from countersign.domain.stage import Stage
from countersign.domain.verification import Fault
from countersign.runtime.archive import Press
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import migrate
from countersign.runtime.payload_codec import EncryptingCodec
from countersign.runtime.payload_keys import new_ring
from countersign.runtime.verification import Archive, Verified, verify
from countersign.store import log, mandates, trail
from countersign.store import verification as stored
from countersign.store.session import Database
from countersign.store.tables import metadata
from tests.audit.histories import archive
from tests.audit.tampering import TAMPERINGS, Tampered, chained_again, log_made_anew
from tests.store.making import new_id
from tests.store.whole import Whole

pytestmark = [pytest.mark.services, pytest.mark.slow]

NUMBER: Final = int(os.environ.get("COUNTERSIGN_TAMPERINGS", "300"))
NOW: Final = datetime(2027, 3, 1, tzinfo=UTC)


class Programme:
    """A database with a programme in it, whole and verified, and a checkpoint of it that somebody kept."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ring = new_ring()
        self.agreement: ProgrammeAgreement
        self.kept: SignedCheckpoint

    async def make(self) -> Programme:
        active, withdrawn, conditional = Whole(), Whole(), Whole()
        active.begin()
        active.all_sign()
        active.all_sign(Response.RETURN)
        active.revise()
        active.reach(Stage.ACTIVE)
        active.pay(1)
        active.report(1)
        withdrawn.begin()
        withdrawn.withdraw()
        conditional.begin()
        conditional.all_sign()
        conditional.all_sign(Response.APPROVE_WITH_CONDITIONS)
        for life in (active, withdrawn, conditional):
            await life.on_record(self.database)
        keys = {
            side: OKPKey.generate_key("Ed25519", private=True) for side in active.agreement.directorate_ids
        }
        signing = [
            SigningKey(
                directorate=side, kid=f"of-{side}", x=str(key.as_dict(private=False)["x"]), valid_from=NOW
            )
            for side, key in keys.items()
        ]
        # The lives' own positions are not really signed; what is signed here is the checkpoint.
        self.agreement = active.agreement.model_copy(update={"signing_key": tuple(signing)})
        press = Press(EncryptingCodec(self.ring))
        async with self.database.transaction() as connection:
            for life in (active, withdrawn, conditional):
                entries = await trail.entries_from(connection, life.state.id)
                await archive(connection, press, self.agreement.id, entries, NOW)
            one = Mandate(
                id=new_id(),
                directorate="il",
                delegator="il/a",
                delegate="il/b",
                kinds=(MatterKind.PROPOSAL,),
                offices=("head",),
                valid_from=NOW,
                valid_to=NOW + timedelta(days=9),
                given_at=NOW,
            )
            await mandates.revoke(connection, await mandates.give(connection, one), "il/a", NOW)
            await log.grow(connection)
            origin = origin_of(self.agreement.id)
            made = await log.make_checkpoint(connection, origin, NOW)
            assert made is not None
            for side, key in keys.items():
                line = sign_checkpoint(made.signed.checkpoint, side, key).line
                await log.keep_signature(connection, made.signed.checkpoint.size, side, line, NOW)
            signed = await log.checkpoint(connection)
            assert signed is not None
            self.kept = signed.signed
            # Neither triggers nor foreign keys hold a superuser back.
            for table in metadata.tables:
                await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        return self

    async def verified(self, connection: Any) -> Verified:
        return await verify(connection, self.agreement, since=self.kept, archive=Archive(keys=self.ring))


@pytest.fixture(scope="module")
async def programme(services: Services) -> AsyncIterator[Programme]:
    url = await services.postgres.create_database(f"tampered_{secrets.token_hex(4)}")
    await migrate(url)
    database = Database(url, pool_size=1)
    yield await Programme(database).make()
    await database.close()


@pytest.fixture(autouse=True)
def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows from the very same entries, signatures of lives aside, need not be derived a thousand times."""
    derived = verification.derived

    @lru_cache(maxsize=64)
    def known(form: str, terms: str) -> Any:
        return derived([AuditEntry(**one) for one in json.loads(form)], current[0])

    def from_form(entries: Any, terms_of: Any) -> Any:
        current[0] = terms_of
        body = entries[0].body
        terms = terms_of(body.get("agreement"), body.get("agreement_version"))
        form = json.dumps([one.model_dump() for one in entries], sort_keys=True)
        return known(form, "" if terms is None else terms.model_dump_json())

    current: list[Any] = [None]
    monkeypatch.setattr(verification, "derived", from_form)
    # The lives' positions are signed by nobody.
    monkeypatch.setattr(stored, "decisions", _none)


async def _none(*_: Any) -> AsyncIterator[Any]:
    return
    yield


async def test_a_record_that_nobody_touched_has_no_fault(programme: Programme) -> None:
    async with programme.database.transaction() as connection:
        await stored.at_one_moment(connection)
        found = await programme.verified(connection)
    assert found.faults == []
    assert found.entries == found.size == found.signed > 70
    assert (found.checkpoints, found.to_come) == (1, 0)
    assert (found.histories, found.unread) == (6, 0)


async def test_hundreds_of_tamperings_are_each_found_and_named(programme: Programme) -> None:
    kinds = [tamper for tamper, often in TAMPERINGS for _ in range(often)]
    missed: list[str] = []
    unnamed: list[str] = []
    done: dict[str, int] = {}
    for seed in itertools.count():
        luck = random.Random(seed)
        try:
            tampered, found = await _tampered(programme, luck.choice(kinds), luck)
        except DBAPIError:
            continue  # there is no such row, even for a superuser: two of one key, an account that is none
        if tampered is None:
            continue
        done[tampered.what.split(" ", 1)[0]] = done.get(tampered.what.split(" ", 1)[0], 0) + 1
        if not found.faults:
            missed.append(f"{seed}: {tampered.what}")
        elif not _names(found, tampered):
            unnamed.append(f"{seed}: {tampered}: {found.faults[:3]}")
        if sum(done.values()) == NUMBER:
            break
    assert missed == [], "\n".join(missed[:20])
    assert unnamed == [], "\n".join(unnamed[:20])
    assert set(done) == {"changed", "deleted", "inserted", "swapped", "cut", "rewrote"}


@pytest.mark.parametrize(
    ("done", "problem"),
    [
        (
            "INSERT INTO initiative_person SELECT 'somebody-else', initiative_id FROM initiative_person LIMIT 1",
            "somebody has no part in it",
        ),
        (
            "DELETE FROM initiative_person WHERE ctid = (SELECT min(ctid) FROM initiative_person)",
            "somebody who has a part in it is missing",
        ),
    ],
)
async def test_who_is_let_in_to_an_initiative_or_kept_out_behind_its_back_is_told(
    programme: Programme, done: str, problem: str
) -> None:
    async with programme.database._engine.connect() as connection:
        undone = await connection.begin()
        initiative = await connection.scalar(text(f"{done} RETURNING initiative_id"))
        found = await programme.verified(connection)
        await undone.rollback()
    assert found.faults == [Fault(str(initiative), None, "initiative_person", problem)]


async def test_the_histories_name_a_past_that_was_rewritten_when_nobody_kept_a_checkpoint(
    programme: Programme,
) -> None:
    for seed in range(12):
        luck = random.Random(seed)
        async with programme.database._engine.connect() as connection:
            undone = await connection.begin()
            changed = await chained_again(connection, luck)
            await log_made_anew(connection)
            found = await verify(connection, programme.agreement, archive=Archive(keys=programme.ring))
            without_keys = await verify(connection, programme.agreement)
            await undone.rollback()
        named = [one for one in found.faults if one.table == "workflow_history"]
        assert {one.trail for one in named} == {changed.initiative}, (seed, found.faults)
        assert min(one.sequence or 0 for one in named) >= changed.sequence
        assert {one.table for one in without_keys.faults} <= {"initiative", "event", "matter", "waiting"}
        assert without_keys.unread == 6


async def _tampered(
    programme: Programme, tamper: Any, luck: random.Random
) -> tuple[Tampered | None, Verified]:
    """What is found when something was done to the record, which is then undone."""
    async with programme.database._engine.connect() as connection:
        undone = await connection.begin()
        try:
            tampered = await tamper(connection, luck)
            return tampered, await programme.verified(connection)
        finally:
            await undone.rollback()


def _names(found: Verified, tampered: Tampered) -> bool:
    """Whether the trail is named, and the entry or one before it, where it was done to one."""
    if tampered.trail is None:
        return True
    if tampered.what.startswith("rewrote"):
        return any(one.table == "kept checkpoint" for one in found.faults)
    named = [one for one in found.faults if one.trail == tampered.trail]
    if tampered.sequence is None:
        return bool(named)
    return any(one.sequence is not None and one.sequence <= tampered.sequence + 1 for one in named)

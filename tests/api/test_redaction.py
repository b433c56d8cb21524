"""What the API shows of an initiative whose people were redacted."""

from __future__ import annotations

import json
import uuid

from sqlalchemy import update

from countersign.domain import audit
from countersign.domain.audit import AuditEntry
from countersign.domain.canonical import content_hash
from countersign.domain.matter import Response
from countersign.domain.retention import redacted
from countersign.domain.stage import Stage
from countersign.store import retention
from countersign.store import tables as t
from countersign.store.session import Database
from tests.people import Office
from tests.store.named import LONG_AGO, Named, kept

NOW = LONG_AGO.replace(year=2022)


async def test_a_redacted_initiative_is_read_as_before_and_says_why_its_hash_differs(
    office: Office, database: Database
) -> None:
    life = Named()
    life.begin()
    life.all_sign()
    life.all_sign(Response.RETURN)
    life.another_version()
    life.reach(Stage.CONTRACTING)
    life.withdraw()
    await life.on_record(database)
    here = f"/v1/initiatives/{life.id}"
    paths = (
        f"{here}/proposal",
        f"{here}/proposal/versions/1",
        f"{here}/proposal/versions/2",
        f"{here}/matters/1",
    )
    before = [await office.get("il-auditor", path) for path in paths]
    assert [one["redacted_at"] for one in before] == [None] * 4
    assert all(life.names in json.dumps(one) for one in before)

    await retention.redact(database, life.id, NOW, "operator")

    after = [await office.get("il-auditor", path) for path in paths]
    for one, was in zip(after, before, strict=True):
        assert one["redacted_at"] == NOW.isoformat().replace("+00:00", "Z")
        assert one["content_hash"] == was["content_hash"]
        shown, shown_before = (x.get("proposal") or x["subject"] for x in (one, was))
        assert content_hash(shown_before) == one["content_hash"] != content_hash(shown)
        assert shown == redacted(shown_before)
        assert life.names not in json.dumps(one)
    assert [one["place"] for one in after[2]["differences"]] == ["title.en"]
    whole = await office.get("az-auditor", here)
    trail = await office.trail(life.id)
    assert whole["sequence"] == trail[-1]["sequence"] == life.state.sequence + 1
    assert audit.chain_faults(AuditEntry.model_validate(one) for one in trail) == []
    papers = [one for one in life.state.matters if one.kind == "agreement"]
    paper = await office.get("az-auditor", f"{here}/matters/{papers[-1].number}")
    assert (paper["redacted_at"], content_hash(paper["subject"])) == (None, paper["content_hash"])


async def test_only_a_new_submission_of_a_redacted_proposal_makes_it_whole_again(
    office: Office, database: Database
) -> None:
    body = Named().proposal.document_form()
    key = str(uuid.uuid4())
    first = await office.submit(body, key=key)
    content = first["content_hash"]
    async with database.transaction() as connection:
        values = {"body": redacted(body), "redacted_at": NOW}
        await connection.execute(
            update(t.document).where(t.document.c.content_hash == content).values(values)
        )
    assert (await office.submit(body, key=key))["id"] == first["id"]
    assert (await kept(database, content)).redacted_at == NOW
    second = await office.submit(body)
    assert second["id"] != first["id"]
    assert second["content_hash"] == content
    found = await kept(database, content)
    assert (found.redacted_at, content_hash(found.body)) == (None, content)

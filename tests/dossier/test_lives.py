"""Dossiers of lives that are out of the ordinary: redacted, of three sides, with an attachment that is gone."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from temporalio.testing import TimeSkipper

from countersign import worker
from countersign.domain.ids import workflow_id
from countersign.domain.stage import Stage
from countersign.runtime.dossier import record
from countersign.runtime.dossier.container import File, Packed, packed
from countersign.runtime.dossier.files import Histories, files
from countersign.runtime.embedded.services import Services
from countersign.runtime.histories import opened
from countersign.runtime.payload_codec import configured
from countersign.runtime.temporal import connect
from countersign.store import retention
from countersign.store.session import Database
from tests.attachments.papers import pdf
from tests.domain.lives import three_sides
from tests.dossier.conftest import Lives, brought
from tests.dossier.making import checkpointed, exported, read, unpacked, verify
from tests.journeys.journey import Journey
from tests.people import ROOT, Office, minimal_proposal
from tests.workflows.carrying import Carried, in_force
from tests.workflows.resetting import reset


def kept(attachments: Path, content_hash: str) -> Path:
    return next(attachments.rglob(f"*{content_hash[7:]}*"))


def texts(directory: Path) -> list[str]:
    return [one.read_text(encoding="utf-8") for one in directory.iterdir()]


async def test_a_redacted_initiative_verifies_and_its_documents_are_said_to_be_redacted(
    office: Office, services: Services, skipper: TimeSkipper, database: Database, tmp_path: Path
) -> None:
    journey = Journey(office, services, skipper, minimal_proposal(title={"en": "To be forgotten"}))
    await journey.submit()
    await journey.clear()
    await journey.decide("proposal", ("refuse", "approve"))
    await journey.reach_end("not_approved")
    await retention.redact(database, journey.id, datetime(2070, 1, 1, tzinfo=UTC), "operator")
    await checkpointed(office)
    directory = unpacked(await exported(office, journey.id), tmp_path / "d")
    found = await verify(directory)
    assert (found.status, found.wrong) == (0, []), found.out
    assert "note: 1 documents are redacted" in found.out
    said = "".join(texts(directory / "documents"))
    assert "Almonit Plonit" not in said + (directory / "index.html").read_text()
    assert "were redacted on" in (directory / "index.html").read_text()


async def test_a_workflow_that_was_reset_tells_two_histories_and_both_agree_with_the_trail(
    office: Office, services: Services, skipper: TimeSkipper, tmp_path: Path
) -> None:
    journey = Journey(office, services, skipper, minimal_proposal())
    await journey.submit()
    await journey.clear()
    await reset(services.client, workflow_id(journey.id))
    await journey.decide("proposal", ("refuse", "approve"))
    await journey.reach("not_approved")
    await checkpointed(office)
    directory = unpacked(await exported(office, journey.id), tmp_path / "d")
    assert len(list((directory / "histories").iterdir())) == 2
    found = await verify(directory)
    assert (found.status, found.wrong) == (0, []), found.out
    told = await office.get("az-auditor", f"/v1/initiatives/{journey.id}/history?action=sign_off")
    assert "sent sign_off (matter 1, approve)" in told["items"][0]["sentence"]


async def flip_a_byte_of_its_history(database: Database, initiative: str) -> None:
    """As only the owner can; done twice it is as it was."""
    async with database.transaction() as connection:
        await connection.execute(
            text("ALTER TABLE workflow_history DISABLE TRIGGER workflow_history_only_erased")
        )
        await connection.execute(
            text(
                "UPDATE workflow_history SET content = set_byte(content, 200, 255 - get_byte(content, 200)) "
                "WHERE initiative_id = cast(:id AS uuid)"
            ),
            {"id": initiative},
        )
        always = "ALTER TABLE workflow_history ENABLE ALWAYS TRIGGER workflow_history_only_erased"
        await connection.execute(text(always))


async def test_an_archived_history_that_was_changed_is_told_in_the_dossier_and_stops_nothing(
    office: Office, services: Services, skipper: TimeSkipper, database: Database, tmp_path: Path
) -> None:
    journey = Journey(office, services, skipper, minimal_proposal())
    await journey.submit()
    withdrawn = await office.call(
        "il-lead", "POST", f"/v1/initiatives/{journey.id}/withdrawal", body={"reasons": "no"}
    )
    assert withdrawn.status_code == 200, withdrawn.text
    archived = await office.call("az-auditor", "POST", "/v1/audit/archive")
    assert archived.json()["archived"] >= 1, archived.text
    await flip_a_byte_of_its_history(database, journey.id)
    told = await office.call("az-auditor", "GET", f"/v1/initiatives/{journey.id}/history")
    assert (told.status_code, "it is not what was archived" in told.text) == (503, True)
    await checkpointed(office)
    directory = unpacked(await exported(office, journey.id), tmp_path / "d")
    found = await verify(directory)
    assert (found.status, found.wrong) == (0, []), found.out
    assert "no workflow history: an archived history cannot be read: it is not what was archived" in found.out
    await flip_a_byte_of_its_history(database, journey.id)  # others verify the same record


async def test_an_attachment_that_is_gone_or_damaged_is_named_and_stops_nothing(
    office: Office, services: Services, skipper: TimeSkipper, attachments: Path, tmp_path: Path
) -> None:
    proposal = minimal_proposal()
    hashes = [await brought(office, "il-lead", pdf(f"Of which nothing stays {i}")) for i in range(2)]
    for one, content_hash in zip(proposal["documents"], hashes, strict=False):
        one["sha256"] = content_hash
    journey = Journey(office, services, skipper, proposal)
    await journey.submit()
    await checkpointed(office)
    gone, damaged = (kept(attachments, one) for one in hashes)
    gone.unlink()
    damaged.chmod(0o600)
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    directory = unpacked(await exported(office, journey.id), tmp_path / "d")
    states = {one["hash"]: one["state"] for one in read(directory, "attachments.json")["attachments"]}
    assert states == {hashes[0]: "missing", hashes[1]: "damaged"}
    wrong = (await verify(directory)).wrong
    assert [one.partition(": the attachment is ")[0] for one in wrong] == hashes


async def test_an_initiative_of_three_sides_verifies_before_any_checkpoint_is_signed(
    services: Services, database: Database, tmp_path: Path
) -> None:
    _, proposal = three_sides()
    settings = services.settings(
        agreement=ROOT / "tests" / "agreements" / "three-sides.toml", task_queue="three-sides"
    )
    agreement = in_force(settings)
    client = await connect(settings, lazy=False)
    async with worker.running(client, settings):
        life = await Carried(client, database, agreement, proposal, queue="three-sides").begin()
        await life.carry_to(Stage.CONTRACTING)
        runs = [opened(one, configured(settings)) for one in await life.histories()]
    async with database.one_moment() as connection:
        found = await record.read(connection, life.id, agreement.signing_key)
    assert found is not None
    assert found.checkpoint is None
    told = Histories(tuple((one.run_id, one.to_json()) for one in runs))
    place = tmp_path / "dossier.zip"
    stream = packed(files(found, told, None), found.entries[-1].instant, Packed())
    place.write_bytes(b"".join([piece async for piece in stream]))
    checked = await verify(place)
    assert (checked.status, checked.wrong) == (0, []), checked.out
    assert "no checkpoint that every side has signed is in it" in checked.out
    decided = read(unpacked(place.read_bytes(), tmp_path / "d"), "initiative.json")["matters"][0]
    assert set(decided["countersigned"]) == {"il", "az", "ge"}


async def test_a_large_attachment_passes_through_in_pieces() -> None:
    piece = b"\0" * (1 << 18)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield piece

    async def one() -> AsyncIterator[File]:
        yield File("attachments/large", pieces(), 200 * len(piece), stored=True)

    into, largest, size = Packed(), 0, 0
    async for part in packed(one(), datetime(2027, 1, 1, tzinfo=UTC), into):
        largest, size = max(largest, len(part)), size + len(part)
    assert size > 200 * len(piece) >= 50 << 20
    assert largest < 2 * len(piece)
    assert into.files["attachments/large"] == (
        200 * len(piece),
        hashlib.sha256(piece * 200).hexdigest(),
    )


@pytest.mark.parametrize("name", ["closed", "refused", "running"])
async def test_every_file_of_a_dossier_is_documented(
    name: str, lives: Lives, files: Callable[[str], Path]
) -> None:
    directory = files(name)
    said = (ROOT / "docs" / "dossier.md").read_text(encoding="utf-8")
    for file in directory.rglob("*"):
        if file.is_file():
            path = file.relative_to(directory)
            known = f"`{path.parts[0]}/" if len(path.parts) > 1 else f"`{path}`"
            if path.parts[0] == "payments":
                known = path.name
            assert known in said, path

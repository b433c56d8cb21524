"""Bringing attachments over HTTP: what is taken, of whom, and how much."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from countersign.api import attachments as api_attachments
from countersign.api import limits
from countersign.attachments.content import MediaType, detect
from countersign.runtime.embedded.services import Services
from countersign.store import tables as t
from countersign.store.session import Database
from tests.api.desk import BINARY, Desk, code, hash_of, kept, names_in, paper
from tests.api.serving import an_api
from tests.attachments.papers import PAPERS, REFUSED
from tests.eventually import eventually
from tests.people import minimal_proposal


@pytest.mark.parametrize("name", PAPERS)
async def test_a_document_of_every_type_comes_back_byte_by_byte_under_its_own_type(
    name: str, desk: Desk
) -> None:
    content, media_type = PAPERS[name]
    brought = await desk.bring("il-lead", content)
    assert brought.status_code in (200, 201)
    said = {"sha256": hash_of(content), "media_type": media_type, "size": len(content)}
    assert brought.json() == said
    shown = (await desk.call("il-lead", "GET", f"/attachments/{hash_of(content)}")).json()
    assert {key: shown[key] for key in said} == said
    given = await desk.call(None, "GET", shown["url"].removeprefix("/v1"))
    assert (given.status_code, given.content) == (200, content)
    assert given.headers["content-type"].partition(";")[0] == media_type


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_of_no_type_that_is_taken_is_refused_whatever_it_is_called(
    name: str, desk: Desk, database: Database, attachments: Path
) -> None:
    content = REFUSED[name]
    answer = await desk.bring("il-lead", content)
    assert code(answer) == (415, "media_type_refused")
    assert await kept(database, content) is None
    assert hash_of(content)[7:] not in names_in(attachments)


async def test_content_of_another_hash_is_refused_and_nothing_of_it_stays(
    desk: Desk, database: Database, attachments: Path
) -> None:
    content, other = paper(), paper()
    answer = await desk.bring("il-lead", content, hash_of(other))
    assert code(answer) == (422, "content_mismatch")
    assert hash_of(content) in answer.json()["detail"]
    assert (await kept(database, content), await kept(database, other)) == (None, None)
    assert list((attachments / "staging").iterdir()) == []


@pytest.mark.parametrize(
    "named", ["sha256:abc", "sha256:" + "A" * 64, "..%2f..%2fetc%2fpasswd", "md5:" + "0" * 32]
)
async def test_a_name_that_is_no_hash_reaches_no_file(named: str, desk: Desk) -> None:
    answer = await desk.call("il-lead", "PUT", f"/attachments/{named}", content=b"x", headers=BINARY)
    assert answer.status_code in (404, 422)


async def test_more_than_is_taken_is_refused_whether_its_length_was_announced_or_not(
    services: Services, working: None
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"more and more\n" * 5000

    async with an_api(services, attachment_mebibytes=1) as client:
        desk = Desk(services, client)
        for content in (b"x" * ((1 << 20) + 1), endless()):
            answer = await desk.bring("il-lead", content, hash_of(b"whatever"))
            assert code(answer) == (413, "too_large")
        assert (await desk.bring("il-lead", b"x" * (1 << 20))).status_code in (200, 201)


async def test_who_brings_more_and_more_that_nothing_names_is_told_to_stop(
    services: Services, working: None, database: Database
) -> None:
    async with database.reading() as connection:
        before = await connection.scalar(LOOSE, {"person": "applicants/az-partner"})
    async with an_api(services, loose_mebibytes=2 + (before >> 20), attachments_absent="refuse") as client:
        desk = Desk(services, client)
        contents = [str(uuid.uuid4()).encode() + b"." * 600_000 for _ in range(9)]
        answers = [await desk.bring("az-partner", one) for one in contents]
        assert {one.status_code for one in answers[:2]} == {201}
        assert code(answers[-1]) == (413, "too_large")
        assert (await desk.bring("az-partner", contents[0])).status_code == 200  # the same again is no more
        # What is named makes room.
        partners = minimal_proposal()["partners"]
        partners[0]["contact"]["email"] = "az-partner@applicants.countersign.example"
        submitted = await desk.submit("az-partner", *contents[:2], partners=partners)
        assert submitted.status_code == 201, submitted.text
        assert (await desk.bring("az-partner", contents[-1])).status_code == 201


async def test_who_brings_much_at_once_is_told_to_stop_as_well(
    services: Services, working: None, database: Database
) -> None:
    async with database.reading() as connection:
        before = await connection.scalar(LOOSE, {"person": "applicants/az-lead"})
    async with an_api(services, loose_mebibytes=1 + (before >> 20), attachments_absent="refuse") as client:
        desk = Desk(services, client)
        contents = [str(uuid.uuid4()).encode() + b"." * 400_000 for _ in range(8)]
        answers = await asyncio.gather(*(desk.bring("az-lead", one) for one in contents))
        assert {one.status_code for one in answers} == {201, 413}
    async with database.reading() as connection:
        brought = await connection.scalar(LOOSE, {"person": "applicants/az-lead"})
    # Those that are being kept at the same moment do not see each other.
    assert brought <= ((1 + (before >> 20)) << 20) + 3 * 400_100


async def test_nobody_sends_more_than_a_few_documents_at_a_time(desk: Desk, attachments: Path) -> None:
    on = asyncio.Event()

    async def slowly(content: bytes) -> AsyncIterator[bytes]:
        yield content[:100]
        await on.wait()
        yield content[100:]

    contents = [paper() for _ in range(limits.UPLOADS)]
    sending = [asyncio.create_task(desk.bring("il-lead", slowly(one), hash_of(one))) for one in contents]

    async def all_begun() -> bool:
        return len(list((attachments / "staging").iterdir())) == limits.UPLOADS

    await eventually(all_begun)
    refused = await desk.bring("il-lead", paper())
    assert (*code(refused), refused.headers["retry-after"]) == (429, "rate_limited", "10")
    assert (await desk.bring("az-lead", paper())).status_code == 201
    on.set()
    assert {one.status_code for one in await asyncio.gather(*sending)} == {201}
    assert (await desk.bring("il-lead", paper())).status_code == 201


async def test_others_are_answered_while_a_document_is_looked_at(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking: list[threading.Thread] = []

    def detected(path: Path) -> MediaType:
        looking.append(threading.current_thread())
        return detect(path)

    monkeypatch.setattr(api_attachments, "detect", detected)
    assert (await desk.bring("il-lead", paper())).status_code == 201
    assert looking != []
    assert threading.current_thread() not in looking


LOOSE = text(
    "SELECT coalesce(sum(size), 0)::bigint FROM attachment a JOIN attachment_upload USING (content_hash) "
    "WHERE person = :person "
    "AND NOT EXISTS (SELECT FROM initiative_attachment l WHERE l.content_hash = a.content_hash)"
)


async def test_who_sends_a_document_byte_by_byte_is_let_go(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, attachments: Path
) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.1)

    async def stalling() -> AsyncIterator[bytes]:
        yield b"%PDF-"
        await asyncio.sleep(30)

    answer = await desk.bring("il-lead", stalling(), hash_of(b"whatever"))
    assert code(answer) == (408, "too_slow")
    monkeypatch.setattr(limits, "BODY_SECONDS", 30)
    monkeypatch.setattr(limits, "UPLOAD_SECONDS", 0.3)

    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b"."
            await asyncio.sleep(0.05)

    answer = await desk.bring("il-lead", dripping(), hash_of(b"whatever"))
    assert code(answer) == (408, "too_slow")
    assert list((attachments / "staging").iterdir()) == []


async def test_nobody_but_an_applicant_brings_anything_and_not_a_byte_is_read_of_the_others(
    desk: Desk,
) -> None:
    read: list[int] = []

    async def counted() -> AsyncIterator[bytes]:
        for i in range(100):
            read.append(i)
            yield b"x" * 100_000

    for who, status in ((None, 401), ("il-head", 403), ("az-auditor", 403), ("operator", 403)):
        answer = await desk.call(
            who, "PUT", f"/attachments/{hash_of(b'x')}", content=counted(), headers=BINARY
        )
        assert answer.status_code == status
    # The transport of this process hands over a first piece before anybody asks for it.
    assert len(read) <= 4


async def test_the_same_document_by_many_at_once_is_kept_once_and_is_everybodys(
    desk: Desk, database: Database
) -> None:
    content = paper()
    people = ("il-lead", "az-lead", "az-partner")
    answers = await asyncio.gather(*(desk.bring(who, content) for who in people for _ in range(4)))
    assert {one.status_code for one in answers} <= {200, 201}
    async with database.reading() as connection:
        u = t.attachment_upload.c
        by = set(await connection.scalars(select(u.person).where(u.content_hash == hash_of(content))))
    assert by == {f"applicants/{who}" for who in people}

"""Attachments over HTTP: bringing, naming, and downloading them by links that expire."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from sqlalchemy import select, text

from countersign import worker as worker_process
from countersign.api import attachments as api_attachments
from countersign.api import limits, links
from countersign.api.attachments import _file_name
from countersign.attachments.content import MediaType, detect
from countersign.attachments.vault import Damaged
from countersign.runtime.embedded.services import Services
from countersign.runtime.logs import mask_secrets, without_links
from countersign.store import tables as t
from countersign.store.attachments import Attachment
from countersign.store.session import Database
from tests.api.serving import an_api, of
from tests.attachments.papers import PAPERS, REFUSED, pdf
from tests.attachments.stores import serving
from tests.eventually import eventually
from tests.journeys.journey import Journey
from tests.people import minimal_proposal

BINARY = {"Content-Type": "application/octet-stream"}


def hash_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def paper(about: str = "") -> bytes:
    """A paper that there is not yet."""
    return pdf(f"{about} {uuid.uuid4()}")


class Desk:
    """Calls on an application in this process, by anybody."""

    def __init__(self, services: Services, client: httpx.AsyncClient) -> None:
        self._services, self.client = services, client

    async def call(self, who: str | None, method: str, path: str, **sent: Any) -> httpx.Response:
        headers = sent.pop("headers", {}) | (of(self._services, who) if who else {})
        if method == "POST":
            headers.setdefault("Idempotency-Key", str(uuid.uuid4()))
        return await self.client.request(method, f"/v1{path}", headers=headers, **sent)

    async def bring(
        self, who: str, content: Any, content_hash: str | None = None, **sent: Any
    ) -> httpx.Response:
        path = f"/attachments/{content_hash or hash_of(content)}"
        return await self.call(who, "PUT", path, content=content, headers=BINARY, **sent)

    async def submit(self, who: str = "il-lead", *contents: bytes, **changes: Any) -> httpx.Response:
        """Submit a proposal whose documents are these, and as many of the last as there have to be."""
        proposal = minimal_proposal(**changes)
        for i, one in enumerate(proposal["documents"]):
            one["sha256"] = hash_of(contents[min(i, len(contents) - 1)])
            one["name"] = f"Draft {i}.pdf"
        return await self.call(who, "POST", "/proposals", json=proposal)

    async def link(self, who: str, initiative: str, content: bytes) -> str:
        answer = await self.call(who, "GET", f"/initiatives/{initiative}/attachments/{hash_of(content)}")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["url"]).removeprefix("/v1")


@pytest.fixture(scope="module")
async def desk(services: Services, working: None) -> AsyncIterator[Desk]:
    """Where what is named has to be there."""
    async with an_api(services, attachments_absent="refuse") as client:
        yield Desk(services, client)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# ---- bringing


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


# ---- naming


async def test_a_proposal_that_names_what_nobody_brought_is_refused_with_every_place(desk: Desk) -> None:
    here, absent = paper(), paper()
    await desk.bring("il-lead", here)
    answer = await desk.submit("il-lead", absent, here, absent)
    assert code(answer) == (422, "invalid")
    assert [one["place"] for one in answer.json()["errors"]] == ["documents[0].sha256", "documents[2].sha256"]


async def test_the_same_submission_again_has_its_answer_whatever_became_of_its_documents(
    desk: Desk, database: Database
) -> None:
    content = paper()
    await desk.bring("il-lead", content)
    proposal = minimal_proposal()
    for one in proposal["documents"]:
        one["sha256"] = hash_of(content)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = await desk.call("il-lead", "POST", "/proposals", json=proposal, headers=dict(key))
    async with database.transaction() as connection:
        erased = t.attachment.update().where(t.attachment.c.content_hash == hash_of(content))
        await connection.execute(erased.values(erased_at=datetime.now(UTC)))
    again = await desk.call("il-lead", "POST", "/proposals", json=proposal, headers=dict(key))
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    other = await desk.call("il-lead", "POST", "/proposals", json=proposal)
    assert code(other) == (422, "invalid")


async def test_naming_the_hash_of_somebody_elses_document_gives_nobody_that_document(
    desk: Desk, services: Services, office: Any
) -> None:
    secret = paper("of il-lead")
    await desk.bring("il-lead", secret)
    theirs = (await desk.submit("il-lead", secret)).json()["id"]
    # Where it is required it is refused; the worker would not take it either, if the API did.
    assert code(await desk.submit("az-partner", secret)) == (422, "invalid")
    assert (await desk.call("az-partner", "GET", f"/attachments/{hash_of(secret)}")).status_code == 404
    # Where it is not required, the hash stands in the proposal, and that is all.
    async with an_api(services, attachments_absent="accept") as client:
        loose = Desk(services, client)
        partners = minimal_proposal()["partners"]
        partners[0]["contact"]["email"] = "az-partner@applicants.countersign.example"
        own = (await loose.submit("az-partner", secret, partners=partners)).json()["id"]
        listed = await loose.call("az-partner", "GET", f"/initiatives/{own}/attachments")
        assert listed.json()["items"] == []
        for path in (f"/initiatives/{own}/attachments", f"/initiatives/{theirs}/attachments", "/attachments"):
            answer = await loose.call("az-partner", "GET", f"{path}/{hash_of(secret)}")
            assert code(answer) == (404, "not_found")
        # Who has the content may bring it, and then has it there as well.
        await loose.bring("az-partner", secret)
        listed = await loose.call("az-partner", "GET", f"/initiatives/{own}/attachments")
        assert {one["sha256"] for one in listed.json()["items"]} == {hash_of(secret)}


async def test_the_worker_refuses_what_is_not_there_even_if_an_api_lets_it_through(
    services: Services,
) -> None:
    strict = services.settings(task_queue="strict", attachments_absent="refuse", directorates=[])
    async with (
        worker_process.running(services.client, strict),
        an_api(services, attachments_absent="accept", task_queue="strict") as client,
    ):
        desk = Desk(services, client)
        absent, here = paper(), paper()
        lacking = (await desk.submit("il-lead", absent)).json()["id"]
        initiative = await desk.call("il-lead", "GET", f"/initiatives/{lacking}")
        assert initiative.json()["stage"] == "ineligible"
        assert hash_of(absent) in initiative.json()["stage_reason"]
        await desk.bring("il-lead", here)
        complete = (await desk.submit("il-lead", here)).json()["id"]
        path = f"/initiatives/{complete}/proposal"
        proposal = minimal_proposal()
        for one in proposal["documents"]:
            one["sha256"] = hash_of(absent)
        tag = (await desk.call("il-lead", "GET", path)).headers["etag"]
        refused = await desk.call("il-lead", "PUT", path, json=proposal, headers={"If-Match": tag})
        assert refused.json()["code"] == "invalid"
        assert "was not uploaded" in refused.json()["detail"]


async def test_another_version_may_name_what_the_initiative_has_whoever_puts_it(
    desk: Desk, office: Any
) -> None:
    first, second = paper("first"), paper("second")
    await desk.bring("il-lead", first)
    initiative = (await desk.submit("il-lead", first)).json()["id"]
    proposal = minimal_proposal()
    for one in proposal["documents"]:
        one["sha256"] = hash_of(first)
        one["name"] = "Another name.pdf"
    proposal["documents"][1]["sha256"] = hash_of(second)
    path = f"/initiatives/{initiative}/proposal"
    tag = (await desk.call("az-lead", "GET", path)).headers["etag"]
    absent = await desk.call("az-lead", "PUT", path, json=proposal, headers={"If-Match": tag})
    assert [one["place"] for one in absent.json()["errors"]] == ["documents[1].sha256"]
    # What it has already is no fault, and the rest is for the rules to say: this is no correction.
    await desk.bring("az-lead", second)
    judged = await desk.call("az-lead", "PUT", path, json=proposal, headers={"If-Match": tag})
    assert judged.json()["code"] != "invalid"


# ---- downloading


async def test_what_an_initiative_names_is_listed_and_given_to_whoever_sees_it_and_to_nobody_else(
    desk: Desk,
) -> None:
    contents = [paper("0"), paper("1"), paper("2")]
    for one in contents:
        await desk.bring("il-lead", one)
    submitted = (await desk.submit("il-lead", *contents)).json()
    path = f"/initiatives/{submitted['id']}/attachments"
    for who in ("il-lead", "az-lead", "il-head", "az-officer", "il-auditor", "az-auditor"):
        listed = (await desk.call(who, "GET", path)).json()["items"]
        assert [(one["sha256"], one["name"], one["kind"], one["sequence"]) for one in listed] == [
            (hash_of(content), f"Draft {i}.pdf", kind, 1)
            for i, (content, kind) in enumerate(
                zip(
                    contents,
                    ("consortium_agreement_draft", "data_management_plan", "ethics_statement"),
                    strict=True,
                )
            )
        ]
        given = await desk.call(None, "GET", await desk.link(who, submitted["id"], contents[1]))
        assert given.content == contents[1]
    for who in ("az-partner", "operator"):
        assert (await desk.call(who, "GET", path)).status_code in (403, 404)
        assert (await desk.call(who, "GET", f"{path}/{hash_of(contents[0])}")).status_code in (403, 404)
    # Nor does another initiative of the same people have it.
    other = (await desk.submit("il-lead", contents[0])).json()["id"]
    assert (
        await desk.call("il-lead", "GET", f"/initiatives/{other}/attachments/{hash_of(contents[1])}")
    ).status_code == 404


async def test_no_browser_shows_a_document_and_its_name_leads_nowhere(desk: Desk) -> None:
    content = paper()
    await desk.bring("il-lead", content)
    proposal = minimal_proposal()
    names = ("../../etc/passwd", 'a"; x=<script>.exe', "תוכנית")
    for name, one in zip(names, proposal["documents"], strict=True):
        one |= {"sha256": hash_of(content), "name": name}
    initiative = (await desk.call("il-lead", "POST", "/proposals", json=proposal)).json()["id"]
    given = await desk.call(None, "GET", await desk.link("il-head", initiative, content))
    assert given.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert unquote(given.headers["content-disposition"]).endswith("תוכנית.pdf")
    assert given.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert given.headers["x-content-type-options"] == "nosniff"
    assert given.headers["cache-control"] == "no-store"
    assert given.headers["content-length"] == str(len(content))


@pytest.mark.parametrize(
    ("called", "saved"),
    [
        ("../../etc/passwd", "_.._etc_passwd.pdf"),
        ('a"; x=<script>\u202egpj.exe', "a_; x=_script__gpj.exe.pdf"),
        ("Plan.PDF", "Plan.PDF"),
        ("  . ", "{hash}.pdf"),
        (None, "{hash}.pdf"),
        ("x" * 400, "x" * 200 + ".pdf"),
        ("ת" * 300, "ת" * 100 + ".pdf"),
        ("a" + "ə" * 200, "a" + "ə" * 99 + ".pdf"),
    ],
)
async def test_a_file_is_saved_under_a_harmless_name_with_the_ending_of_what_it_is(
    called: str | None, saved: str
) -> None:
    found = Attachment("sha256:" + "ab" * 32, "application/pdf", 1, datetime.now(UTC), None)
    assert _file_name(found, called) == saved.format(hash="ab" * 8)


async def test_a_link_is_good_for_some_minutes_and_for_nothing_else(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, other = paper(), paper()
    for one in (content, other):
        await desk.bring("il-lead", one)
    initiative = (await desk.submit("il-lead", content)).json()["id"]
    link = await desk.link("il-head", initiative, content)
    assert (await desk.call(None, "GET", link)).status_code == 200
    sealed = link.rpartition("/")[2]
    for made_up in (sealed[:-4] + "AAAA", sealed.swapcase(), "x", sealed + "x", "eyJhbGciOiJub25lIn0.e30."):
        assert code(await desk.call(None, "GET", f"/downloads/{made_up}")) == (404, "not_found")
    late = time.time() + links.GOOD_FOR + 1
    monkeypatch.setattr(time, "time", lambda: late)
    answer = await desk.call(None, "GET", link)
    assert code(answer) == (404, "not_found")
    assert "not good any more" in answer.json()["detail"]


async def test_a_link_opens_nothing_that_its_maker_may_not_see_any_more(
    desk: Desk, database: Database
) -> None:
    content = paper()
    await desk.bring("il-lead", content)
    initiative = (await desk.submit("il-lead", content)).json()["id"]
    link = await desk.link("az-lead", initiative, content)
    async with database.transaction() as connection:
        change = t.initiative.update().where(t.initiative.c.id == initiative)
        people = await connection.scalar(select(t.initiative.c.people).where(t.initiative.c.id == initiative))
        await connection.execute(change.values(people=[]))
    assert code(await desk.call(None, "GET", link)) == (404, "not_found")
    async with database.transaction() as connection:
        await connection.execute(change.values(people=people))
    assert (await desk.call(None, "GET", link)).status_code == 200


async def test_content_that_was_changed_where_it_lies_is_not_given_out(desk: Desk, attachments: Path) -> None:
    small, large = paper(), b"A line of text.\n" * 60_000 + str(uuid.uuid4()).encode()
    for content in (small, large):
        await desk.bring("il-lead", content)
    initiative = (await desk.submit("il-lead", small, large)).json()["id"]
    for content in (small, large):
        digits = hash_of(content).removeprefix("sha256:")
        place = attachments / digits[:2] / digits
        changed = bytearray(content)
        changed[-20] ^= 1
        place.write_bytes(changed)
        link = await desk.link("il-head", initiative, content)
        if content is small:
            assert code(await desk.call(None, "GET", link)) == (503, "unavailable")
        else:
            # It had begun by then, and breaks off; the transport of this process hands on why.
            with pytest.raises(Damaged):
                await desk.call(None, "GET", link)
        place.unlink()
        assert code(await desk.call(None, "GET", link)) == (503, "unavailable")
        await desk.bring("il-lead", content)
        assert (await desk.call(None, "GET", link)).content == content


async def test_neither_the_log_nor_the_record_keeps_a_link(services: Services, database: Database) -> None:
    link = "/v1/downloads/eyJhbGciOiJkaXIi.abc-_x.yz"
    assert without_links(f"GET {link} HTTP/1.1") == "GET /v1/downloads/*** HTTP/1.1"
    assert mask_secrets(None, "", {"event": f"at {link}", "path": link}) == {
        "event": "at /v1/downloads/***",
        "path": "/v1/downloads/***",
    }
    async with an_api(services) as client:
        await client.get(link)
    async with database.reading() as connection:
        paths = await connection.scalars(
            select(t.refusal.c.path).where(t.refusal.c.path.contains("downloads"))
        )
        assert set(paths) == {"/v1/downloads/***"}


# ---- elsewhere


async def test_on_an_s3_compatible_store_it_is_the_same(
    services: Services, working: None, tmp_path: Path
) -> None:
    async with serving(tmp_path) as store:
        settings = store.settings("one/deployment") | {"attachments_absent": "refuse"}
        async with an_api(services, **settings) as client:
            desk = Desk(services, client)
            strange = b"\xff%PDF\x00"
            contents = [paper(), b"Line after line.\n" * 500_000 + str(uuid.uuid4()).encode()]
            assert code(await desk.bring("il-lead", strange)) == (415, "media_type_refused")
            for content in contents:
                assert (await desk.bring("il-lead", content)).status_code == 201
            initiative = (await desk.submit("il-lead", *contents)).json()["id"]
            for content in contents:
                link = await desk.link("az-officer", initiative, content)
                assert (await desk.call(None, "GET", link)).content == content
        assert names_in(store.bucket) == {hash_of(content).removeprefix("sha256:") for content in contents}


async def test_a_store_that_is_away_is_said_to_be_and_nothing_is_on_record(
    services: Services, database: Database
) -> None:
    away = {
        "attachments": "s3://attachments/x",
        "attachments_endpoint": "http://127.0.0.1:9",
        "attachments_key_id": "a",
        "attachments_key": "b",
    }
    content = paper()
    async with an_api(services, **away) as client:
        answer = await Desk(services, client).bring("il-lead", content)
    assert code(answer) == (503, "unavailable")
    assert "retry-after" in answer.headers
    assert await kept(database, content) is None


async def test_where_nothing_is_kept_documents_are_named_by_their_hash_as_ever(
    services: Services, working: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COUNTERSIGN_ATTACHMENTS")
    async with an_api(services, attachments_absent="refuse") as client:
        desk = Desk(services, client)
        assert code(await desk.bring("il-lead", paper())) == (404, "not_found")
        submitted = await desk.submit("il-lead", paper())
        assert submitted.status_code == 201
        listed = await desk.call("il-lead", "GET", f"/initiatives/{submitted.json()['id']}/attachments")
        assert listed.json()["items"] == []


async def test_the_papers_of_a_reports_costs_are_attachments_as_well(
    desk: Desk, services: Services, office: Any, skipper: Any
) -> None:
    journey = Journey(office, services, skipper, minimal_proposal(12))
    await journey.submit()
    await journey.clear()
    await journey.approve_and_sign()
    await journey.pay(1)
    due = (await journey.reports())[0]
    await journey.skip_to(datetime.fromisoformat(due["ends_at"]) + timedelta(hours=1))
    receipt = paper("a receipt")
    report = {
        "narrative": {"en": "It went well."},
        "costs": [
            {
                "partner": "dugma",
                "category": "personnel",
                "description": "A post",
                "amount": {"minor": 100, "unit": "ILS"},
                "evidence": hash_of(receipt),
            }
        ],
    }
    path = f"/initiatives/{journey.id}/reports/1"
    absent = await desk.call("il-lead", "POST", path, json=report)
    assert [one["place"] for one in absent.json()["errors"]] == ["costs[0].evidence"]
    await desk.bring("il-lead", receipt)
    submitted = await desk.call("il-lead", "POST", path, json=report)
    assert submitted.status_code == 200, submitted.text

    async def listed() -> Any:
        items = (await desk.call("az-officer", "GET", f"/initiatives/{journey.id}/attachments")).json()[
            "items"
        ]
        return next((one for one in items if one["sha256"] == hash_of(receipt)), None)

    named = await eventually(listed)
    assert (named["name"], named["kind"], named["sequence"]) == (None, None, submitted.json()["sequence"])
    link = await desk.link("az-officer", journey.id, receipt)
    assert (await desk.call(None, "GET", link)).content == receipt


async def kept(database: Database, content: bytes) -> Any:
    async with database.reading() as connection:
        a = t.attachment.c
        return await connection.scalar(select(a.media_type).where(a.content_hash == hash_of(content)))


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file()}

"""Attachments on another store, on one that is away, and where none are kept."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.api.desk import Desk, code, hash_of, kept, names_in, paper
from tests.api.serving import an_api
from tests.attachments.stores import serving


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

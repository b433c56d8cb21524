"""Attachments that proposals and reports name: they have to be there, and whoever names them had them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from countersign import worker as worker_process
from countersign.runtime.embedded.services import Services
from countersign.store import tables as t
from countersign.store.session import Database
from tests.api.desk import Desk, code, hash_of, paper
from tests.api.serving import an_api
from tests.eventually import eventually
from tests.journeys.journey import Journey
from tests.people import minimal_proposal


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

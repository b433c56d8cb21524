"""What can be read, by whom, and in which form."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import httpx
from openapi_spec_validator import validate
from temporalio.client import WorkflowHistory

from countersign.runtime.embedded.services import Services
from tests.people import Office, minimal_proposal


async def test_a_position_is_sealed_until_the_other_one_is_in(office: Office, initiative: str) -> None:
    matter = await office.open_matter(initiative)
    secret = "the-reasons-nobody-else-may-know"
    await office.sign(
        "il-legal", initiative, "return", matter=matter, reasons=secret, comment=f"internal {secret}"
    )
    path = f"/v1/initiatives/{initiative}"
    for who in ("az-officer", "az-deputy", "az-secretariat", "il-lead", "az-lead"):
        for what in ("", "/matters", f"/matters/{matter['number']}", "/proposal", "/tranches", "/reports"):
            answer = await office.call(who, "GET", path + what)
            assert answer.status_code == 200, what
            assert secret not in answer.text
            assert "il-legal" not in answer.text
        for listing in ("/v1/initiatives?limit=200", "/v1/inbox"):
            assert secret not in (await office.call(who, "GET", listing)).text
    theirs = await office.get("az-officer", f"{path}/matters/{matter['number']}")
    assert theirs["sides"]["il"]["position_in"] is True
    assert theirs["sides"]["il"]["position"] is None
    own = await office.get("il-head", f"{path}/matters/{matter['number']}")
    assert own["sides"]["il"]["position"] == "return"

    await office.sign("az-officer", initiative, matter=matter)
    released = await office.get("az-officer", f"{path}/matters/{matter['number']}")
    assert released["sides"]["il"]["position"] == "return"
    assert released["sides"]["il"]["reasons"] == [secret]
    assert released["sides"]["il"]["sign_offs"] is None  # the chain stays its own side's for good
    assert "internal" not in json.dumps(released)


async def test_what_is_put_before_the_directorates_can_be_read_under_its_hash(
    office: Office, initiative: str
) -> None:
    matter = await office.open_matter(initiative)
    found = await office.get("il-legal", f"/v1/initiatives/{initiative}/matters/{matter['number']}")
    assert found["subject"]["title"] == minimal_proposal()["title"]
    import hashlib

    import rfc8785

    assert found["content_hash"] == "sha256:" + hashlib.sha256(rfc8785.dumps(found["subject"])).hexdigest()


async def test_the_inbox_shows_what_waits_for_my_office_and_no_longer_once_i_signed(
    office: Office, initiative: str
) -> None:
    def mine(inbox: Any) -> list[Any]:
        return [one for one in inbox["items"] if one["initiative"] == initiative]

    (item,) = mine(await office.get("il-legal", "/v1/inbox"))
    assert (item["task"], item["office"], item["number"]) == ("sign_off", "legal_counsel", 1)
    assert item["deadline"] is not None
    assert item["since"] <= item["deadline"]
    assert (item["also_waits_for"], item["reminded"]) == (["az"], None)
    assert mine(await office.get("il-head", "/v1/inbox")) == []
    await office.sign("il-legal", initiative)
    assert mine(await office.get("il-legal", "/v1/inbox")) == []


async def test_lists_are_filtered_and_go_on_from_a_cursor(office: Office) -> None:
    word = f"word{uuid.uuid4().hex[:10]}"
    made = [(await office.submit(minimal_proposal(title={"en": f"{word} {i}"})))["id"] for i in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = await office.get("il-secretariat", f"/v1/initiatives?text={word}&limit=2{cursor}")
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == sorted(made, reverse=True)
    waiting = await office.get("il-head", f"/v1/initiatives?text={word}&waits_for=az&stage=eligibility")
    assert len(waiting["items"]) == 5
    assert (await office.get("il-head", f"/v1/initiatives?text={word}&stage=active"))["items"] == []
    assert (await office.get("il-head", f"/v1/initiatives?text={word}%25"))["items"] == []
    bad = await office.call("il-head", "GET", "/v1/initiatives?cursor=x")
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid")


async def test_a_new_version_must_name_the_one_it_replaces(office: Office, initiative: str) -> None:
    matter = await office.open_matter(initiative)
    await office.sign("il-legal", initiative, "return", matter=matter, reasons="say more")
    await office.sign("az-officer", initiative, matter=matter)
    path = f"/v1/initiatives/{initiative}/proposal"
    await office.until_stage(initiative, "revision")
    new = minimal_proposal(summary={"en": "It is small. More."})
    blind = await office.call("il-lead", "PUT", path, body=new)
    assert (blind.status_code, blind.json()["code"]) == (428, "precondition_required")
    wrong = await office.call(
        "il-lead", "PUT", path, body=new, headers={"If-Match": '"sha256:' + "0" * 64 + '"'}
    )
    assert (wrong.status_code, wrong.json()["code"]) == (412, "precondition_failed")
    tag = (await office.call("il-lead", "GET", path)).headers["etag"]
    other = await office.call("az-partner", "PUT", path, body=new, headers={"If-Match": tag})
    assert other.status_code == 404
    staff = await office.call("il-head", "PUT", path, body=new, headers={"If-Match": tag})
    assert (staff.status_code, staff.json()["code"]) == (403, "forbidden")
    done = await office.call("il-lead", "PUT", path, body=new, headers={"If-Match": tag})
    assert done.status_code == 200
    twice = await office.call("il-lead", "PUT", path, body=new, headers={"If-Match": tag})
    assert twice.status_code in (409, 412)
    view = await office.get("il-lead", f"/v1/initiatives/{initiative}")
    assert (view["version"], view["stage"]) == (2, "eligibility")


async def test_the_history_is_told_in_sentences_and_as_temporals_own_json(
    office: Office, initiative: str, services: Services
) -> None:
    await office.sign("il-legal", initiative)
    await office.sign("il-head", initiative)
    told = await office.get("az-auditor", f"/v1/initiatives/{initiative}/history")
    sentences = [one["sentence"] for one in told["items"]]
    assert sentences[0] == "The workflow began."
    assert any("il/il-legal sent sign_off (matter 1, approve)" in one for one in sentences)
    assert any("refused, not_your_office" in one for one in sentences)
    assert all(one["events"] for one in told["items"])
    assert {one["action"] for one in told["items"]} >= {"run", "sign_off", "timer"}
    by_head = await office.get("az-auditor", f"/v1/initiatives/{initiative}/history?actor=il/il-head")
    assert [one["actor"] for one in by_head["items"]] == ["il/il-head"] * len(by_head["items"])
    assert by_head["items"] == [one for one in told["items"] if one["actor"] == "il/il-head"] != []
    timers = await office.get("az-auditor", f"/v1/initiatives/{initiative}/history?action=timer")
    assert timers["items"] == [one for one in told["items"] if one["action"] == "timer"] != []
    at = by_head["items"][0]["at"]
    later = await office.get("az-auditor", f"/v1/initiatives/{initiative}/history?from={at}")
    earlier = await office.get("az-auditor", f"/v1/initiatives/{initiative}/history?to={at}")
    assert [*earlier["items"], *later["items"]] == told["items"]
    assert len(earlier["items"]) > 0 < len(later["items"])
    raw = await office.get("az-auditor", f"/v1/initiatives/{initiative}/history?format=temporal-json")
    (run,) = raw["runs"]
    assert len(WorkflowHistory.from_json(f"initiative/{initiative}", run).events) > 10


async def test_events_are_streamed_as_cloudevents_and_resume_after_the_last_one_seen(
    office: Office, initiative: str, services: Services
) -> None:
    await office.sign("il-legal", initiative, "return", reasons="sealed-reason")

    async def listen(after: str, stop: str) -> list[tuple[str, dict[str, Any]]]:
        headers = {
            "Authorization": f"Bearer {services.token('az-officer')}",
            **({"Last-Event-ID": after} if after else {}),
        }
        heard: list[tuple[str, dict[str, Any]]] = []
        async with (
            asyncio.timeout(20),
            httpx.AsyncClient(base_url=office.urls[1], timeout=20, trust_env=False) as client,
            client.stream("GET", "/v1/events", headers=headers) as stream,
        ):
            assert stream.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            async for line in stream.aiter_lines():
                name, _, value = line.partition(":")
                fields[name] = value.strip()
                if line == "" and "data" in fields:
                    event = json.loads(fields["data"])
                    if event["data"].get("initiative") == initiative:  # other tests write bare events
                        heard.append((fields["id"], event))
                        if event["type"].endswith(stop):
                            return heard
                    fields = {}
        return heard

    heard = await listen("", "matter.position_reached")
    types = [event["type"].removeprefix("org.countersign.") for _, event in heard]
    assert types[0] == "initiative.submitted"
    assert "matter.signed" not in types
    assert heard[-1][1]["data"] == {
        "initiative": initiative,
        "reference": heard[-1][1]["data"]["reference"],
        "matter": 1,
        "directorate": "il",
    }
    assert "sealed-reason" not in json.dumps(heard)
    again = await listen(heard[1][0], "matter.position_reached")
    assert again == heard[2:]


SHIPPED = (
    "supercomputer-allocation",
    "water-loss-detection",
    "doctoral-exchange-school",
    "low-resource-language-models",
)


async def test_the_openapi_document_is_valid_and_names_every_path(office: Office) -> None:
    async with httpx.AsyncClient(base_url=office.urls[0], trust_env=False) as client:
        document = (await client.get("/openapi.json")).json()
    validate(document)
    for path in (
        "/v1/proposals",
        "/v1/initiatives",
        "/v1/initiatives/{identifier}/matters/{number}/sign-offs",
        "/v1/inbox",
        "/v1/initiatives/{identifier}/audit",
        "/v1/audit",
    ):
        assert path in document["paths"]
    schemas = document["components"]["schemas"]
    assert schemas["SignOffBody"]["examples"]
    submit = document["paths"]["/v1/proposals"]["post"]["requestBody"]["content"]["application/json"]
    assert set(submit["examples"]) == set(SHIPPED)


async def test_health_says_live_and_ready(office: Office) -> None:
    async with httpx.AsyncClient(base_url=office.urls[0], trust_env=False) as client:
        assert (await client.get("/health/live")).json() == {"status": "ok"}
        ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "record": "ok", "temporal": "ok"})

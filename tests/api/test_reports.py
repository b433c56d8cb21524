"""Reports over HTTP: drafts that are their applicants' alone, what a report says, and doing without one."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.runtime.embedded.services import Services
from tests.cli.conftest import run
from tests.journeys.journey import Journey, paid_journey
from tests.people import Office

pytestmark = pytest.mark.services

BODY: dict[str, Any] = {
    "narrative": {"en": "It went well."},
    "progress": [{"work_package": 1, "status": "on_time", "delivered": ["A result"]}],
    "outputs": [{"kind": "data_set", "title": "Recordings", "work_package": 1}],
    "costs": [
        {
            "partner": "dugma",
            "category": "travel",
            "description": "A trip",
            "amount": {"minor": 500, "unit": "ILS"},
            "evidence": "sha256:" + "a" * 64,
        },
        {
            "partner": "dugma",
            "category": "personnel",
            "description": "A post",
            "amount": {"minor": 700, "unit": "ILS"},
        },
    ],
}


@pytest.fixture
async def journey(office: Office, services: Services, skipper: TimeSkipper) -> Journey:
    return await paid_journey(office, services, skipper)


def path_of(journey: Journey, rest: str = "") -> str:
    return f"/v1/initiatives/{journey.id}/reports/1{rest}"


async def test_a_draft_is_written_in_turns_and_read_by_those_who_take_part_only(
    office: Office, journey: Journey
) -> None:
    path = path_of(journey, "/draft")
    assert (await office.call("il-lead", "GET", path)).status_code == 404
    first = await office.call("il-lead", "PUT", path, body={"narrative": {}})
    assert first.status_code == 200, first.text
    tag = first.headers["etag"]
    # The partner on the other side goes on with it; who has not read that does not write over it.
    blind = await office.call("az-lead", "PUT", path, body=BODY)
    assert (blind.status_code, blind.json()["code"]) == (412, "precondition_failed")
    second = await office.call("az-lead", "PUT", path, body=BODY, headers={"If-Match": tag})
    assert second.status_code == 200, second.text
    late = await office.call("il-lead", "PUT", path, body={}, headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    found = await office.call("il-lead", "GET", path)
    assert (found.json()["report"], found.json()["written_by"]) == (BODY, "applicants/az-lead")
    assert found.headers["etag"] == second.headers["etag"]
    for who in ("il-head", "il-officer", "il-auditor", "az-secretariat", "az-partner"):
        for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
            answer = await office.call(who, method, path, body=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (who, method)
    assert (await office.call("il-lead", "PUT", path_of(journey, "0/draft"), body={})).status_code == 404
    assert (await office.call("il-lead", "DELETE", path)).status_code == 204
    assert (await office.call("il-lead", "GET", path)).status_code == 404


async def test_what_a_report_says_is_read_with_a_statement_of_each_partner(
    office: Office, journey: Journey
) -> None:
    ends = datetime.fromisoformat((await journey.reports())[0]["ends_at"])
    before = await office.get("il-officer", path_of(journey))
    assert (before["state"], before["report"], before["statement"]) == ("scheduled", None, {})
    await journey.skip_to(ends + timedelta(hours=1))
    wrong = BODY | {"progress": [{"work_package": 7, "status": "late"}]}
    refused = await office.call("il-lead", "POST", path_of(journey), body=wrong)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert "progress[0].work_package: no work package 7" in refused.json()["detail"]
    future = [BODY["costs"][0] | {"incurred_on": (ends + timedelta(days=40)).date().isoformat()}]
    refused = await office.call("il-lead", "POST", path_of(journey), body=BODY | {"costs": future})
    assert "costs[0].incurred_on: after the end of the period" in refused.json()["detail"]
    answer = await office.call("il-lead", "POST", path_of(journey), body=BODY)
    assert answer.status_code == 200, answer.text
    found = await office.get("az-officer", path_of(journey))
    assert found["state"] == "submitted"
    assert found["report"]["progress"] == [BODY["progress"][0] | {"note": None}]
    assert found["report"]["costs"][0]["evidence"] == "sha256:" + "a" * 64
    assert found["statement"] == {
        "dugma": {
            "travel": [{"minor": 500, "unit": "ILS"}],
            "personnel": [{"minor": 700, "unit": "ILS"}],
        }
    }


async def test_both_sides_do_without_a_report_and_the_next_tranche_falls_due(
    office: Office, journey: Journey
) -> None:
    why = {"reasons": "The first half-year was one of contracts."}
    path = path_of(journey, "/waiver")
    for who, code in (("il-head", "not_your_office"), ("il-lead", "not_your_office")):
        assert (await office.call(who, "POST", path, body=why)).json()["code"] == code
    assert (await office.call("il-officer", "POST", path, body=why)).status_code == 200
    assert (await journey.reports())[0]["state"] == "scheduled"
    assert (await office.call("az-officer", "POST", path, body=why)).status_code == 200
    assert (await journey.reports())[0]["state"] == "waived"
    await journey.all_shares(2, "due")
    await journey.pay(2)
    await journey.report(2)
    assert [one["state"] for one in await journey.reports()][:2] == ["waived", "accepted"]


async def test_the_command_line_writes_submits_and_does_without(
    office: Office, services: Services, journey: Journey, tmp_path: Path
) -> None:
    url = office.urls[0]

    async def said(who: str, *arguments: str) -> Any:
        return await run(*arguments, COUNTERSIGN_URL=url, COUNTERSIGN_TOKEN=services.token(who))

    half, whole = tmp_path / "half.json", tmp_path / "whole.json"
    half.write_text('{"narrative": {}}', encoding="utf-8")
    whole.write_text('{"narrative": {"en": "It went well."}}', encoding="utf-8")
    for file in (half, whole):
        written = await said("il-lead", "draft", journey.id, "1", str(file))
        assert (written.status, "Written at" in written.out) == (0, True), written
    shown = await said("az-lead", "draft", journey.id, "1")
    assert shown.json == {"narrative": {"en": "It went well."}}
    early = await said("il-lead", "draft", journey.id, "1", "--submit")
    assert (early.status, "not_due" in early.err) == (1, True)
    ends = datetime.fromisoformat((await journey.reports())[0]["ends_at"])
    await journey.skip_to(ends + timedelta(hours=1))
    done = await said("il-lead", "draft", journey.id, "1", "--submit")
    assert (done.status, "Report 1 is submitted" in done.out) == (0, True), done
    gone = await said("il-lead", "draft", journey.id, "1")
    assert (gone.status, "not_found" in gone.err) == (1, True)
    waived = await said("il-officer", "waive", journey.id, "2", "--reasons", "One is enough.")
    assert (waived.status, "out_of_order" in waived.err) == (1, True)
    both = await said("il-lead", "draft", journey.id, "1", "--submit", "--discard")
    assert both.status == 2

"""Where people sign in, as the API tells whoever has no token yet."""

from __future__ import annotations

from typing import Any

from countersign.api.identity import trusted
from countersign.api.sign_in import views
from countersign.domain.agreement import ProgrammeAgreement
from countersign.runtime.embedded.identity import issuers
from countersign.runtime.embedded.services import Services
from tests.people import Office


async def test_everybody_is_told_who_vouches_for_whom_and_where(office: Office, services: Services) -> None:
    answer = await office.call(None, "GET", "/v1/session/issuers")
    assert answer.status_code == 200
    found = {one["key"]: one for one in answer.json()["items"]}
    assert {key: one["issuer"] for key, one in found.items()} == {one.key: one.url for one in issuers()}
    assert {one["issuer"]: one["served_at"] for one in found.values()} == services.issuers
    assert found["il"] == {
        "key": "il",
        "issuer": "https://id.il.countersign.example",
        "served_at": services.issuers["https://id.il.countersign.example"],
        "title": {
            "en": "National AI Directorate of Israel",
            "he": "המטה הלאומי לבינה מלאכותית, ישראל",
            "az": "İsrailin Milli Süni İntellekt Direktorluğu",
        },
        "role": "staff",
        "directorate": "il",
        "cli_client_id": "countersign-cli",
        "in_browser": True,
    }
    assert (found["audit-az"]["role"], found["audit-az"]["directorate"]) == ("auditor", "az")
    assert found["audit-az"]["title"] == found["az"]["title"]
    assert (found["applicants"]["role"], found["applicants"]["title"]) == ("applicant", None)
    assert (found["operators"]["role"], found["operators"]["directorate"]) == ("operator", None)


async def test_an_issuer_that_is_reached_by_the_deployment_alone_is_told_by_its_name(
    services: Services, agreement: ProgrammeAgreement
) -> None:
    il, az = (one.issuer for one in agreement.directorate)
    settings = services.settings(cli_client_id="theirs", cli_client_ids={az: "0a1b-2c3d"})
    known = trusted(agreement, {il: "http://issuer.internal:8080", az: "https://issuer.internal"})
    told = {one.issuer: one for one in views(known.values(), agreement, settings)}
    assert (told[il].served_at, told[il].cli_client_id) == (il, "theirs")
    assert (told[az].served_at, told[az].cli_client_id) == ("https://issuer.internal", "0a1b-2c3d")
    assert not any(one.in_browser for one in told.values())


async def test_a_browser_signs_in_by_those_that_know_this_deployment_as_a_client(
    services: Services, agreement: ProgrammeAgreement
) -> None:
    il, _ = (one.issuer for one in agreement.directorate)
    client: dict[str, Any] = {
        "public_url": "https://countersign.example",
        "web_clients": {il: {"client_id": "web"}},
    }
    told = views(trusted(agreement, {}).values(), agreement, services.settings(**client))
    assert {one.issuer for one in told if one.in_browser} == {il}

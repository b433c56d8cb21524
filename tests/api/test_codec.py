"""Payloads decoded for Temporal's web UI and command line: for auditors and operators, and for nobody else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import WorkflowHistory

from countersign.api.app import create_app
from countersign.api.codec import LONGEST
from countersign.api.dependencies import CODEC_COOKIE as COOKIE
from countersign.api.identity import trusted
from countersign.api.limits import MAX_CODED
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.commands import fingerprint
from countersign.domain.ids import workflow_id
from countersign.domain.matter import SignOff
from countersign.runtime import payload_keys
from countersign.runtime.embedded.services import Services
from countersign.runtime.histories import payloads
from countersign.runtime.payload_codec import KEY_ID, is_encrypted
from countersign.store.roles import API
from countersign.store.session import Database
from tests.api.test_refusals import recorded_refusal
from tests.api.test_tokens import expired, for_another_audience, of_a_foreign_issuer
from tests.at_rest import shown
from tests.conftest import UI
from tests.people import Office

DECODE, ENCODE, SESSION = "/v1/codec/decode", "/v1/codec/encode", "/v1/codec/session"
PLAIN = {"metadata": {"encoding": base64.b64encode(b"json/plain").decode()}, "data": "InBsYWluIg=="}


async def raw_history(services: Services, initiative: str) -> WorkflowHistory:
    """What Temporal keeps."""
    return await services.client.get_workflow_handle(workflow_id(initiative)).fetch_history()


def as_json(payload: Any) -> dict[str, Any]:
    """A payload as Temporal's tools send it."""
    return {
        "metadata": {key: base64.b64encode(value).decode() for key, value in payload.metadata.items()},
        "data": base64.b64encode(payload.data).decode(),
    }


@pytest.fixture
async def kept(services: Services, initiative: str) -> list[dict[str, Any]]:
    """What Temporal keeps of an initiative: what it began with, first."""
    found = [one for event in (await raw_history(services, initiative)).events for one in payloads(event)]
    encrypted = [as_json(one) for one in found if is_encrypted(one)]
    assert len(encrypted) > 3
    return encrypted


def altered(payload: dict[str, Any], **changes: bytes) -> dict[str, Any]:
    """A payload with other data, or another id of a key."""
    metadata = dict(payload["metadata"])
    if "key" in changes:
        metadata[KEY_ID] = base64.b64encode(changes["key"]).decode()
    data = changes.get("data")
    return {
        "metadata": metadata,
        "data": payload["data"] if data is None else base64.b64encode(data).decode(),
    }


def text_of(payload: dict[str, Any]) -> str:
    return base64.b64decode(payload["data"]).decode()


def log_of(services: Services) -> str:
    return "".join(file.read_text() for file in services.home.logs.glob("api-*.log"))


# ---- who may


@pytest.mark.parametrize(
    ("who", "person"),
    [
        ("il-auditor", "audit-il/il-auditor"),
        ("az-auditor", "audit-az/az-auditor"),
        ("operator", "operators/operator"),
    ],
)
async def test_auditors_and_operators_read_what_temporal_keeps_and_the_log_says_so(
    who: str, person: str, office: Office, services: Services, kept: list[dict[str, Any]], initiative: str
) -> None:
    body = {"payloads": [*kept, PLAIN]}
    answer = await office.call(who, "POST", DECODE, body=body, headers={"X-Namespace": "countersign"})
    assert answer.status_code == 200, answer.text
    decoded = answer.json()["payloads"]
    assert len(decoded) == len(kept) + 1
    began = json.loads(text_of(decoded[0]))
    assert began["submission"]["initiative"] == initiative
    assert decoded[0]["metadata"] == PLAIN["metadata"]
    assert decoded[-1] == PLAIN
    request = answer.headers["x-request-id"]
    (line,) = [one for one in log_of(services).splitlines() if request in one and "payloads_decoded" in one]
    for said in (person, f"payloads={len(kept) + 1}", f"encrypted={len(kept)}", "namespace=countersign"):
        assert said in line
    assert began["submission"]["content_hash"] not in log_of(services)
    assert began["submission"]["applicant"]["name"] not in line


@pytest.mark.parametrize(
    "who",
    ["il-lead", "az-partner", "il-head", "az-deputy", "il-finance-1", "il-secretariat", "az-secretariat"],
)
async def test_nobody_else_who_is_known_reads_any(
    who: str, office: Office, database: Database, kept: list[dict[str, Any]]
) -> None:
    for path in (DECODE, ENCODE):
        answer = await office.call(who, "POST", path, body={"payloads": kept})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert (await recorded_refusal(database, answer))["path"] == path


@pytest.mark.parametrize("forge", [None, expired, for_another_audience, of_a_foreign_issuer])
async def test_nobody_without_a_good_token_reads_any(
    forge: Any, office: Office, services: Services, kept: list[dict[str, Any]]
) -> None:
    token = forge(services) if forge else None
    for path in (DECODE, ENCODE):
        answer = await office.call(None, "POST", path, body={"payloads": kept}, token=token)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("who", ["il-auditor", "operator"])
async def test_nothing_is_encrypted_for_anybody(who: str, office: Office) -> None:
    answer = await office.call(who, "POST", ENCODE, body={"payloads": [PLAIN]})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_operators_see_nothing_of_the_programme(office: Office, initiative: str) -> None:
    """Every call that knows its caller refuses them before it looks at anything else; but for who they are."""
    paths = (await office.call(None, "GET", "/openapi.json")).json()["paths"]
    public = {"/health/live", "/health/ready", "/v1/keys", "/v1/session/issuers", DECODE, ENCODE}
    public.add("/v1/downloads/{link}")
    answers = {}
    for path, operations in paths.items():
        filled = path.replace("{identifier}", initiative).replace("{directorate}", "il")
        for method in operations:
            if path not in public and not path.startswith("/v1/session"):
                call = await office.call(
                    "operator",
                    method.upper(),
                    "".join(part if part[0] != "{" else "1" for part in split(filled)),
                )
                answers[method, path] = (call.status_code, call.json().get("code"))
    assert len(answers) > 50
    assert {key: said for key, said in answers.items() if said != (403, "forbidden")} == {}


def split(path: str) -> list[str]:
    """A path in its parts, those in braces by themselves."""
    return [one for one in path.replace("{", "\0{").replace("}", "}\0").split("\0") if one]


def test_an_issuer_of_the_agreement_is_never_that_of_the_operators(agreement: ProgrammeAgreement) -> None:
    with pytest.raises(ValueError, match="cannot be told from an issuer"):
        trusted(agreement, {}, agreement.directorate[0].issuer)
    with_operators = trusted(agreement, {}, "https://ops.example")
    assert with_operators["https://ops.example"].role == "operator"
    assert len(with_operators) == len(trusted(agreement, {})) + 1


# ---- what is asked


async def test_what_does_not_open_is_refused_with_the_code_that_says_why(
    office: Office, services: Services, kept: list[dict[str, Any]]
) -> None:
    data = base64.b64decode(kept[0]["data"])
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    refused = {
        "payload_altered": altered(kept[0], data=flipped),
        "payload_malformed": altered(kept[0], data=data[:11]),
        "payload_key_unknown": altered(kept[0], key=b"another"),
    }
    for code, payload in refused.items():
        answer = await office.call("il-auditor", "POST", DECODE, body={"payloads": [kept[1], payload]})
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert "payloads" not in answer.json()
        request = answer.headers["x-request-id"]
        assert any(
            request in one and "payloads_not_decoded" in one and code in one
            for one in log_of(services).splitlines()
        )


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"\xff\xfe", 400),
        (b"{", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"payloads": 7}', 422),
        (b'{"payloads": ["x"]}', 422),
        (b'{"payloads": [{"metadata": {"encoding": "***"}}]}', 422),
        (b'{"payloads": [{"metadata": {"encoding": 7}}]}', 422),
        (b'{"payloads": [{"data": "w\\u00fcst"}]}', 422),
    ],
)
async def test_garbage_is_invalid(content: bytes, status: int, office: Office) -> None:
    answer = await office.call("il-auditor", "POST", DECODE, content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, "invalid")


async def test_no_payloads_and_empty_ones_are_answered_as_they_are(office: Office) -> None:
    none = await office.call("il-auditor", "POST", DECODE, body={"payloads": []})
    assert none.json() == {"payloads": []}
    empty = await office.call("il-auditor", "POST", DECODE, body={"payloads": [{}, {"externalPayloads": []}]})
    assert empty.json() == {"payloads": [{"metadata": {}, "data": ""}] * 2}


async def test_payloads_of_another_namespace_are_not_decoded_here(
    office: Office, kept: list[dict[str, Any]]
) -> None:
    answer = await office.call(
        "il-auditor", "POST", DECODE, body={"payloads": kept}, headers={"X-Namespace": "default"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_as_much_as_temporal_takes_in_a_payload_is_decoded_and_no_more(office: Office) -> None:
    largest = PLAIN | {"data": base64.b64encode(bytes(2 * 1024 * 1024)).decode()}
    answer = await office.call("il-auditor", "POST", DECODE, body={"payloads": [largest]})
    assert answer.status_code == 200
    assert answer.json()["payloads"] == [largest]
    too_large = b'{"payloads": []}' + b" " * MAX_CODED
    answer = await office.call("il-auditor", "POST", DECODE, content=too_large)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(too_large), 1 << 16):
            yield too_large[start : start + (1 << 16)]

    async with httpx.AsyncClient(base_url=office.urls[0], timeout=60, trust_env=False) as client:
        headers = {
            "Authorization": f"Bearer {office.token('il-auditor')}",
            "Content-Type": "application/json",
        }
        answer = await client.post(DECODE, content=in_pieces(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


# ---- from a browser


@asynccontextmanager
async def browser(office: Office, origin: str | None = UI) -> AsyncIterator[httpx.AsyncClient]:
    headers = {} if origin is None else {"Origin": origin}
    async with httpx.AsyncClient(
        base_url=office.urls[0], timeout=60, trust_env=False, headers=headers
    ) as client:
        yield client


async def preflight(office: Office, path: str, origin: str, **headers: str) -> httpx.Response:
    asked = {"Access-Control-Request-Method": "POST"} | {
        key.replace("_", "-"): value for key, value in headers.items()
    }
    async with browser(office, origin) as client:
        return await client.options(path, headers=asked)


async def test_the_web_ui_may_ask_and_no_other_page(office: Office) -> None:
    asked = "authorization,content-type,x-namespace"
    for path in (DECODE, ENCODE):
        allowed = await preflight(office, path, UI, Access_Control_Request_Headers=asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == UI
        assert allowed.headers["access-control-allow-credentials"] == "true"
        assert allowed.headers["access-control-allow-methods"] == "POST"
        assert set(asked.split(",")) <= set(
            allowed.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
        )
    for origin in ("https://evil.example", "null", UI.replace("8233", "8234"), f"{UI}.evil.example"):
        refused = await preflight(office, DECODE, origin)
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers
    for path in (SESSION, "/v1/initiatives", "/v1/codec/decode/"):
        assert "access-control-allow-origin" not in (await preflight(office, path, UI)).headers


async def test_a_refusal_can_be_read_by_the_web_ui_that_asked(office: Office) -> None:
    async with browser(office) as client:
        answer = await client.post(DECODE, json={"payloads": []})
        large = await client.post(DECODE, content=b" " * (MAX_CODED + 1))
    for one, status in ((answer, 401), (large, 413)):
        assert one.status_code == status
        assert one.headers["access-control-allow-origin"] == UI
        assert "Origin" in one.headers["vary"]


async def test_a_browser_reads_with_the_cookie_that_a_token_was_given_for(
    office: Office, kept: list[dict[str, Any]]
) -> None:
    async with browser(office, office.urls[0]) as client:
        page = await client.get(SESSION)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        token = office.token("az-auditor")
        given = await client.post(SESSION, data={"token": f" {token}\n"})
        assert "audit-az/az-auditor" in given.text
        assert token not in given.text
        said = given.headers["set-cookie"].lower()
        for wanted in ("httponly", "samesite=strict", "path=/v1/codec/"):
            assert wanted in said
        assert "secure" not in said  # on this machine only
        assert "max-age" not in said
        assert "expires" not in said  # gone with the browser, and of no use once the token has run out

        decoded = await client.post(DECODE, json={"payloads": kept}, headers={"Origin": UI})
        assert decoded.status_code == 200
        assert decoded.headers["access-control-allow-credentials"] == "true"
        assert "submission" in text_of(decoded.json()["payloads"][0])
        for origin in ("https://evil.example", office.urls[0]):
            other = await client.post(DECODE, json={"payloads": kept}, headers={"Origin": origin})
            assert (other.status_code, other.json()["code"]) == (403, "forbidden")
        other_call = await client.get("/v1/initiatives", headers={"Cookie": f"{COOKIE}={token}"})
        assert other_call.status_code == 401

        await client.post(SESSION, data={})
        assert COOKIE not in client.cookies
        forgotten = await client.post(DECODE, json={"payloads": kept}, headers={"Origin": UI})
        assert forgotten.status_code == 401


async def test_a_cookie_is_given_for_a_readers_token_only_and_on_the_page_itself_only(office: Office) -> None:
    async with browser(office, None) as client:
        for token, status, code in (
            (office.token("il-head"), 403, "forbidden"),
            ("no.token.atall", 401, "unauthenticated"),
            ("x" * (LONGEST + 1), 413, "too_large"),
        ):
            answer = await client.post(SESSION, data={"token": token})
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert "set-cookie" not in answer.headers
        mine = {"token": office.token("il-auditor")}
        foreign = await client.post(SESSION, data=mine, headers={"Origin": UI})
        assert (foreign.status_code, foreign.json()["code"]) == (403, "forbidden")
        named = {"Host": "api.example", "Origin": "https://api.example"}
        elsewhere = await client.post(SESSION, data=mine, headers=named)
        assert "; secure" in elsewhere.headers["set-cookie"].lower()


# ---- Temporal's own command line


async def test_an_auditor_reads_a_history_with_temporals_own_command_line(
    office: Office, services: Services, initiative: str
) -> None:
    token = office.token("il-auditor")
    endpoint = ("--codec-endpoint", f"{office.urls[0]}/v1/codec", "--codec-auth", f"Bearer {token}")
    assert "applicants/il-lead" in await shown(services.temporal_address, initiative, *endpoint)
    assert "applicants/il-lead" not in await shown(services.temporal_address, initiative)


# ---- what else reads, and what is never encrypted


async def test_a_history_that_the_keys_here_do_not_open_says_so(
    services: Services, office: Office, initiative: str, tmp_path: Path
) -> None:
    """An API process with the wrong keys: its auditors are told which key is missing, and where."""
    payload_keys.write(tmp_path / "keys.json", payload_keys.new_ring())
    app = create_app(services.settings(API, payload_keys=tmp_path / "keys.json"))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client,
    ):
        headers = {"Authorization": f"Bearer {office.token('il-auditor')}"}
        answer = await client.get(f"/v1/initiatives/{initiative}/history", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (500, "payload_key_unknown")
    (key_id,) = payload_keys.read(services.home.payload_keys).ids
    assert f"event 1: there is no key '{key_id}' here" in answer.json()["detail"]


async def test_no_id_of_an_update_can_be_found_from_a_message_that_is_guessed(
    office: Office, services: Services, initiative: str
) -> None:
    """A short id of the sender's, and a response of four: whoever guesses both must not see that they are right."""
    matter = await office.open_matter(initiative)
    assert (await office.sign("il-legal", initiative, matter=matter, id="1")).status_code == 200
    again = await office.sign("il-legal", initiative, matter=matter, id="1", process=1)
    assert again.status_code == 200
    events = (await raw_history(services, initiative)).events
    accepted = [
        one.workflow_execution_update_accepted_event_attributes.accepted_request
        for one in events
        if one.HasField("workflow_execution_update_accepted_event_attributes")
    ]
    (update,) = [one.meta.update_id for one in accepted if one.input.name == "sign_off"]
    codec = services.client.data_converter.payload_codec
    assert codec is not None
    (sent,) = await codec.decode(
        [p for one in accepted if one.input.name == "sign_off" for p in one.input.args.payloads]
    )
    body = json.loads(sent.data)
    assert (body["id"], body["response"]) == ("1", "approve")
    assert len(update) == 64
    guesses = {f"il/il-legal 1 {fingerprint(SignOff.model_validate(body))}", "il/il-legal 1"}
    assert update not in {hashlib.sha256(guess.encode()).hexdigest() for guess in guesses}


async def test_what_temporal_can_be_searched_by_says_where_an_initiative_stands_and_nothing_more(
    services: Services, office: Office, initiative: str
) -> None:
    reference = (await office.get("il-auditor", f"/v1/initiatives/{initiative}"))["reference"]
    description = await services.client.get_workflow_handle(workflow_id(initiative)).describe()
    searched = {pair.key.name: pair.value for pair in description.typed_search_attributes}
    del searched["BuildIds"]  # Temporal's own: which build of a worker it met
    assert searched.pop("TemporalChangeVersion") == ["waits-for"]  # and which shape its run has
    assert searched == {
        "CountersignReference": reference,
        "CountersignStage": "eligibility",
        "CountersignArea": "civilian_sectors",
        "CountersignWaitsFor": ["az", "il"],
    }
    info = description.raw_description.workflow_execution_info
    assert info.execution.workflow_id == f"initiative/{initiative}"
    assert dict(info.memo.fields) == {}
    summary = description.raw_description.execution_config.user_metadata.summary
    assert is_encrypted(summary)

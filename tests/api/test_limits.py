"""What is taken of a request: depth, time, how many; and what every answer tells a browser."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from countersign.api import limits
from countersign.api.errors import Problem
from countersign.api.limits import MAX_DEPTH, check_depth
from countersign.runtime.embedded.services import Services
from countersign.store import tables as t
from countersign.store.session import Database
from tests.api.serving import an_api, of
from tests.people import Office

JSON = {"Content-Type": "application/json"}


# ---- depth


def nested(depth: int, inner: str = '"[{"') -> bytes:
    return f'{{"a": {"[" * (depth - 1)}{inner}{"]" * (depth - 1)}}}'.encode()


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 100_000])
async def test_a_body_that_is_nested_too_deep_is_refused_before_anybody_reads_it(
    depth: int, office: Office, initiative: str
) -> None:
    path = f"/v1/initiatives/{initiative}/reports/1/draft"
    answer = await office.call("il-lead", "PUT", path, content=nested(depth))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert answer.json()["detail"] == f"lists and objects lie at most {MAX_DEPTH} deep"
    # As deep as may be it comes as far as the rules: an initiative that is not active has no reports.
    within = await office.call("il-lead", "PUT", path, content=nested(MAX_DEPTH))
    assert (within.status_code, within.json()["code"]) == (404, "not_found")


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


leaves = st.none() | st.integers() | st.text(alphabet='[]{}"\\ab\n') | st.just("\\" * 3 + '"')
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))


@given(values, st.integers(0, 40))
def test_depth_is_that_of_the_json_whatever_stands_in_its_strings(value: Any, more: int) -> None:
    for _ in range(more):
        value = [value]
    body = json.dumps(value, ensure_ascii=False).encode()
    if depth_of(value) > MAX_DEPTH:
        with pytest.raises(Problem, match="at most 32 deep"):
            check_depth(body)
    else:
        check_depth(body)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_is_in_utf_8_so_that_nothing_hides_its_depth(encoding: str) -> None:
    # The middle byte of U+2200 is a quotation mark to whoever reads UTF-16 as if it were UTF-8.
    body = '["\u2200", ' + "[" * 200 + "]" * 201
    assert depth_of(json.loads(body.encode(encoding))) == 201
    with pytest.raises(Problem, match="not JSON in UTF-8"):
        check_depth(body.encode(encoding))


def test_a_string_as_long_as_a_body_may_be_costs_no_memory_to_look_through() -> None:
    for inner in (b"a", b"\\n"):
        body = b'["' + inner * (limits.MAX_BODY // len(inner)) + b'"]'
        tracemalloc.start()
        check_depth(body)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2 * len(body)


# ---- time


async def test_who_sends_a_body_byte_by_byte_is_let_go(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    async with an_api(services) as client:
        headers = of(services, "il-lead") | JSON | {"Idempotency-Key": "slowly"}
        answer = await client.post("/v1/proposals", content=drip(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (408, "too_slow")


async def test_a_body_without_an_announced_length_is_counted_as_it_comes(services: Services) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    async with an_api(services) as client:
        headers = of(services, "il-lead") | JSON | {"Idempotency-Key": "endlessly"}
        answer = await client.post("/v1/proposals", content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


# ---- how many


async def refusals(database: Database) -> int:
    async with database.reading() as connection:
        return int(await connection.scalar(select(func.count()).select_from(t.refusal)) or 0)


async def test_one_person_is_slowed_down_and_nobody_else(services: Services, database: Database) -> None:
    async with an_api(services, requests_per_minute=5) as client:
        mine = [await client.get("/v1/inbox", headers=of(services, "il-legal")) for _ in range(8)]
        other = await client.get("/v1/inbox", headers=of(services, "az-reviewer"))
        before = await refusals(database)
        once_more = await client.get("/v1/inbox", headers=of(services, "il-legal"))
        after = await refusals(database)
    assert [one.status_code for one in mine] == [200] * 5 + [429] * 3
    assert other.status_code == 200
    assert once_more.json()["code"] == "rate_limited"
    assert int(once_more.headers["retry-after"]) > 0
    assert before == after  # a flood of refusals is not one of rows


async def test_what_proves_nothing_is_put_on_record_so_often_and_keeps_nobody_out(
    services: Services, database: Database
) -> None:
    async with an_api(services, unproven_per_minute=3) as client:
        before = await refusals(database)
        answers = [await client.get("/v1/inbox") for _ in range(6)]
        after = await refusals(database)
        proven = await client.get("/v1/inbox", headers=of(services, "il-legal"))
    assert [one.status_code for one in answers] == [401] * 3 + [429] * 3
    assert after - before == 3
    assert proven.status_code == 200  # from the same address


async def test_what_is_refused_before_anybody_proves_anything_is_put_on_record_no_oftener(
    services: Services, database: Database
) -> None:
    async with an_api(services, unproven_per_minute=3) as client:
        before = await refusals(database)
        answers = [
            *[await client.get("/v1/nowhere") for _ in range(2)],
            *[await client.post("/v1/proposals", content=nested(MAX_DEPTH + 1), headers=JSON) for _ in "ab"],
            *[await client.post("/v1/proposals", content=b"{", headers=JSON) for _ in "ab"],
        ]
        after = await refusals(database)
    assert [one.status_code for one in answers] == [404, 404, 400, 400, 400, 400]
    assert after - before == 3


# ---- what answers tell a browser


async def test_every_answer_keeps_itself_to_itself(office: Office, services: Services) -> None:
    paths = ("/v1/inbox", "/v1/keys", "/v1/nowhere", "/health/live", "/openapi.json", "/docs")
    for path in paths:
        headers = (await office.call("il-head", "GET", path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["strict-transport-security"].startswith("max-age=31536000")
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers
        assert "set-cookie" not in headers
        assert "access-control-allow-origin" not in headers
    assert (await office.call("il-head", "GET", "/v1/inbox")).headers["cache-control"] == "no-store"
    policy = (await office.call(None, "GET", "/v1/keys")).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; frame-ancestors 'none'")

"""Fifty sign-offs on one matter at once: some order of taking one after the other explains every answer."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from countersign.api.errors import STATUS
from countersign.domain import rules
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.audit import AuditEntry
from countersign.domain.commands import Seen, fingerprint
from countersign.domain.errors import RuleBroken
from countersign.domain.initiative import InitiativeState, entries_for, replay
from countersign.domain.matter import Caller, Matter, SignOff
from countersign.domain.proposal import contact_key
from countersign.runtime.embedded.identity import PersonListed, people
from countersign.store import initiatives, trail
from countersign.store.session import Database
from tests.eventually import eventually
from tests.people import SIGNERS, Office, minimal_proposal

pytestmark = pytest.mark.services

AT_ONCE = 50


@dataclass(frozen=True)
class Message:
    """A sign-off as somebody sends it."""

    who: str
    process: int
    body: dict[str, Any]


def caller(who: str) -> Caller:
    """Somebody as the API vouches for them."""
    one: PersonListed = next(one for one in people() if one.name == who)
    staff = one.issuer in ("il", "az")
    return Caller(
        person=f"{one.issuer}/{who}",
        name=one.full_name,
        contact=contact_key(f"{who}@{one.issuer}.countersign.example"),
        directorate=one.issuer if staff else None,
        offices=one.offices if staff else (),
    )


def messages(content: str, luck: random.Random) -> list[Message]:
    """Both sides' right people several times each and of several minds, wrong ones, stale ones and duplicates."""
    right = ("il-officer", "il-legal", "il-head", "az-officer", "az-reviewer")
    wrong = ("az-deputy", "il-finance-1", "az-secretariat", "il-lead", "az-lead")
    made: list[Message] = []

    def add(who: str, response: str, **changes: Any) -> None:
        body: dict[str, Any] = {"id": f"m{len(made)}", "response": response, "content_hash": content}
        if response in ("return", "refuse"):
            body["reasons"] = f"{who} thinks otherwise, {len(made)}"
        if response == "approve_with_conditions":
            body |= {"conditions": [f"{who} wants a word, {len(made)}"]}
        made.append(Message(who, len(made) % 2, body | changes))

    for who in right:
        add(who, "approve")
        add(who, "approve")
        for _ in range(3):
            add(who, luck.choice(["approve", "approve_with_conditions", "return", "refuse"]))
    for who in wrong:
        add(who, luck.choice(["approve", "refuse"]))
    for _ in range(6):
        add(luck.choice(right), "approve", content_hash="sha256:" + "0" * 64)
    add(luck.choice(right), "return", reasons=None)  # a form that does not do
    while len(made) < AT_ONCE - 4:  # the same again, through the other process
        again = luck.choice(made[:25])
        made.append(Message(again.who, 1 - again.process, again.body))
    for _ in range(4):  # an id of one's own once more, with another content
        again = luck.choice(made[:25])
        made.append(Message(again.who, again.process, again.body | {"comment": "and another thing"}))
    luck.shuffle(made)
    return made


def explained(
    beginning: InitiativeState, entries: tuple[AuditEntry, ...], sent: dict[tuple[str, str], list[SignOff]]
) -> InitiativeState:
    """The state after all entries, when those of the messages are just what the rules say in their order."""
    state, at = beginning, 0
    while at < len(entries):
        entry = entries[at]
        key = (entry.actor, entry.message or "")
        if key not in sent:
            state, at = replay(state, [entry]), at + 1
            continue
        assert state.answer_to(caller_of(sent, key), key[1]) is None, "taken twice"
        said = next(one for one in sent[key] if fingerprint(one) == entry.body["fingerprint"])
        try:
            happened = rules.receive(state, said, entry.instant)
        except RuleBroken as broken:
            happened = [rules.refused(said, broken)]
        state, expected = entries_for(state, happened, entry.instant)
        assert entries[at : at + len(expected)] == expected
        at += len(expected)
    return state


def caller_of(sent: dict[tuple[str, str], list[SignOff]], key: tuple[str, str]) -> Caller:
    return sent[key][0].caller


def expected_answer(seen: Seen | None, said: SignOff) -> tuple[int, str | None]:
    """The HTTP status and code that a message is answered with once the trail has one under its id."""
    assert seen is not None, "an answer that is not in the trail"
    if seen.fingerprint != fingerprint(said):
        return 422, "idempotency_key_reused"
    if seen.answer.status == "counted":
        return 200, None
    return STATUS.get(seen.answer.code or "", 409), seen.answer.code


@pytest.mark.parametrize("seed", range(3))
async def test_a_serial_order_explains_every_answer_to_fifty_sign_offs_at_once(
    seed: int, office: Office, database: Database, agreement: ProgrammeAgreement
) -> None:
    submitted = await office.submit(minimal_proposal())
    initiative = str(submitted["id"])
    clearance = await office.open_matter_of(initiative, "clearance")
    for who in SIGNERS["clearance"]:
        assert (await office.sign(who, initiative, matter=clearance)).status_code == 200
    matter = await office.open_matter_of(initiative, "proposal")
    number = int(matter["number"])
    made = messages(matter["content_hash"], random.Random(seed))
    assert len(made) == AT_ONCE

    answers: list[httpx.Response] = await asyncio.gather(
        *(
            office.sign(
                one.who,
                initiative,
                matter=matter,
                process=one.process,
                **{key: value for key, value in one.body.items() if value is not None},
            )
            for one in made
        )
    )

    said = [SignOff.model_validate({**one.body, "matter": number, "caller": caller(one.who)}) for one in made]
    sent: dict[tuple[str, str], list[SignOff]] = {}
    for sign_off in said:
        sent.setdefault((sign_off.caller.person, sign_off.id), []).append(sign_off)
    beginning = InitiativeState(
        id=initiative,
        reference=submitted["reference"],
        terms=agreement.terms(),
        applicant=caller("il-lead"),
    )

    async def settled() -> tuple[InitiativeState, tuple[AuditEntry, ...]] | None:
        async with database.reading() as connection:
            entries = await trail.entries_from(connection, initiative)
        state = explained(beginning, entries, sent)
        quiet = all(not one.unsigned for one in state.matters if one.is_open)
        return (state, entries) if quiet else None

    state, entries = await eventually(settled)
    taken = [(entry.actor, entry.message) for entry in entries if entry.message is not None]
    for key in sent:
        assert taken.count(key) == 1, "each message is on the trail once"
    for answer, sign_off in zip(answers, said, strict=True):
        seen = state.answer_to(sign_off.caller, sign_off.id)
        told = answer.json()
        assert (answer.status_code, told.get("code")) == expected_answer(seen, sign_off), told
        if answer.status_code == 200:
            assert seen is not None
            assert told["sequence"] == seen.answer.sequence
    assert sum(answer.status_code == 200 for answer in answers) >= 2
    assert {answer.status_code for answer in answers} >= {200, 409, 422}

    # The matter is, on record and through the API, what that order makes of it.
    expected = state.matter(number)
    assert expected is not None
    async with database.reading() as connection:
        on_record: Matter | None = await initiatives.matter(connection, initiative, number)
    assert on_record == expected
    view = await office.get("il-auditor", f"/v1/initiatives/{initiative}/matters/{number}")
    assert view["outcome"] == expected.outcome
    for side, shown in view["sides"].items():
        own = [one for one in expected.counted if one.directorate == side]
        assert [one["person"] for one in shown["sign_offs"]] == [one.person for one in own]
        position = expected.positions.get(side)
        assert shown["position"] == (position.response if position else None)
    standing = [person for one in expected.standing for person in one.people]
    assert len(standing) == len(set(standing))

"""Signing and paying from the command line, up to the first payment of an initiative."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from countersign.cli.rehearsal import report_of
from countersign.domain.amounts import Amount
from countersign.domain.proposal import Proposal
from countersign.runtime.embedded.services import Services
from countersign.runtime.resources import default_agreement
from tests.cli.conftest import Ended, Terminal, environment, run
from tests.people import SIGNERS, Office, minimal_proposal
from tests.processes import started


@pytest.fixture
async def initiative(office: Office) -> str:
    """The reference of an initiative whose clearance is before both sides."""
    submitted = await office.submit(minimal_proposal())
    await office.open_matter_of(submitted["id"], "clearance")
    return str(submitted["reference"])


async def test_the_inbox_lists_what_waits_for_an_office_and_for_nobody_else(
    terminal: Terminal, initiative: str
) -> None:
    mine, theirs = await asyncio.gather(
        terminal("inbox", who="il-legal"), terminal("inbox", "--json", who="il-head")
    )
    assert (mine.status, theirs.status) == (0, 0)
    (line,) = [one for one in mine.out.splitlines() if initiative in one]
    assert "sign off matter 1" in line
    assert line.split("UTC")[0] > "20"
    assert initiative not in [one["reference"] for one in theirs.json["items"]]
    deadlines = [one.split(" UTC")[0] for one in mine.out.splitlines()[1:]]
    assert deadlines == sorted(deadlines)


async def test_signing_shows_what_is_signed_and_counts(
    terminal: Terminal, initiative: str, office: Office
) -> None:
    matter = await office.open_matter(initiative)
    ended = await terminal("sign", initiative, "approve", "--comment", "Checked.", who="il-legal")
    assert ended.status == 0, ended
    assert f"{initiative}, matter 1: clearance (proposal version 1)" in ended.out
    assert matter["content_hash"] in ended.out
    assert "It counts (entry " in ended.out
    assert "il       approve" in ended.out
    assert "az       waits until" in ended.out

    sealed = await terminal("show", initiative, who="az-officer")
    assert "position in, sealed" in sealed.out
    assert "Checked." not in sealed.out

    second = await terminal("sign", initiative, "approve", "--matter", "1", who="az-officer")
    assert second.status == 0, second
    assert "az       approve" in second.out
    # The outcome follows both keys' signatures, a moment later; until then a position shows nobody else's.
    assert (await office.until_decided(initiative, 1))["outcome"] == "approved"
    shown = await terminal("show", initiative, who="az-officer")
    (line,) = [one for one in shown.out.splitlines() if "clearance" in one and "approved" in one]
    assert "position in, sealed" not in line


async def test_a_decision_is_fetched_and_verified_with_nothing_running(
    terminal: Terminal, initiative: str, office: Office, services: Services, tmp_path: Path
) -> None:
    early = await terminal("decision", "fetch", initiative, "1", who="il-auditor")
    assert (early.status, "not_found: " in early.err) == (1, True)
    for who in SIGNERS["clearance"]:
        assert (await office.sign(who, initiative)).status_code == 200
    decided = await office.until_decided(initiative, 1)

    fetched = await terminal("decision", "fetch", initiative, "1", who="il-lead")
    assert fetched.status == 0, fetched
    assert set(fetched.json["positions"]) == {"il", "az"}
    assert fetched.json["content_hash"] == decided["content_hash"]
    assert fetched.json == await office.get("il-lead", f"/v1/initiatives/{initiative}/matters/1/decision")
    assert (await terminal("decision", "fetch", initiative, "1")).json == fetched.json  # an auditor's

    file = tmp_path / "decision.json"
    file.write_text(fetched.out, encoding="utf-8")
    offline = ("decision", "verify", file, "--agreement", services.settings().agreement)
    told, raw = await asyncio.gather(run(*offline), run(*offline, "--json"))
    assert told.status == 0, told
    expected = f"The decision holds: {initiative}, matter 1, approved; signed by il, az."
    assert " ".join(told.out.split()) == expected
    assert (raw.status, raw.json) == (0, {"valid": True, "faults": []})
    piped = await run("decision", "verify", "-", *offline[3:], stdin=fetched.out)
    assert (piped.status, piped.out) == (0, told.out)

    file.write_text(json.dumps(fetched.json | {"outcome": "refused"}), encoding="utf-8")
    told, raw = await asyncio.gather(run(*offline), run(*offline, "--json"))
    fault = "the outcome that follows is approved, not refused"
    assert (told.status, told.out, fault in told.err) == (1, "", True)
    assert (raw.status, raw.json) == (1, {"valid": False, "faults": [fault]})
    # The shipped agreement names no keys: with it nothing can be said to hold.
    keyless = await run("decision", "verify", "-", "--agreement", default_agreement(), stdin=fetched.out)
    assert keyless.status == 1
    assert all(f"{side}: signed with a key that is not this side's" in keyless.err for side in ("il", "az"))
    for nothing in ("{", "[]"):
        file.write_text(nothing)
        assert (await run(*offline)).status == 2


async def test_on_a_terminal_nothing_is_signed_without_a_yes(
    terminal: Terminal, initiative: str, office: Office
) -> None:
    asked = await at_a_terminal("n", "sign", initiative, "approve", "--as", "il-legal", home=terminal.home)
    assert (asked.status, "Sign? [y/N]" in asked.err) == (1, True)
    assert "nothing was signed" in asked.err
    assert (await office.open_matter(initiative))["sides"]["il"]["position_in"] is False

    answered = await at_a_terminal("y", "sign", initiative, "approve", "--as", "il-legal", home=terminal.home)
    assert answered.status == 0, answered
    assert (await office.open_matter(initiative))["sides"]["il"]["position_in"] is True


async def at_a_terminal(answer: str, *arguments: str, home: Path) -> Ended:
    """Run a command whose input is a terminal, at which somebody types an answer."""
    ours, its = os.openpty()
    try:
        os.write(ours, answer.encode() + b"\n")
        process = await started(
            *("countersign", *arguments),
            env=environment(COUNTERSIGN_HOME=str(home)),
            stdin=its,
            stdout=PIPE,
            stderr=PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        os.close(ours)
        os.close(its)
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def test_somebody_of_another_office_or_side_is_refused_by_name_of_the_rule(
    terminal: Terminal, initiative: str
) -> None:
    ended = await terminal("sign", initiative, "approve", who="az-deputy")
    assert ended.status == 1
    assert "not_your_office: " in ended.err
    assert "It counts" not in ended.out

    ended = await terminal.remotely("sign", initiative, "approve", "--json", who="il-lead")
    assert ended.status == 1
    assert (ended.json["code"], ended.json["status"]) == ("not_your_office", 409)


async def test_a_content_hash_of_something_else_does_not_count(terminal: Terminal, initiative: str) -> None:
    other = "sha256:" + "0" * 64
    ended = await terminal("sign", initiative, "approve", "--content-hash", other, who="il-legal")
    assert ended.status == 1
    assert "which is not what is before the directorates" in ended.out
    assert "stale_content: " in ended.err


async def test_a_sign_off_sent_again_under_its_id_counts_once(
    terminal: Terminal, initiative: str, office: Office
) -> None:
    again = ("sign", initiative, "approve", "--matter", "1", "--id", "mine-1", "--json")
    first = await terminal(*again, who="il-legal")
    await office.until_countersigned(initiative, {"number": 1}, "il")
    second, third = await terminal(*again, who="il-legal"), await terminal(*again, who="il-legal")
    assert second.json == third.json
    assert {**first.json, "matter": None} == {**second.json, "matter": None}
    # The matter is shown as it stands now: since then the side's key has signed its position, and nothing else.
    seen, now = first.json["matter"], second.json["matter"]
    assert now["sides"]["il"].pop("countersigned") is True
    seen["sides"]["il"].pop("countersigned")
    assert seen == now
    assert [one["action"] for one in await office.trail(initiative)].count("matter.signed") == 1

    spaced = await terminal("sign", initiative, "approve", "--id", "two words", who="il-legal")
    assert spaced.status == 2


async def test_reasons_and_conditions_reach_the_record(
    terminal: Terminal, initiative: str, office: Office
) -> None:
    bare = await terminal("sign", initiative, "refuse", who="il-legal")
    assert (bare.status, "invalid: refuse needs reasons" in bare.err) == (1, True)
    for who in SIGNERS["clearance"]:
        assert (await office.sign(who, initiative)).status_code == 200
    # At once: what the decision leads to is opened a moment later, and the command waits for it.
    first, *others = SIGNERS["proposal"]
    conditional = await terminal(
        *("sign", initiative, "approve_with_conditions"),
        *("--condition", "The data stay where they are.", "--condition", "A second test site."),
        who=first,
    )
    assert conditional.status == 0, conditional
    for who in others:
        signed = await terminal("sign", initiative, "approve", who=who)
        assert signed.status == 0, signed
    await office.until_stage(initiative, "conditions")
    shown = await terminal("show", initiative)
    assert "The data stay where they are." in shown.out
    assert "show evidence for condition 2" in shown.out


async def test_unknown_initiatives_and_responses_are_told_apart(terminal: Terminal) -> None:
    unknown = await terminal("sign", "ILAZ-1999-0001", "approve", who="il-head")
    assert (unknown.status, "not_found: " in unknown.err) == (1, True)
    assert (await terminal("sign", "ILAZ-1999-0001", "perhaps", who="il-head")).status == 2


async def test_tranches_are_paid_with_four_eyes_and_reports_come_when_they_are_due(
    terminal: Terminal, initiative: str, office: Office, tmp_path: Path
) -> None:
    for kind in ("clearance", "proposal", "agreement"):
        matter = await office.open_matter_of(initiative, kind)
        for who in SIGNERS[kind]:
            assert (await office.sign(who, initiative, matter=matter)).status_code == 200
    await office.until_stage(initiative, "active")

    wrong = await terminal("pay", "authorise", initiative, "1", "--side", "az", who="il-finance-1")
    assert (wrong.status, "not_your_office" in wrong.err) == (1, True)
    strange = await terminal("mandate", "give", "il/il-officer", "--kind", "bribe", who="il-finance-1")
    assert (strange.status, "there is no kind bribe" in strange.err) == (2, True)
    held = await terminal("pay", "hold", initiative, "1", "--reasons", "Wrong account.", who="il-finance-2")
    assert (held.status, "hold counts" in held.out, "now held." in held.out) == (0, True, True), held
    inbox = await terminal("inbox", who="il-finance-1")
    assert "resume tranche 1" in next(line for line in inbox.out.splitlines() if initiative in line)
    resumed = await terminal("pay", "resume", initiative, "1", "--reasons", "Mended.", who="il-head")
    assert (resumed.status, "now due." in resumed.out) == (0, True), resumed
    given = await terminal("mandate", "give", "il/il-head", "--kind", "payment", "--json", who="il-finance-1")
    lent = await terminal("pay", "authorise", initiative, "1", "--for", "il/il-finance-1", who="il-head")
    assert lent.status == 0, lent
    await terminal("mandate", "revoke", given.json["id"], who="il-finance-1")
    ended = await terminal("pay", "authorise", initiative, "1", who="az-finance-1")
    assert ended.status == 0, ended
    await office.until_shares(initiative, 1, "instructed")

    same = await terminal("pay", "confirm", initiative, "1", who="il-finance-1")
    assert (same.status, "four_eyes: " in same.err) == (1, True)
    other = await terminal("pay", "confirm", initiative, "1", who="il-finance-2")
    assert other.status == 0, other
    first = (await office.get("il-auditor", f"/v1/initiatives/{initiative}/tranches"))["items"][0]["shares"]
    il, az = (str(Amount(**first[side]["amounts"][0])) for side in ("il", "az"))
    assert il.startswith("40,000.0")
    assert f"Tranche 1 of il, {il}: confirmation counts" in other.out
    assert "now paid." in other.out
    unnamed = await terminal.remotely("pay", "confirm", initiative, "1", who="az-finance-2")
    assert (unnamed.status, "--side" in unnamed.err) == (2, True)
    remote = await terminal.remotely(
        "pay", "confirm", initiative, "1", "--side", "az", "--json", who="az-finance-2"
    )
    assert (remote.status, remote.json["status"]) == (0, "counted")

    report = tmp_path / "report.json"
    written = report_of(Proposal.model_validate(minimal_proposal()), 1, 3)
    report.write_text(json.dumps(written.document_form()))
    early = await terminal("report", initiative, "1", report, who="il-lead")
    assert (early.status, "not_due: " in early.err) == (1, True)
    # The clock moves by the reference, too.
    skipped = await terminal("skip", initiative, "190d")
    assert skipped.status == 0, skipped
    submitted = await terminal("report", initiative, "1", report, who="il-lead")
    assert submitted.status == 0, submitted

    shown = await terminal("show", initiative)
    assert f"{il} (paid)" in shown.out
    assert f"{az} (paid)" in shown.out
    (line,) = [one for one in shown.out.splitlines() if one.startswith("1 ") and "submitted" in one]
    assert line.count("UTC") == 1
    assert "report 1 version 1" in shown.out

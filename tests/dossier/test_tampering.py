"""What somebody alters who then writes the manifest anew, so that only what it follows from can tell."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from countersign.domain.audit import GENESIS, entry_hash
from countersign.domain.canonical import canonical_json, content_hash
from tests.dossier.making import read, sealed, tampered, verify

Files = Callable[[str], Path]
Json = dict[str, Any]


def trail_of(directory: Path) -> list[Json]:
    return [json.loads(one) for one in (directory / "trail.jsonl").read_text().splitlines()]


def chained(directory: Path, entries: list[Json]) -> None:
    """Write a trail whose entries are chained again after a change."""
    previous = GENESIS
    for sequence, one in enumerate(entries, 1):
        one |= {"sequence": sequence, "previous": previous}
        previous = one["hash"] = entry_hash(one)
    lines = b"".join(canonical_json(one) + b"\n" for one in entries)
    (directory / "trail.jsonl").write_bytes(lines)
    sealed(directory)


def decision_of(directory: Path) -> tuple[Json, Path]:
    """A joint decision, and the file that it is in."""
    entry = next(one for one in trail_of(directory) if one["action"] == "matter.decided")
    path = directory / "documents" / f"{entry['body']['decision'][7:]}.json"
    return json.loads(path.read_bytes()), path


def forged(token: str, **changes: str) -> str:
    """A signature with another position in it."""
    header, payload, signature = token.split(".")
    position = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) | changes
    return f"{header}.{base64.urlsafe_b64encode(canonical_json(position)).decode().rstrip('=')}.{signature}"


def history_of(directory: Path, number: int = 0) -> str:
    """A history's file."""
    files: list[str] = read(directory, "dossier.json")["histories"]["files"]
    return files[number]


async def test_an_entry_that_was_altered_and_chained_again_is_not_in_the_signed_log(files: Files) -> None:
    directory = files("refused")
    entries = trail_of(directory)
    entries[0]["at"] = entries[0]["at"].replace("Z", "Z").replace("20", "19", 1)
    chained(directory, entries)
    wrong = (await verify(directory)).wrong
    assert "entry 1: it is not in the log that the sides have signed" in wrong
    assert f"entry {len(entries)}: it is not in the log that the sides have signed" in wrong


async def test_an_entry_that_was_altered_alone_is_named(files: Files) -> None:
    directory = files("refused")
    entries = trail_of(directory)
    entries[2]["actor"] = "il/somebody-else"
    (directory / "trail.jsonl").write_bytes(b"".join(canonical_json(one) + b"\n" for one in entries))
    sealed(directory)
    assert "entry 3: it was altered" in (await verify(directory)).wrong


@pytest.mark.parametrize("place", [3, -1], ids=["within", "at the end"])
async def test_an_entry_that_was_taken_away_is_missed(files: Files, place: int) -> None:
    directory = files("refused")
    entries = trail_of(directory)
    del entries[place]
    chained(directory, entries)
    tampered(directory, "dossier.json", lambda one: one.update(entries=len(entries)))
    wrong = (await verify(directory)).wrong
    assert any(one.startswith("proofs.json: it proves an entry that is not here") for one in wrong)
    # Taken out of the proofs and of where it stands as well: the histories still know.
    known = {one["sequence"] for one in entries}
    tampered(
        directory,
        "proofs.json",
        lambda one: {"proofs": [p for p in one["proofs"] if p["sequence"] in known]},
    )
    tampered(directory, "initiative.json", lambda one: one["initiative"].update(sequence=len(entries)))
    wrong = (await verify(directory)).wrong
    assert any("the trail ended otherwise" in one for one in wrong), wrong


async def test_a_forged_signature_under_a_decision_does_not_hold(files: Files) -> None:
    directory = files("refused")
    decision, path = decision_of(directory)
    decision["positions"]["az"] = forged(decision["positions"]["az"], response="refuse")
    decision["outcome"] = "refused"
    path.write_bytes(canonical_json(decision))
    sealed(directory)
    wrong = (await verify(directory)).wrong
    name = path.relative_to(directory).as_posix()
    assert f"{name}: it was altered" in wrong
    assert any("az: the signature does not hold" in one for one in wrong)
    # Under its new hash, which the trail then names, chained again: the signature holds as little.
    path.unlink()
    key = content_hash(decision)
    (directory / "documents" / f"{key[7:]}.json").write_bytes(canonical_json(decision))
    old = "sha256:" + path.stem
    entries = json.loads(json.dumps(trail_of(directory)).replace(old, key))
    for one in entries:
        if one["action"] == "matter.countersigned" and one["body"]["directorate"] == "az":
            one["body"]["jws"] = decision["positions"]["az"]
            break
    tampered(
        directory,
        "documents.json",
        lambda body: json.loads(json.dumps(body).replace(old, key)),
    )
    chained(directory, entries)
    wrong = (await verify(directory)).wrong
    assert any("az: the signature does not hold" in one for one in wrong)
    assert any("it is not in the log" in one for one in wrong)


async def test_a_decision_without_one_of_its_signatures_is_told(files: Files) -> None:
    directory = files("refused")
    decision, path = decision_of(directory)
    del decision["positions"]["il"]
    path.write_bytes(canonical_json(decision))
    sealed(directory)
    wrong = (await verify(directory)).wrong
    assert any("another set of sides has signed the decision" in one for one in wrong)


async def test_a_document_that_was_altered_is_named_also_when_it_is_said_to_be_redacted(files: Files) -> None:
    directory = files("closed")
    submitted = trail_of(directory)[0]["subject"]
    name = f"documents/{submitted[7:]}.json"
    tampered(directory, name, lambda one: one["summary"].update(en="It is large."))
    assert f"{name}: it was altered" in (await verify(directory)).wrong

    def said(body: Json) -> None:
        next(one for one in body["documents"] if one["hash"] == submitted)["redacted_at"] = "2030-01-01"

    tampered(directory, "documents.json", said)
    assert f"{name}: it is redacted, and the trail does not say so" in (await verify(directory)).wrong
    (directory / name).unlink()
    sealed(directory)
    assert f"{name}: it is missing" in (await verify(directory)).wrong


async def test_a_proof_that_was_altered_or_is_missing_is_told(files: Files) -> None:
    directory = files("refused")
    proofs = read(directory, "proofs.json")["proofs"]
    tampered(directory, "proofs.json", lambda one: one["proofs"][2].update(index=0))
    assert (
        f"entry {proofs[2]['sequence']}: it is not in the log that the sides have signed"
        in (await verify(directory)).wrong
    )
    tampered(directory, "proofs.json", lambda _: {"proofs": proofs[:2] + proofs[3:]})
    wrong = (await verify(directory)).wrong
    assert any(one.startswith("proofs.json: entries without a proof are [") for one in wrong)


async def test_a_checkpoint_of_another_root_is_signed_by_nobody(files: Files) -> None:
    directory = files("refused")
    origin, size, root, *rest = (directory / "checkpoint.txt").read_text().split("\n")
    other = base64.b64encode(hashlib.sha256(base64.b64decode(root)).digest()).decode()
    (directory / "checkpoint.txt").write_text("\n".join([origin, size, other, *rest]))
    sealed(directory)
    wrong = (await verify(directory)).wrong
    assert {"checkpoint.txt: il has not signed it", "checkpoint.txt: az has not signed it"} <= set(wrong)
    (directory / "checkpoint.txt").unlink()
    sealed(directory)
    assert "checkpoint.txt: it is missing" in (await verify(directory)).wrong


async def test_histories_that_answer_otherwise_than_the_trail_are_told(files: Files) -> None:
    directory = files("closed")
    name = history_of(directory)

    def answer(body: Json) -> None:
        for event in body["events"]:
            done = event.get("workflowExecutionUpdateCompletedEventAttributes")
            payload = done and done["outcome"]["success"]["payloads"][0]
            said = json.loads(base64.b64decode(payload["data"])) if payload else {}
            if said.get("status") == "counted":
                payload["data"] = base64.b64encode(json.dumps(said | {"sequence": 1}).encode()).decode()
                return
        raise AssertionError("nothing was answered")

    tampered(directory, name, answer)
    wrong = (await verify(directory)).wrong
    assert any(one.startswith(f"{name}, event ") and "which is not that message's" in one for one in wrong)


async def test_a_message_of_the_trail_that_no_history_has_is_told(files: Files) -> None:
    directory = files("closed")
    name = history_of(directory)

    def silent(body: Json) -> None:
        kind = "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED"
        some = [one for one in body["events"] if one["eventType"] == kind]
        request = some[2]["workflowExecutionUpdateAcceptedEventAttributes"]["acceptedRequest"]
        request["input"]["args"]["payloads"][0]["data"] = base64.b64encode(b"{}").decode()

    tampered(directory, name, silent)
    wrong = (await verify(directory)).wrong
    assert any(one.startswith("entry ") and "no history has the message" in one for one in wrong)


async def test_a_run_that_is_missing_is_told(files: Files) -> None:
    directory = files("closed")
    names = read(directory, "dossier.json")["histories"]["files"]
    assert len(names) > 1
    (directory / names[0]).unlink()
    tampered(directory, "dossier.json", lambda one: one["histories"].update(files=names[1:]))
    wrong = (await verify(directory)).wrong
    assert f"{names[1]}: it does not continue the run before it" in wrong
    assert any("no history has the message" in one for one in wrong)


async def test_a_ledger_that_does_not_follow_from_the_trail_is_told(files: Files) -> None:
    directory = files("closed")
    one = read(directory, "payments/ledger.json")["transactions"][0]
    place = f"transaction {one['sequence']}.{one['number']}"

    def more(body: Json) -> None:
        for line in body["transactions"][0]["entries"]:
            line["minor"] *= 2

    tampered(directory, "payments/ledger.json", more)
    wrong = (await verify(directory)).wrong
    assert f"{place}: it was altered" in wrong
    assert "payments/ledger.csv: it says something else than payments/ledger.json" in wrong

    def lopsided(body: Json) -> None:
        body["transactions"][0]["entries"][0]["minor"] += 1

    tampered(directory, "payments/ledger.json", lopsided)
    assert f"{place}: it does not sum to zero" in (await verify(directory)).wrong
    tampered(directory, "payments/ledger.json", lambda body: {"transactions": body["transactions"][1:]})
    assert f"{place}: it is missing" in (await verify(directory)).wrong


@pytest.mark.parametrize("name", ["payments/instructions.json", "initiative.json"])
async def test_what_follows_from_the_trail_and_was_altered_is_told(files: Files, name: str) -> None:
    directory = files("closed")

    def change(body: Json) -> None:
        if name == "initiative.json":
            body["initiative"]["stage"] = "active"
        else:
            body["instructions"][0]["amount"]["minor"] += 1

    tampered(directory, name, change)
    assert any(one.startswith(f"{name}: it ") for one in (await verify(directory)).wrong)


async def test_an_attachment_that_was_exchanged_or_taken_away_is_named(files: Files) -> None:
    directory = files("closed")
    listed = read(directory, "attachments.json")["attachments"]
    assert [one["state"] for one in listed] == ["here"] * len(listed)
    assert len(listed) >= 3
    path = directory / listed[0]["file"]
    whole = path.read_bytes()
    path.write_bytes(whole + b"\n")
    sealed(directory)
    assert f"{listed[0]['file']}: the attachment was altered" in (await verify(directory)).wrong
    path.unlink()
    sealed(directory)
    assert any(listed[0]["hash"] in one for one in (await verify(directory)).wrong)
    path.write_bytes(whole)

    def erased(body: Json) -> None:
        body["attachments"][0]["state"] = "erased"

    tampered(directory, "attachments.json", erased)
    assert (
        f"{listed[0]['hash']}: it is said to be erased, and the trail does not say so"
        in (await verify(directory)).wrong
    )


async def test_what_was_signed_for_somebody_else_needs_the_mandate(files: Files) -> None:
    directory = files("closed")
    (given,) = read(directory, "mandates.json")["mandates"]
    assert (given["mandate"]["delegator"], len(given["trail"])) == ("il/il-legal", 2)
    tampered(directory, "mandates.json", lambda _: {"mandates": []})
    wrong = (await verify(directory)).wrong
    assert any("no mandate let il/il-secretariat sign for il/il-legal" in one for one in wrong)


async def test_another_agreement_than_the_trail_names_is_told(files: Files) -> None:
    directory = files("refused")
    (file,) = (directory / "agreement").iterdir()
    body = json.loads(file.read_bytes())
    body["approval_validity_days"] += 1
    file.write_bytes(canonical_json(body))
    sealed(directory)
    assert f"agreement/{file.name}: it is not the one that entry 1 names" in (await verify(directory)).wrong

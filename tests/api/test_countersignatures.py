"""Each side signs its position with its own key; whoever has the public ones checks the joint decision alone."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc.jwk import OKPKey

from countersign.activities.signing import decision_faults, sign
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.agreement_file import read
from countersign.runtime.embedded.services import Services
from tests.cli.conftest import run
from tests.people import SIGNERS, Office

SIDES = ("il", "az")


@pytest.fixture
def keyed(services: Services) -> ProgrammeAgreement:
    """The agreement in force, with both sides' public keys."""
    return read(services.settings().agreement.read_text(encoding="utf-8"))


@pytest.fixture
async def decision(office: Office, initiative: str) -> dict[str, Any]:
    """A joint decision that was made: one side approved, the other returned."""
    matter = await office.open_matter(initiative)
    await office.sign("il-legal", initiative, matter=matter)
    await office.sign("az-officer", initiative, "return", matter=matter, reasons="Ölkə səhvdir.")
    await office.until_decided(initiative, matter["number"])
    found: dict[str, Any] = await office.get(
        "il-lead", f"/v1/initiatives/{initiative}/matters/{matter['number']}/decision"
    )
    return found


def unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def key_of(services: Services, side: str) -> OKPKey:
    return OKPKey.import_key(json.loads((services.home.keys / f"{side}.jwk.json").read_text()))


async def test_a_decision_checks_with_another_library_than_the_one_that_signed(
    decision: dict[str, Any], office: Office
) -> None:
    """RFC 7515 by hand, with the keys that the API gives to everybody."""
    keys = {one["directorate"]: one["jwk"] for one in (await office.get("az-lead", "/v1/keys"))["items"]}
    assert set(decision["positions"]) == set(SIDES)
    for side, token in decision["positions"].items():
        head, payload, signature = token.split(".")
        public = Ed25519PublicKey.from_public_bytes(unpacked(keys[side]["x"]))
        public.verify(unpacked(signature), f"{head}.{payload}".encode())
        position = json.loads(unpacked(payload))
        assert position["directorate"] == side
        assert position["content_hash"] == decision["content_hash"]
        with pytest.raises(InvalidSignature):
            public.verify(unpacked(signature), f"{head}.{payload}x".encode())
    assert json.loads(unpacked(decision["positions"]["az"].split(".")[1]))["reasons"] == ["Ölkə səhvdir."]
    assert decision["outcome"] == "returned"


async def test_what_was_tampered_with_fails_and_says_whose_it_is(
    decision: dict[str, Any], keyed: ProgrammeAgreement, services: Services
) -> None:
    assert decision_faults(decision, keyed.signing_key, SIDES) == []

    def faults(change: Any) -> list[str]:
        changed = copy.deepcopy(decision)
        change(changed)
        return decision_faults(changed, keyed.signing_key, SIDES)

    def one_byte(changed: dict[str, Any]) -> None:
        head, payload, signature = changed["positions"]["az"].split(".")
        raw = bytearray(unpacked(payload))
        raw[len(raw) // 2] ^= 1
        changed["positions"]["az"] = f"{head}.{packed(bytes(raw))}.{signature}"

    def removed(changed: dict[str, Any]) -> None:
        del changed["positions"]["il"]

    def by_the_other_side(changed: dict[str, Any]) -> None:
        position = json.loads(unpacked(changed["positions"]["il"].split(".")[1]))
        changed["positions"]["il"] = sign(position, key_of(services, "az"))

    def swapped(changed: dict[str, Any]) -> None:
        il, az = changed["positions"]["il"], changed["positions"]["az"]
        changed["positions"] = {"il": az, "az": il}

    def another_outcome(changed: dict[str, Any]) -> None:
        changed["outcome"] = "approved"

    def another_content(changed: dict[str, Any]) -> None:
        changed["content_hash"] = "sha256:" + "0" * 64

    def own_key_under_a_known_name(changed: dict[str, Any]) -> None:
        kid = str(key_of(services, "il").kid)
        forger = OKPKey.generate_key("Ed25519", {"kid": kid}, private=True)
        changed["positions"]["il"] = sign(
            json.loads(unpacked(changed["positions"]["il"].split(".")[1])), forger
        )

    def a_stranger(changed: dict[str, Any]) -> None:
        changed["positions"]["xx"] = changed["positions"]["il"]

    assert [one.split(":")[0] for one in faults(one_byte)] == ["az"]
    assert faults(removed) == ["il: the signature is missing"]
    assert faults(by_the_other_side)[0].startswith("il: signed with a key that is not this side's")
    assert {one.split(":")[0] for one in faults(swapped)} == set(SIDES)
    assert faults(another_outcome) == ["the outcome that follows is returned, not approved"]
    assert {one.split(":")[0] for one in faults(another_content)} == set(SIDES)
    assert [one.split(":")[0] for one in faults(own_key_under_a_known_name)] == ["il"]
    assert faults(a_stranger) == ["xx: no side of the agreement"]
    assert decision_faults({"document": "something"}, keyed.signing_key, SIDES) == [
        "this is no joint decision"
    ]


async def test_a_key_counts_only_while_it_is_in_force(
    decision: dict[str, Any], keyed: ProgrammeAgreement
) -> None:
    """Keys rotate: what was signed in a key's time holds, what was signed after it does not."""
    signed_at = json.loads(unpacked(decision["positions"]["il"].split(".")[1]))["at"]

    def with_il_key(**changes: Any) -> list[str]:
        keys = [
            type(one).model_validate(one.model_dump() | changes) if one.directorate == "il" else one
            for one in keyed.signing_key
        ]
        return decision_faults(decision, keys, SIDES)

    assert with_il_key(valid_to="2999-01-01T00:00:00Z") == []
    assert with_il_key(valid_to=signed_at) == [f"il: signed with a key that was not in force at {signed_at}"]
    assert len(with_il_key(valid_from="2999-01-01T00:00:00Z")) == 1


async def test_the_command_line_checks_a_file_and_ends_with_a_status(
    decision: dict[str, Any], services: Services, tmp_path: Path
) -> None:
    file, agreement = tmp_path / "decision.json", services.settings().agreement

    async def verify() -> tuple[int, str]:
        ended = await run("decision", "verify", file, "--agreement", agreement)
        return ended.status, ended.out + ended.err

    file.write_text(json.dumps(decision))
    status, output = await verify()
    assert status == 0, output
    assert "The decision holds" in output
    file.write_text(json.dumps(decision | {"outcome": "approved"}))
    status, output = await verify()
    assert status == 1
    assert "the outcome that follows is returned" in output


async def test_a_decision_is_sealed_until_it_is_made(office: Office, initiative: str) -> None:
    matter = await office.open_matter(initiative)
    await office.sign("il-legal", initiative, "refuse", matter=matter, reasons="not now")
    await office.until_countersigned(initiative, matter, "il")
    for who in ("az-officer", "il-head", "il-lead"):
        answer = await office.call(
            who, "GET", f"/v1/initiatives/{initiative}/matters/{matter['number']}/decision"
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_changed_position_is_signed_anew_and_the_decision_holds_the_last(
    office: Office, initiative: str, keyed: ProgrammeAgreement
) -> None:
    matter = await office.open_matter(initiative)
    await office.sign("il-legal", initiative, "refuse", matter=matter, reasons="not now")
    await office.until_countersigned(initiative, matter, "il")
    await office.sign("il-legal", initiative, matter=matter)
    for who in SIGNERS["clearance"][1:]:
        await office.sign(who, initiative, matter=matter)
    decided = await office.until_decided(initiative, matter["number"])
    assert decided["outcome"] == "approved"
    path = f"/v1/initiatives/{initiative}/matters/{matter['number']}/decision"
    found = await office.get("il-auditor", path)
    assert decision_faults(found, keyed.signing_key, SIDES) == []
    actions = [one["action"] for one in await office.trail(initiative)]
    assert actions.count("matter.countersigned") == 3

"""The joint decisions: what was signed, by whom, with which key, and what follows from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from countersign.runtime.dossier.verifier.dossier import Dossier
from countersign.runtime.dossier.verifier.ed25519 import ed25519_holds
from countersign.runtime.dossier.verifier.forms import Json, Wrong, from_base64, instant, strict_json
from countersign.runtime.dossier.verifier.trail import entry_hash


def decisions(dossier: Dossier) -> Iterator[str]:
    """Positions and outcomes that do not follow from what was signed, and signatures that do not hold."""
    kids = {one["jwk"]["kid"]: one for one in dossier.keys}
    content: dict[int, set[str]] = defaultdict(set)
    chains: dict[int, list[str]] = {}
    signed: dict[tuple[int, str], list[Json]] = defaultdict(list)
    positions: dict[tuple[int, str], Json] = {}
    tokens: dict[tuple[int, str], str] = {}
    proposal = ""
    for entry in dossier.trail:
        body, action, at = entry["body"], entry["action"], f"entry {entry['sequence']}"
        number = body.get("matter") if action != "matter.opened" else body["number"]
        if action == "matter.opened":
            content[number] = {entry["subject"]}
            chains[number] = sorted(body["chains"])
        elif action == "proposal.corrected":
            for some in content.values():
                if proposal in some:
                    some.add(entry["subject"])
        elif action == "matter.signed":
            struck(signed, number, body.get("replaces"))
            signed[number, body["directorate"]].append({**body, "person": entry["actor"], "counts": True})
        elif action == "matter.sign_off_struck":
            struck(signed, number, body["person"])
        elif action == "matter.position_withdrawn":
            positions.pop((number, body["directorate"]), None)
            tokens.pop((number, body["directorate"]), None)
        elif action == "matter.position_reached":
            position = body["position"]
            key = number, position["directorate"]
            positions[key] = position
            tokens.pop(key, None)
            counted = [one["response"] for one in signed[key] if one["counts"]]
            if gravest(counted) != position["response"]:
                yield f"{at}: the position of {key[1]} does not follow from what its offices signed"
        elif action == "matter.countersigned":
            tokens[number, body["directorate"]] = body["jws"]
        elif action == "matter.decided":
            decision = dossier.documents.get(body["decision"])
            if decision is None:
                continue  # it is named among the documents
            for why in decided(dossier, entry, decision, chains[number], positions, tokens, kids):
                yield f"{at}: {why}"
            if decision["content_hash"] not in content[number]:
                yield f"{at}: the decision is on other content than what was put before the sides"
        if action in ("initiative.submitted", "proposal.revised", "proposal.corrected"):
            proposal = entry["subject"]


def decided(
    dossier: Dossier,
    entry: Json,
    decision: Json,
    sides: Iterable[str],
    positions: dict[tuple[int, str], Json],
    tokens: dict[tuple[int, str], str],
    kids: dict[str, Json],
) -> Iterator[str]:
    """What is wrong with one joint decision."""
    number, sides = entry["body"]["matter"], list(sides)
    if (decision.get("initiative"), decision.get("matter")) != (entry["initiative"], number):
        yield "the decision is another matter's"
    if sorted(decision["positions"]) != sides:
        yield "another set of sides has signed the decision"
    for side, token in sorted(decision["positions"].items()):
        if tokens.get((number, side)) != token:
            yield f"{side}: the signature in the decision is not the one on the trail"
        try:
            header, payload, signature = (from_base64(part, url=True) for part in token.split("."))
            head, position = strict_json(header), strict_json(payload)
        except (ValueError, Wrong):
            yield f"{side}: the signature is none"
            continue
        key = kids.get(head.get("kid"))
        if dossier.keys:
            if head.get("alg") != "Ed25519" or key is None or key["directorate"] != side:
                yield f"{side}: signed with a key that is not this side's ({head.get('kid')})"
                continue
            signed = token.rpartition(".")[0].encode()
            if not ed25519_holds(from_base64(key["jwk"]["x"], url=True), signed, signature):
                yield f"{side}: the signature does not hold"
            at, until = instant(position["at"]), key["valid_to"]
            if at < instant(key["valid_from"]) or (until is not None and at >= instant(until)):
                yield f"{side}: signed with a key that was not in force at {position['at']}"
        same = ("agreement", "initiative", "reference", "matter", "kind", "content_hash")
        differing = [name for name in same if position.get(name) != decision.get(name)]
        if differing:
            yield f"{side}: signed another {', '.join(differing)}"
        told = positions.get((number, side), {})
        if any(position.get(name) != told.get(name) for name in ("directorate", "response", "offices", "at")):
            yield f"{side}: signed another position than the trail has"
    follows = OUTCOMES.get(
        str(gravest([positions[number, side]["response"] for side in sides if (number, side) in positions]))
    )
    if not follows == decision["outcome"] == entry["body"]["outcome"]:
        yield f"the outcome that follows is {follows}, not {decision['outcome']}"


def mandates(dossier: Dossier) -> Iterator[str]:
    """What was signed for somebody else without a mandate."""
    given = dossier.json("mandates.json")["mandates"]
    known = []
    for one in given:
        for entry in one["trail"]:
            if entry_hash(entry) != entry["hash"]:
                yield f"mandate {one['id']}: entry {entry['sequence']} of its trail was altered"
        if [entry["body"]["id"] for entry in one["trail"]] != [one["id"]] * len(one["trail"]):
            yield f"mandate {one['id']}: its trail is another one's"
        known += [entry["body"] for entry in one["trail"][-1:]]
    for entry in dossier.trail:
        if entry["on_behalf_of"] is None or entry["action"] == "message.refused":
            continue
        at = instant(entry["at"])
        if not any(
            (one["delegator"], one["delegate"]) == (entry["on_behalf_of"], entry["actor"])
            and instant(one["valid_from"]) <= at < instant(one["valid_to"])
            and not (one.get("revoked_at") and instant(one["revoked_at"]) <= at)
            for one in known
        ):
            yield f"entry {entry['sequence']}: no mandate let {entry['actor']} sign for {entry['on_behalf_of']}"


OUTCOMES = {
    "refuse": "refused",
    "return": "returned",
    "approve_with_conditions": "approved_with_conditions",
    "approve": "approved",
}
"""The gravest first."""


def gravest(responses: list[str]) -> str | None:
    """The gravest of some responses."""
    return next((one for one in OUTCOMES if one in responses), None)


def struck(signed: dict[tuple[int, str], list[Json]], number: int, person: str | None) -> None:
    """The sign-offs of a person in a matter count no more."""
    for (matter, _), some in signed.items():
        for one in some:
            if matter == number and one["person"] == person:
                one["counts"] = False

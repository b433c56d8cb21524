"""The documents, and the attachments that they name."""

from __future__ import annotations

from collections.abc import Iterator

from countersign.runtime.dossier.verifier.dossier import Dossier
from countersign.runtime.dossier.verifier.forms import Json, hashes_in, sha256, strict_json


def papers(dossier: Dossier) -> Iterator[str]:
    """Documents that were altered, or are missing."""
    index = {one["hash"]: one for one in dossier.json("documents.json")["documents"]}
    redacted = {one for entry in dossier.of("record.redacted") for one in entry["body"]["documents"]}
    for name in dossier.names:
        if name.startswith("documents/"):
            key, data = "sha256:" + name[10:-5], dossier.read(name)
            dossier.documents[key] = strict_json(data)
            if key not in index:
                yield f"{name}: documents.json does not name it"
            elif index[key]["redacted_at"] is not None:
                if key not in redacted:
                    yield f"{name}: it is redacted, and the trail does not say so"
            elif sha256(data) != key:
                yield f"{name}: it was altered"
    for key in sorted(set(index) - set(dossier.documents)):
        yield f"documents/{key[7:]}.json: it is missing"
    for entry in dossier.trail:
        for key in named_by(entry):
            if key not in dossier.documents:
                yield f"entry {entry['sequence']}: the document {key} that it names is missing"
    if redacted:
        dossier.notes.append(
            f"{len(redacted)} documents are redacted: they keep the hash of what they said before"
        )


def attached(dossier: Dossier) -> Iterator[str]:
    """Attachments that were altered, or are missing."""
    erased = {one for entry in dossier.of("record.redacted") for one in entry["body"].get("attachments", ())}
    listed = dossier.json("attachments.json")["attachments"]
    files = set()
    for one in listed:
        subject = str(dossier.entry(one["sequence"]).get("subject"))
        named = set(hashes_in(dossier.documents.get(subject, {})))
        if one["hash"] not in named:
            yield f"attachments.json: entry {one['sequence']} does not name {one['hash']}"
        if one["state"] == "erased":
            if one["hash"] not in erased:
                yield f"{one['hash']}: it is said to be erased, and the trail does not say so"
        elif one["state"] != "here" or one["file"] not in dossier.digests:
            yield f"{one['hash']}: the attachment is {one['state']} and not in the dossier as it was brought"
        elif dossier.digests[one["file"]] != one["hash"]:
            yield f"{one['file']}: the attachment was altered"
        files.add(one["file"])
    for name in dossier.names:
        if name.startswith("attachments/") and name not in files:
            yield f"{name}: nothing names it"
    known = {one["hash"] for one in listed}
    wanted = {one for body in dossier.documents.values() for one in attached_to(body)}
    if wanted - known:
        dossier.notes.append(f"documents name {len(wanted - known)} attachments that were never brought here")


def named_by(entry: Json) -> Iterator[str]:
    """The documents that an entry names for certain."""
    body, action = entry["body"], entry["action"]
    if entry["subject"] is not None and action != "message.refused":
        yield entry["subject"]
    if action == "matter.decided":
        yield body["decision"]
    drawn_up = (
        body
        if action == "agreement.drawn_up"
        else body.get("funding_agreements")
        if action == "amendment.asked"
        else None
    )
    for one in (drawn_up or {}).get("sides", {}).values():
        yield one["content_hash"]


def attached_to(document: Json) -> Iterator[str]:
    """The attachments that a proposal or a report names."""
    if "partners" in document and "documents" in document:
        yield from (one["sha256"] for one in document["documents"])
    if "costs" in document and "narrative" in document:
        yield from (one["evidence"] for one in document["costs"] if one.get("evidence"))

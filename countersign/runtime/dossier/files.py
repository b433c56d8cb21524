"""The files of a dossier, one after the other, from what the record has (docs/dossier.md)."""

from __future__ import annotations

import asyncio
import base64
import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from countersign.attachments.content import TAKEN
from countersign.attachments.vault import Missing, Vault
from countersign.domain.audit import AuditEntry, rfc3339
from countersign.domain.canonical import canonical_json
from countersign.domain.payment_facts import PaymentBooked, PaymentFailed, TrancheInstructed
from countersign.runtime import ledger_csv
from countersign.runtime.dossier.container import File
from countersign.runtime.dossier.page import page
from countersign.runtime.dossier.paper import paper
from countersign.runtime.dossier.program import program
from countersign.runtime.dossier.record import Proof, Record
from countersign.runtime.dossier.story import story
from countersign.store.attachments import Attachment
from countersign.store.initiatives import Initiative

FORM: Final = 1
"""Of the dossier: what it holds under which names. Another number when what there was is there no more."""

_HERE: Final = Path(__file__).parent
_INITIATIVE: Final = TypeAdapter(Initiative)


@dataclass(frozen=True, slots=True)
class Histories:
    """Each run's history in Temporal's own JSON, by the run's id, the first run first; or why there is none."""

    runs: tuple[tuple[str, str], ...] = ()
    absent: str | None = None

    @property
    def files(self) -> Iterator[tuple[str, bytes]]:
        """The same as files."""
        for number, (run, history) in enumerate(self.runs, 1):
            # Maps come out of protobuf in any order; as files they have one.
            yield f"histories/{number:04}-{run}.json", _compact(json.loads(history))


async def files(record: Record, histories: Histories, vault: Vault | None) -> AsyncIterator[File]:
    """Every file of a dossier but its manifest, in order; attachments are read piece by piece."""
    for path, content in (
        *await asyncio.to_thread(lambda: tuple(_beside(record, histories))),
        *_made_of(record, histories),
    ):
        yield File(path, content)
    listed: list[dict[str, Any]] = []
    known: dict[str, dict[str, Any]] = {}
    for one in record.attachments:
        about = one.attachment
        if about.content_hash not in known:
            state = known[about.content_hash] = {"file": None, "state": _state(about, vault)}
            if vault is not None and state["state"] == "here":
                async for file in _attachment(vault, about, state):
                    yield file
        listed.append(
            {
                "hash": about.content_hash,
                "sequence": one.sequence,
                "name": one.name,
                "kind": one.kind,
                "media_type": about.media_type,
                "size": about.size,
                "erased_at": None if about.erased_at is None else rfc3339(about.erased_at),
                **known[about.content_hash],
            }
        )
    yield File("attachments.json", _json({"attachments": listed}))


def path_of(attachment: Attachment) -> str:
    """Where an attachment lies: by its hash, with the ending of what it is, and never by what people called it."""
    return (
        f"attachments/{attachment.content_hash.removeprefix('sha256:')}{TAKEN[attachment.media_type].ending}"
    )


def _state(attachment: Attachment, vault: Vault | None) -> str:
    if attachment.erased_at is not None:
        return "erased"
    return "not kept" if vault is None else "here"


async def _attachment(vault: Vault, attachment: Attachment, state: dict[str, Any]) -> AsyncIterator[File]:
    """An attachment as a file; into ``state`` goes whether it is there, and is what was brought."""
    pieces, path = vault.read(attachment.content_hash), path_of(attachment)
    try:
        first = await anext(pieces, b"")
    except Missing:
        state["state"] = "missing"
        return

    async def proven() -> AsyncIterator[bytes]:
        digest = hashlib.sha256(first)
        yield first
        async for piece in pieces:
            digest.update(piece)
            yield piece
        if f"sha256:{digest.hexdigest()}" != attachment.content_hash:
            state["state"] = "damaged"

    state["file"] = path
    yield File(path, proven(), attachment.size, stored=True)


def _beside(record: Record, histories: Histories) -> Iterator[tuple[str, bytes]]:
    """What people read first, and what they verify with."""
    told = story(record, histories.absent)
    yield "index.html", page(told)
    yield "index.pdf", paper(told)
    yield "README.txt", (_HERE / "README.txt").read_bytes()
    yield "verify.py", program()


def _made_of(record: Record, histories: Histories) -> Iterator[tuple[str, bytes]]:
    runs = list(histories.files)
    made = record.checkpoint
    yield (
        "dossier.json",
        _json(
            {
                "form": FORM,
                "initiative": record.initiative.id,
                "reference": record.initiative.reference,
                "as_of": record.entries[-1].at,
                "entries": len(record.entries),
                "checkpoint": None if made is None else made.signed.checkpoint.size,
                "unvouched": record.unvouched,
                "histories": {"files": [path for path, _ in runs], "absent": histories.absent},
            }
        ),
    )
    yield "trail.jsonl", b"".join(canonical_json(one.model_dump()) + b"\n" for one in record.entries)
    yield "proofs.json", _compact({"proofs": [_proof(*one) for one in record.proofs.items()]})
    if made is not None:
        yield "checkpoint.txt", made.signed.note.encode()
    yield "keys.json", _json({"items": list(_keys(record))})
    for (identifier, version), agreement in sorted(record.agreements.items()):
        yield f"agreement/{identifier}-{version}.json", canonical_json(agreement.document_form())
    yield "initiative.json", _json(_standing(record))
    listed = []
    for content_hash, kept in record.documents.items():
        redacted_at = None if kept.redacted_at is None else rfc3339(kept.redacted_at)
        listed.append({"hash": content_hash, "redacted_at": redacted_at})
        yield f"documents/{content_hash.removeprefix('sha256:')}.json", canonical_json(kept.body)
    yield "documents.json", _json({"documents": listed})
    yield (
        "mandates.json",
        _json(
            {
                "mandates": [
                    {
                        "id": one.id,
                        "mandate": one.model_dump(mode="json"),
                        "trail": [entry.model_dump() for entry in some],
                    }
                    for one, some in record.mandates
                ]
            }
        ),
    )
    yield "payments/tranches.json", _json({"tranches": record.tranches})
    yield "payments/instructions.json", _json({"instructions": list(_instructions(record.entries))})
    yield "payments/bank.json", _json({"facts": list(_bank(record.entries))})
    yield "payments/ledger.json", _json({"transactions": list(_ledger(record))})
    yield "payments/ledger.csv", _ledger_csv(record)
    yield from runs


def _proof(place: tuple[str, int], proof: Proof) -> dict[str, Any]:
    trail, sequence = place
    path = [base64.b64encode(one).decode() for one in proof.path]
    return {"trail": trail, "sequence": sequence, "index": proof.index, "path": path}


def _keys(record: Record) -> Iterator[dict[str, Any]]:
    """The keys, in the form of ``GET /v1/keys``."""
    for one in record.keys:
        said = one.model_dump(mode="json")
        yield {
            "directorate": one.directorate,
            "valid_from": said["valid_from"],
            "valid_to": said["valid_to"],
            "jwk": {"kty": "OKP", "crv": "Ed25519", "x": one.x, "kid": one.kid, "use": "sig"},
        }


def _standing(record: Record) -> dict[str, Any]:
    """Where it stands, and all that is asked of it."""
    return {
        "initiative": _INITIATIVE.dump_python(record.initiative, mode="json"),
        "waiting": [one.model_dump(mode="json") for one in record.waiting],
        "conditions": [one.model_dump(mode="json") for one in record.conditions],
        "versions": [one.model_dump(mode="json") for one in record.versions],
        "matters": [one.matter.model_dump(mode="json") for one in record.matters],
        "reports": [one.model_dump(mode="json") for one in record.reports],
    }


def _instructions(entries: Iterable[AuditEntry]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        if entry.action == TrancheInstructed.action:
            for side, some in sorted(entry.body["instructions"].items()):
                for one in some:
                    about = {"sequence": entry.sequence, "tranche": entry.body["number"], "directorate": side}
                    yield about | one


def _bank(entries: Iterable[AuditEntry]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        if entry.action in (PaymentBooked.action, PaymentFailed.action):
            yield {"sequence": entry.sequence, "at": entry.at, "action": entry.action, **entry.body}


def _ledger(record: Record) -> Iterator[dict[str, Any]]:
    for one in record.ledger:
        yield one.model_dump(mode="json", exclude={"initiative"}) | {"at": rfc3339(one.at)}


def _ledger_csv(record: Record) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(ledger_csv.COLUMNS)
    for one in record.ledger:
        writer.writerows(ledger_csv.rows(record.initiative.reference, one))
    return text.getvalue().encode()


def _json(value: Any) -> bytes:
    """JSON that people read."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def _compact(value: Any) -> bytes:
    """JSON that they do not."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode() + b"\n"

"""What the pages of a dossier say, whatever they are made of: sections of facts, tables and paragraphs.

It is plain data: texts that somebody else wrote are strings in it, and never anything that a page would interpret.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from countersign.domain.amounts import Amount
from countersign.domain.ledger import Account, Place, standings
from countersign.domain.matter import Matter
from countersign.runtime.dossier.record import Record
from countersign.runtime.dossier.telling import sentence, words

Json = dict[str, Any]

RIGHT_TO_LEFT: Final = frozenset({"ar", "fa", "he", "ur", "yi"})
"""Languages that are written from right to left."""

HOW_TO_VERIFY: Final = (
    "The file verify.py beside this page checks all of it on any machine with Python 3.9 or newer, without a "
    "network: python -I verify.py. It names whatever was altered. Compare the keys of the sides (--keys), a "
    "checkpoint that your office kept (--against) and the hash of the manifest (--manifest) with what you got "
    "another way: what is in a dossier cannot prove by itself who made it. What is told on this page is told again "
    "from the files beside it; where they differ, the files count."
)


def story(record: Record, absent: str | None) -> Json:
    """The whole of it; ``absent`` is why there is no workflow history."""
    about = record.initiative
    return {
        "reference": about.reference,
        "titles": [
            {"language": language, "text": text, "rtl": language in RIGHT_TO_LEFT}
            for language, text in sorted(about.title.items(), key=lambda one: one[0] != "en")
        ],
        "stage": words(about.stage.value),
        "as_of": _instant(record.entries[-1].instant),
        "date": record.entries[-1].at[:10],
        "sections": [
            _section("What it is", _facts(_about(record, absent))),
            _section("Where it stands", _facts(_standing(record)), *_waiting(record), *_conditions(record)),
            _section("Who takes part", *_partners(record)),
            _section("Decisions", *(block for one in record.matters for block in _matter(one.matter))),
            _section("Money", *_money(record)),
            _section("Reports", *_reports(record)),
            _section("What happened", _table(("entry", "at", "who", "what"), _timeline(record))),
            _section("Documents", _table(("document", "named by", "SHA-256"), _documents(record))),
            _section("Attachments", *_attachments(record)),
            _section("How to verify this", {"text": HOW_TO_VERIFY}),
        ],
    }


def _section(title: str, *blocks: Json) -> Json:
    return {"title": title, "blocks": list(blocks) or [{"text": "None."}]}


def _facts(rows: Iterable[tuple[str, str | None]]) -> Json:
    return {"facts": [[label, value] for label, value in rows if value]}


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Json:
    return {"columns": list(columns), "rows": [list(row) for row in rows]}


def _about(record: Record, absent: str | None) -> Iterator[tuple[str, str | None]]:
    one, agreement = record.initiative, record.agreement
    yield "programme", _text(agreement.title)
    yield "agreement", f"{agreement.id}, version {agreement.version}"
    yield "sides", "; ".join(f"{side.id}: {_text(side.name)}" for side in agreement.directorate)
    yield "area", words(one.area)
    yield "kind", words(one.kind)
    yield "lead", one.lead_directorate
    yield "applicant", one.applicant
    yield "submitted", _instant(one.submitted_at)
    yield "id", one.id
    made, open_ones = record.checkpoint, record.unvouched
    if made is None:
        yield "vouched for", "No checkpoint of the log that every side has signed covers any of it yet."
    else:
        size = made.signed.checkpoint.size
        yield (
            "vouched for",
            f"By {', '.join(made.by)}, who signed the checkpoint of {size:,} entries of the log.",
        )
    if open_ones and made is not None:
        yield "not yet", f"Entries {open_ones[0]} to {open_ones[-1]} are in no checkpoint of every side yet."
    yield "workflow history", absent and f"Not included: {absent}."


def _standing(record: Record) -> Iterator[tuple[str, str | None]]:
    one = record.initiative
    yield "stage", f"{words(one.stage.value)}, since {_instant(one.stage_since)}"
    yield "why", one.stage_reason
    yield "until", _instant(one.stage_deadline) if one.stage_deadline else None
    yield "complaints until", _instant(one.complaint_until) if one.complaint_until else None
    yield "version of the proposal", str(one.version)
    yield "entries on record", f"{len(record.entries):,}, the last at {_instant(record.entries[-1].instant)}"


def _waiting(record: Record) -> Iterator[Json]:
    if record.waiting:
        rows = (
            (
                f"{words(one.task.value)} {one.number}",
                f"{one.directorate} {words(one.office or '')}".strip() if one.directorate else "applicant",
                _instant(one.since),
                _instant(one.deadline) if one.deadline else "",
            )
            for one in record.waiting
        )
        yield {"heading": "Waited for"}
        yield _table(("what", "who", "since", "until"), rows)


def _conditions(record: Record) -> Iterator[Json]:
    if record.conditions:
        rows = (
            (
                *(str(one.number), one.directorate, one.text, _instant(one.deadline)),
                one.cleared_by or ("evidence given" if one.evidence else "open"),
            )
            for one in record.conditions
        )
        yield {"heading": "Conditions"}
        yield _table(("no.", "side", "condition", "until", "cleared by"), rows)


def _partners(record: Record) -> Iterator[Json]:
    kept = record.documents.get(record.initiative.content_hash)
    if kept is None:
        return
    asked: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for line in kept.body.get("budget", ()):
        asked[line["partner"]][line["amount"]["unit"]] += line["amount"]["minor"]
    rows = (
        (
            _text(one["name"]),
            one["directorate"],
            words(one["role"]),
            str((one.get("contact") or {}).get("name", "")),
            ", ".join(str(Amount(minor, unit)) for unit, minor in asked[one["id"]].items()),
        )
        for one in kept.body.get("partners", ())
    )
    yield _table(("partner", "side", "role", "contact", "asks for"), rows)
    if kept.redacted_at is not None:
        yield {"text": f"The people in it were redacted on {kept.redacted_at:%Y-%m-%d}."}


def _matter(matter: Matter) -> Iterator[Json]:
    outcome = "open" if matter.outcome is None else words(matter.outcome.value)
    yield {"heading": f"Matter {matter.number}: {words(matter.kind.value)} — {outcome}"}
    closed = matter.closed_at and _instant(matter.closed_at)
    yield _facts(
        (
            ("about", matter.about),
            ("before the sides", f"{_instant(matter.opened_at)} to {closed or 'now'}"),
            ("content", matter.content_hash),
            ("decision", matter.decision),
        )
    )
    rows = [
        (
            one.directorate,
            words(one.office),
            f"{one.name or one.person} ({one.person})"
            + (f", for {one.on_behalf_of}" if one.on_behalf_of else ""),
            words(one.response.value)
            + ("".join(f"; {text}" for text in (one.reasons, *one.conditions) if text))
            + (" (replaced)" if one.replaced else ""),
            _instant(one.at),
        )
        for one in matter.counted
    ]
    if rows:
        yield _table(("side", "office", "signed by", "response", "at"), rows)
    for side in matter.countersigned:
        position = matter.positions[side]
        yield {
            "text": f"{side}: {words(position.response.value)}, as of {_instant(position.at)}, signed with its key."
        }


def _money(record: Record) -> Iterator[Json]:
    balances: defaultdict[Place, int] = defaultdict(int)
    for one in record.ledger:
        for line in one.entries:
            balances[Place(one.directorate, one.unit, Account(line.account))] += line.minor
    rows = [
        (
            one.directorate,
            *(
                str(Amount(minor, one.unit))
                for minor in (
                    *(one.reserved, one.committed, one.disbursed, one.recovered),
                    *(one.accepted, one.unspent),
                )
            ),
        )
        for one in standings(balances)
    ]
    if rows:
        columns = ("side", "reserved", "committed", "disbursed", "recovered", "accepted", "unspent")
        yield _table(columns, rows)
    tranches = [
        (
            str(one["number"]),
            words(one["trigger"]),
            side,
            ", ".join(str(Amount(a["minor"], a["unit"])) for a in share["amounts"]),
            words(share["state"]),
            " / ".join(filter(None, (share["authorised_by"], share["confirmed_by"]))),
        )
        for one in record.tranches
        for side, share in one["shares"].items()
    ]
    if tranches:
        yield {"heading": "Tranches"}
        yield _table(("no.", "released by", "side", "amounts", "state", "authorised / confirmed"), tranches)


def _reports(record: Record) -> Iterator[Json]:
    rows = [
        (
            str(one.number),
            f"{one.starts_at:%Y-%m-%d} to {one.ends_at:%Y-%m-%d}",
            f"{one.due_at:%Y-%m-%d}",
            words(one.state.value),
            "; ".join(f"{side}: {', '.join(map(str, some))}" for side, some in one.costs.items()),
        )
        for one in record.reports
    ]
    if rows:
        yield _table(("no.", "period", "due", "state", "costs"), rows)


def _timeline(record: Record) -> Iterator[tuple[str, str, str, str]]:
    for one in record.entries:
        who = f"{one.actor}, for {one.on_behalf_of}" if one.on_behalf_of else one.actor
        yield str(one.sequence), _instant(one.instant), who, sentence(one)


def _documents(record: Record) -> Iterator[tuple[str, str, str]]:
    named: defaultdict[str, list[str]] = defaultdict(list)
    for entry in record.entries:
        for key in dict.fromkeys((entry.subject, entry.body.get("decision"))):
            if isinstance(key, str):
                named[key].append(str(entry.sequence))
    for key, kept in record.documents.items():
        redacted = " (redacted)" if kept.redacted_at is not None else ""
        entries = named[key]
        told = ", ".join(entries[:6]) + (", …" if len(entries) > 6 else "")
        yield _called(kept.body) + redacted, f"entry {told}" if told else "", key.removeprefix("sha256:")


def _called(body: Json) -> str:
    if "document" in body:
        return words(str(body["document"]))
    return "proposal" if "partners" in body else "report" if "costs" in body else "document"


def _attachments(record: Record) -> Iterator[Json]:
    rows = [
        (
            one.name or "",
            words(one.kind or "evidence"),
            f"{one.attachment.size:,} bytes"
            if one.attachment.erased_at is None
            else f"erased on {one.attachment.erased_at:%Y-%m-%d}",
            str(one.sequence),
            one.attachment.content_hash.removeprefix("sha256:"),
        )
        for one in record.attachments
    ]
    if rows:
        yield _table(("called", "kind", "size", "entry", "SHA-256"), rows)


def _text(texts: Any) -> str:
    """A text in English where there is one, else in the first language."""
    return str(texts.get("en") or next(iter(texts.values()), ""))


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"

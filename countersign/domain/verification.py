"""What the record has to say, derived again from the trail alone; and where it says something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from countersign.domain import audit
from countersign.domain.agreement import Terms
from countersign.domain.audit import AuditEntry
from countersign.domain.facts import RecordRedacted, Submitted
from countersign.domain.initiative import InitiativeState, replay
from countersign.domain.ledger import Entry, ledger_of
from countersign.domain.matter import Caller
from countersign.domain.model import Model
from countersign.domain.payment_facts import CommitmentsDeferred, TrancheInstructed
from countersign.domain.projection import events_of, project

Row = Mapping[str, Any]
Rows = Mapping[tuple[Any, ...], Row]
"""Rows of one table and one initiative, by what tells them apart there."""

Record = Mapping[str, Rows]
"""Rows by the table that they are in."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it has to be; ``trail`` is the id of an initiative, or of another trail.

    ``sequence`` is the first entry that is concerned, none where no single one is. ``table`` is where it was seen.
    """

    trail: str | None
    sequence: int | None
    table: str
    problem: str


class NoTerms(Exception):
    """The agreement that an initiative is bound to is not on record."""


def faults(
    trail: str, entries: Sequence[AuditEntry], record: Record, terms_of: Callable[[str, int], Terms | None]
) -> Iterator[Fault]:
    """What is wrong with one trail, and with the rows that follow from it.

    ``entries`` are all of it in the order of their sequence, ``terms_of`` gives the terms of an agreement and version.
    A trail of something else than an initiative has no rows of its own here.
    """
    broken = list(_chain(trail, entries))
    yield from broken
    if not any(record.values()) and not (entries and entries[0].action == Submitted.action):
        return
    if broken or not entries:
        if not entries:
            yield Fault(trail, 1, "audit_entry", "it is on record, and its trail is gone")
        return  # what follows from a broken trail is broken, too, and tells nothing more
    last = record.get("initiative", {}).get((), {}).get("sequence", 0)
    if last > len(entries):
        yield Fault(trail, len(entries) + 1, "audit_entry", f"there were {last} entries: the end is gone")
    try:
        due = derived(entries, terms_of)
    except (ValueError, KeyError, NoTerms) as problem:
        told = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        yield Fault(trail, None, "audit_entry", f"nothing follows from it: {told}")
        return
    for table in due:
        yield from _differences(trail, table, due[table], record.get(table, {}))


def derived(entries: Sequence[AuditEntry], terms_of: Callable[[str, int], Terms | None]) -> dict[str, Rows]:
    """The rows of an initiative, by table, that follow from its whole trail.

    Raises:
        NoTerms: the agreement that it began under is not on record.
        ValueError: nothing follows from the entries.
    """
    first, happened = entries[0], {entry.action for entry in entries}
    if first.action != Submitted.action:
        raise ValueError("an initiative begins with its submission")
    begun = Submitted.model_validate(first.body)
    terms = terms_of(begun.agreement, begun.agreement_version)
    if terms is None:
        raise NoTerms(f"there is no version {begun.agreement_version} of {begun.agreement}")
    beginning = InitiativeState(
        id=first.initiative,
        reference=begun.reference,
        terms=terms,
        applicant=Caller(person=first.actor, name="", contact=None),
    )
    state = replay(beginning, entries)
    rows = project(beginning, state, entries)
    form = rows.model_dump()
    initiative = {key: form[key] for key in form.keys() - _LISTS} | {
        "agreement_id": rows.agreement,
        "people": [] if RecordRedacted.action in happened else list(rows.people),
        "waits_for": list(rows.waits_for),
    }
    del initiative["agreement"]
    return {
        "initiative": {(): initiative},
        "waiting": in_any_order(map(_plain, rows.waiting)),
        "proposal_version": {(one.number,): _plain(one) for one in rows.versions},
        "matter": {
            (one.number,): {
                "kind": one.kind.value,
                "content_hash": one.content_hash,
                "outcome": one.outcome.value if one.outcome is not None else None,
                "body": _json(one),
            }
            for one in rows.matters
        },
        "condition": {(one.number,): {"body": _json(one)} for one in rows.conditions or ()},
        "tranche": {(one.number,): {"body": _json(one)} for one in rows.tranches},
        "report": {
            (one.number,): {"due_at": one.due_at, "state": one.state.value, "body": _json(one)}
            for one in rows.reports
        },
        "event": {
            (one.sequence,): {"type": one.type, "at": one.at, "data": one.data}
            for one in events_of(state.reference, entries)
        },
        "ledger": {
            (one.sequence, one.number): {
                **one.model_dump(exclude={"initiative", "sequence", "number", "entries"}),
                "entries": debits_first(one.entries),
            }
            for one in ledger_of(entries)
        },
        "deferral": {(): {"budgets": sorted(rows.deferred or ())}}
        if CommitmentsDeferred.action in happened
        else {},
        "payment_instruction": dict(_instructions(entries)),
    }


def in_any_order(waiting: Iterable[Row]) -> dict[tuple[Any, ...], Row]:
    """Who is waited for, whatever order the rows of it have."""
    rows = sorted(waiting, key=lambda one: [str(one[name]) for name in _WAITED])
    return {(i,): one for i, one in enumerate(rows)}


def debits_first(lines: Iterable[Entry]) -> list[dict[str, Any]]:
    """The lines of a transaction, in the order that books have them in."""
    return [one.model_dump() for one in sorted(lines, key=lambda one: (-one.minor, one.account))]


_WAITED: Final = ("task", "number", "directorate", "office", "since")
"""What tells apart who is waited for."""


def _instructions(entries: Sequence[AuditEntry]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    for entry in entries:
        if entry.action == TrancheInstructed.action:
            one = TrancheInstructed.model_validate(entry.body)
            for side, instructions in one.instructions.items():
                for told in instructions:
                    yield (
                        (told.end_to_end_id,),
                        {
                            "tranche": one.number,
                            "directorate": side,
                            "minor": told.amount.minor,
                            "unit": told.amount.unit,
                        },
                    )


_LISTS: Final = frozenset(
    {
        *("waiting", "versions", "matters", "tranches", "reports", "conditions", "deferred"),
        *("tranches_gone", "reports_gone"),
    }
)
"""The fields of a projection that are rows of other tables."""

_OFTEN_LATER: Final = frozenset({"payment_instruction"})
"""What a side's own worker writes when it gets to it: it may not be there yet."""


def _chain(trail: str, entries: Sequence[AuditEntry]) -> Iterator[Fault]:
    """Entries that were altered, are missing, or do not continue the one before."""
    for one in audit.breaks(entries):
        if one.problem == audit.ALTERED or one.sequence == one.due:
            yield Fault(trail, one.sequence, "audit_entry", f"it {one.problem}")
        elif one.problem != audit.DISCONTINUED:  # it cannot, where another was due
            yield Fault(trail, one.due, "audit_entry", f"entry {one.sequence} {one.problem}")


def _differences(trail: str, table: str, due: Rows, there: Rows) -> Iterator[Fault]:
    for key in sorted(due.keys() | there.keys(), key=repr):
        named = " ".join(["row", *map(str, key)])
        row, found = due.get(key), there.get(key)
        if found is None:
            if table not in _OFTEN_LATER:
                yield Fault(trail, None, table, f"{named} is missing")
            continue
        if row is None:
            yield Fault(trail, None, table, f"{named} was added")
            continue
        differing = sorted(name for name in row if row[name] != found.get(name))
        if differing:
            yield Fault(trail, None, table, f"{named} says another {', '.join(differing)}")


def _plain(model: Model) -> dict[str, Any]:
    """A row of plain values and instants."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in model.model_dump().items()
    }


def _json(model: Model) -> Any:
    """A body, as it is written."""
    return json.loads(model.model_dump_json())

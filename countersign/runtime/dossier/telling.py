"""The entries of a trail told in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from countersign.domain.amounts import Amount
from countersign.domain.audit import AuditEntry

Body = Mapping[str, Any]

SENTENCES: Final[dict[str, str]] = {
    "initiative.submitted": "The proposal was submitted, under version {agreement_version} of {agreement}.",
    "stage.entered": "It entered the stage {stage}{reason}.",
    "eligibility.checked": "Version {version} was checked for eligibility: {faults}.",
    "matter.opened": "Matter {number}, {kind}, was put before the sides: {about}.",
    "matter.signed": "{name} signed matter {matter} for {office} of {directorate}: {response}{reasons}.",
    "matter.sign_off_struck": "The sign-off of {person} in matter {matter} counts no more.",
    "matter.position_reached": "The position of {position} in matter {matter} was in.",
    "matter.position_withdrawn": "The position of {directorate} in matter {matter} was in no more.",
    "matter.countersigned": "{directorate} signed its position in matter {matter} with its key.",
    "matter.decided": "Matter {matter} was decided: {outcome}.",
    "matter.lapsed": "Matter {matter} lapsed; silent were {silent}.",
    "matter.voided": "Matter {matter} became void: {reason}.",
    "matter.reminded": "{office} of {directorate} was reminded of matter {matter}, at {percent} % of its time.",
    "matter.escalated": "The silence of {office} of {directorate} in matter {matter} was escalated.",
    "matter.deadline_extended": "{directorate} has until {deadline} in matter {matter}: {reasons}.",
    "conflict.declared": "An interest was declared: {reasons}.",
    "condition.set": "Conditions were set: {conditions}.",
    "condition.evidenced": "Evidence was given for condition {number}: {text}.",
    "condition.cleared": "Condition {number} was cleared by {office}.",
    "condition.evidence_refused": "{office} refused the evidence for condition {number}: {reasons}.",
    "proposal.revised": "Version {version} of the proposal was submitted.",
    "proposal.corrected": "Version {version} of the proposal corrects what nothing was decided on.",
    "commitment.fixed": "The money of each side was reserved: {commitments}.",
    "commitment.deferred": "Too little money was left; it waits.",
    "commitment.released": "What was reserved or committed and not paid was given back.",
    "agreement.drawn_up": "The funding agreements were drawn up, edition {edition}.",
    "tranche.planned": "{tranches} tranches were planned.",
    "tranche.due": "Tranche {number} fell due.",
    "tranche.reduced": "Tranche {number} of {directorate} was reduced to {amounts}.",
    "tranche.authorised": "{directorate}'s part of tranche {number} was authorised.",
    "tranche.instructed": "The banks were told to pay tranche {number}.",
    "tranche.paid": "{directorate}'s part of tranche {number} was confirmed as paid: {amounts}.",
    "tranche.claimed": "What was paid and not spent was claimed back.",
    "tranche.recovered": "{directorate}'s claim of tranche {number} has come in: {amounts}.",
    "tranche.written_off": "{directorate} gave up its claim of tranche {number}: {reasons}.",
    "tranche.held": "{directorate} held its part of tranche {number}: {reasons}.",
    "tranche.resumed": "{directorate} let its part of tranche {number} go on: {reasons}.",
    "tranche.diverged": "Of tranche {number} some sides had paid and others not: {unpaid}.",
    "tranche.settled": "{directorate}'s part of tranche {number} was booked and confirmed.",
    "payment.booked": "The bank of {directorate} booked a payment of {amount} of tranche {number}.",
    "payment.failed": "A payment of {amount} of {directorate}'s part of tranche {number} came back.",
    "report.scheduled": "{reports} reports were scheduled.",
    "report.reminded": "The applicants were reminded of report {number}.",
    "report.overdue": "Report {number} was overdue.",
    "report.escalated": "Report {number} is so late that every side was told.",
    "report.cut_short": "Report {number} became the last one.",
    "report.submitted": "Report {number} was submitted, version {version}: {costs}.",
    "report.accepted": "Report {number} was accepted.",
    "report.changes_requested": "Report {number} was returned.",
    "report.costs_disallowed": "{directorate} disallowed {amount} of {partner} in report {number}: {reasons}.",
    "report.waiver_given": "{directorate} does without report {number}: {reasons}.",
    "report.waived": "Every side does without report {number}.",
    "amendment.asked": "Amendment {number} was asked for, a {weight} one: {reasons}.",
    "amendment.made": "Amendment {number} is in force.",
    "amendment.notified": "Amendment {number} was notified, and is in force.",
    "amendment.rejected": "Amendment {number} came to nothing: {reason}.",
    "complaint.lodged": "A complaint was lodged: {reasons}.",
    "complaint.window_opened": "It may be complained of until {until}.",
    "initiative.withdrawn": "It was withdrawn: {reasons}.",
    "initiative.terminated": "{directorate} terminated it: {reasons}.",
    "initiative.reinstated": "The termination was undone by complaint {complaint}.",
    "suspension.announced": "{directorate} announced a suspension: {reasons}.",
    "suspension.withdrawn": "{directorate} took back its announcement of a suspension.",
    "termination.announced": "{directorate} announced a termination: {reasons}.",
    "termination.withdrawn": "{directorate} took back its announcement of a termination.",
    "resumption.asked": "It was asked that it goes on: {reasons}.",
    "closure.certified": "The closure was certified.",
    "record.redacted": "The people in {documents} documents were redacted.",
    "message.refused": "A message did not count, {code}: {detail}.",
}
"""By action. What another version of the system writes is told by its name."""

_PLAIN_LISTS: Final = frozenset({"silent", "unpaid", "faults"})


def sentence(entry: AuditEntry) -> str:
    """What an entry says."""
    template = SENTENCES.get(entry.action)
    if template is None:
        return entry.action
    return template.format_map(_Words(entry.body)).replace("..", ".")


class _Words(dict[str, str]):
    """The words of a body, for a sentence; what it does not say is left open."""

    def __init__(self, body: Body) -> None:
        super().__init__({key: _word(key, value) for key, value in body.items()})
        for key in ("reason", "reasons"):
            # Where they follow a word, with what they follow it by.
            if key in body and ("stage" in body or "response" in body):
                self[key] = f", {self[key]}"

    def __missing__(self, key: str) -> str:
        return {"reason": "", "reasons": "", "faults": "nothing is against it"}.get(key, "—")


def _word(key: str, value: Any) -> str:
    if isinstance(value, dict):
        if {"minor", "unit"} <= value.keys():
            return str(Amount(value["minor"], value["unit"]))
        if key == "position":
            return str(value["directorate"])
        return "; ".join(f"{name}: {_word(key, one)}" for name, one in value.items())
    if isinstance(value, list):
        if not value:
            return "nothing is against it" if key == "faults" else "none"
        if key in _PLAIN_LISTS or all(isinstance(one, dict) and "minor" in one for one in value):
            return ", ".join(_word(key, one) for one in value)
        if key == "conditions":
            return "; ".join(one["text"] if isinstance(one, dict) else str(one) for one in value)
        return str(len(value))
    return words(str(value)) if key in ("stage", "outcome", "response", "office", "kind") else str(value)


def words(name: str) -> str:
    """A word of the system's as people write it."""
    return name.replace("_", " ")

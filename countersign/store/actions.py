"""Every action name of the audit trail, in which trail it stands, and what it says: one table, as data.

``docs/trail.md`` is generated from here: ``python -m countersign.store.actions > docs/trail.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from countersign.store import accesses, budgets, histories, mandates, statements


@dataclass(frozen=True, slots=True)
class Trail:
    """A kind of trail: whose it is, who continues it, and what can stand in it, each action with its sentence."""

    name: str
    about: str
    actions: Mapping[str, str]


TRAILS: Final = (
    Trail(
        "Of an initiative",
        "One for each initiative, under its id; its workflow alone continues it. What nobody does, `system` does.",
        {
            "initiative.submitted": "An applicant submitted the proposal, under a version of the agreement.",
            "stage.entered": "The initiative moved to another stage.",
            "eligibility.checked": "A version of the proposal was held against the agreement's conditions.",
            "proposal.revised": "The applicants brought a new version after a return.",
            "proposal.corrected": "The applicants brought a version in which nothing that is decided on changed.",
            "initiative.withdrawn": "The applicants withdrew it.",
            "message.refused": "A message did not count, and why.",
            "matter.opened": "Something was put before every side, with each side's chain and deadline.",
            "matter.signed": "Somebody signed off at their office's step.",
            "matter.sign_off_struck": "A sign-off counts no longer, since who gave it declared an interest.",
            "matter.position_reached": "A side's chain came to its end: its position is in.",
            "matter.position_withdrawn": "A side's position is in no longer: another one took a sign-off's place.",
            "matter.reminded": "An office that keeps silent was reminded.",
            "matter.escalated": "A side's deadline is over: another office of it was told.",
            "matter.deadline_extended": "A side's head gave that side more time.",
            "matter.countersigned": "A side signed its position with its own key.",
            "matter.decided": "Every side's position is in and countersigned: what they come to together.",
            "matter.lapsed": "A side kept silent beyond its deadline and the grace after it.",
            "matter.voided": "A matter counts no longer, as what it was about has changed.",
            "conflict.declared": "An office holder declared an interest of their own.",
            "condition.set": "The sides' conditions for an approval.",
            "condition.evidenced": "The applicants showed that a condition is met.",
            "condition.cleared": "The side that set a condition says that it is met.",
            "condition.evidence_refused": "The side that set a condition says that what was shown does not suffice.",
            "commitment.fixed": "What each side is to pay, as the joint decision says.",
            "commitment.deferred": "Approved, and too little is left of a budget: it waits in its place.",
            "commitment.released": "What was still reserved is given back.",
            "agreement.drawn_up": "Every side's funding agreement was drawn up; a later edition when one ran out.",
            "tranche.planned": "The tranches that the commitments are paid in.",
            "tranche.due": "A tranche may be authorised.",
            "tranche.reduced": "A side's part of the closing tranche was cut to what its accepted costs leave to pay.",
            "tranche.authorised": "A finance officer let a side's part go.",
            "tranche.instructed": "Every side has authorised, and the banks are told.",
            "tranche.paid": "Another finance officer confirmed that a side's part was paid.",
            "tranche.settled": "A side's part is confirmed by its officers, and all of it booked by its bank.",
            "tranche.held": "A side stopped its own part.",
            "tranche.resumed": "A side let its held part go on.",
            "tranche.diverged": "One side has paid and another has not, beyond the limit.",
            "tranche.claimed": "What was paid and not spent is claimed back.",
            "tranche.recovered": "A finance officer confirmed that a claim has come in.",
            "tranche.written_off": "The head of a side gave up a claim.",
            "payment.booked": "A side's bank says that a payment left the account.",
            "payment.failed": "A side's bank says that a payment came back, and by which code.",
            "report.scheduled": "The reports that are due, and when.",
            "report.reminded": "The applicants were reminded of a report.",
            "report.overdue": "A report did not come in time.",
            "report.escalated": "A report is so late that every side's secretariat was told.",
            "report.cut_short": "After a termination: this report is the last one.",
            "report.submitted": "The applicants submitted a report, or another version of it.",
            "report.changes_requested": "A report was returned, with each side's reasons.",
            "report.accepted": "Every side accepted a report.",
            "report.waiver_given": "A side does without a report.",
            "report.waived": "Every side does without a report.",
            "report.costs_disallowed": "The side that certified costs says that they are ineligible.",
            "amendment.asked": "Another version of the proposal, or of the agreement for it, is asked for.",
            "amendment.notified": "A minor amendment is in force.",
            "amendment.made": "A major amendment, which every side approved, is in force.",
            "amendment.rejected": "An amendment came to nothing, and why.",
            "suspension.announced": "A side announced that it suspends the initiative.",
            "suspension.withdrawn": "A side took that back before it took effect.",
            "resumption.asked": "A side, or the applicants, ask to resume it.",
            "termination.announced": "A side announced that it ends the initiative.",
            "termination.withdrawn": "A side took that back before it took effect.",
            "initiative.terminated": "A side ended it.",
            "complaint.window_opened": "Until when a termination may be complained of.",
            "complaint.lodged": "The applicants complained of its end.",
            "initiative.reinstated": "A complaint was upheld: the termination is undone.",
            "closure.certified": "It is closed; the subject is the certificate.",
            "record.redacted": "Long after the end the people in these documents were redacted.",
        },
    ),
    Trail(
        "Of a side's mandates",
        "One for each directorate; whoever gives or revokes a mandate continues it.",
        {
            mandates.GIVEN: "An office holder let a colleague act for them.",
            mandates.REVOKED: "A mandate was ended at once.",
        },
    ),
    Trail(
        "Of a side's bank statements",
        "One for each directorate; its finance officers continue it.",
        {statements.IMPORTED: "A finance officer brought a bank's statement, and what came of its lines."},
    ),
    Trail(
        "Of a programme's budgets",
        "One for each programme agreement; the worker that takes up its file continues it.",
        {budgets.SET: "The budgets of the agreement's file are in force."},
    ),
    Trail(
        "Of a programme's archive",
        "One for each programme agreement; the worker that archives histories continues it.",
        {
            histories.ARCHIVED: "The workflow history of a run that has ended was archived: with its hashes, and the "
            "builds of the workers that carried it."
        },
    ),
    Trail(
        "Of who looked into the record",
        "One for each audit office, and one for the operators; each entry is by whoever signed in or took something "
        "away, and is written before anything is given out. If it cannot be written, nothing is. Auditors read the "
        "trails of every side, and so these as well: an audit office sees what the other one looked at.",
        {
            accesses.AUDITOR_SIGNED_IN: "An auditor signed in with a browser, or used an access token here for "
            "the first time: `with` which of both, by which issuer, good until when.",
            accesses.OPERATOR_SIGNED_IN: "The same of an operator, who may have what Temporal keeps decoded.",
            accesses.TRAIL_EXPORTED: "An auditor began to take entries away as a file: which form, by which filters.",
            accesses.TRAIL_EXPORT_ENDED: "That file (`export` is the sequence of its entry) is over: how many entries "
            "were given out, and whether these were all (`whole`). Where it is missing, the process was ended before.",
            accesses.HISTORY_EXPORTED: "An auditor took an initiative's workflow history away as Temporal's own JSON.",
            accesses.DOSSIER_EXPORTED: "An auditor took an initiative's dossier away.",
            accesses.ATTACHMENT_DOWNLOADED: "A document was downloaded by a link that was made for an auditor; the "
            "subject is its hash.",
        },
    ),
)
"""Every kind of trail, in the order of the documentation."""

KNOWN: Final = frozenset(action for one in TRAILS for action in one.actions)
"""Every action there is."""


def as_markdown() -> str:
    """The table as the documentation shows it."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# What is on the audit trail"
    yield ""
    yield "Generated by `python -m countersign.store.actions > docs/trail.md`; a test holds it against the code."
    yield ""
    yield "Every entry says what happened (its action), who did it and on whose behalf, when, about which content"
    yield "(`subject`), by which message, and the hash of the entry before it. Entries are only ever added: rights and"
    yield "triggers of the database hold that, each comes into the [log](terms.md), and `countersign audit verify`"
    yield "checks all of them. `countersign audit search --action …` finds them for auditors, in whichever trail."
    for one in TRAILS:
        yield ""
        yield f"## {one.name}"
        yield ""
        yield one.about
        yield ""
        yield "| action | says |"
        yield "| --- | --- |"
        for action, sentence in one.actions.items():
            yield f"| `{action}` | {sentence} |"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())

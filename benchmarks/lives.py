"""Initiatives carried by the rules alone, as the workflow carries them, to be cast in great numbers (bulk.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from joserfc.jwk import OKPKey

from countersign.activities.signing import sign
from countersign.cli.rehearsal import report_due
from countersign.domain import rules, schedule, steps
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.canonical import canonical_json
from countersign.domain.commands import (
    AnyCommand,
    AuthoriseTranche,
    ClearCondition,
    ConfirmTranche,
    ExaminedProposal,
    ExaminedReport,
    GiveEvidence,
    Revise,
    SubmitReport,
    fingerprint,
    kind_of,
)
from countersign.domain.decision import position_document
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import Happened, ReportScheduled
from countersign.domain.initiative import InitiativeState, entries_for
from countersign.domain.matter import Caller, Response, SignOff
from countersign.domain.projection import Step, Task, Waiting, step_of, waited_for
from countersign.domain.proposal import Proposal, contact_key, summarise
from countersign.domain.reporting import costs_per_partner, costs_per_side
from countersign.domain.stage import OPENS, Stage
from countersign.domain.steps import Deadlines

START: Final = datetime(2101, 1, 3, 8, 30, 0, 204_518, tzinfo=UTC)
"""Far from every other date, so that the instants of a life are told from those of the agreement."""

LEAD: Final = "mould-lead"
EMAIL: Final = f"{LEAD}@applicants.countersign.example"
TITLE: Final = "MOULD-TITLE"
REFERENCE: Final = "MOULD-REFERENCE"
IDENTIFIER: Final = "03c22f2e-1a00-7d4c-8d4c-4d4f554c4400"
"""What is different from one initiative to the next of the same life."""

DAYS: Final = 30
"""Calendar days that everybody has, in place of the working days that an activity counts."""


@dataclass(frozen=True)
class Derived:
    """A value that follows from others: ``source`` are the bytes it is the digest of, or signed by ``side``."""

    value: str
    kind: str
    source: bytes
    side: str = ""


@dataclass(frozen=True)
class Instructed:
    """What a side's worker handed to its bank."""

    tranche: int
    side: str
    instructions: tuple[Any, ...]
    at: datetime


class Life:
    """One initiative and everything that was written of it; ``derived`` is in the order in which it came to be."""

    def __init__(self, agreement: ProgrammeAgreement, proposal: Proposal, keys: Path) -> None:
        self.now = START
        self.derived: dict[str, Derived] = {}
        self.steps: list[Step] = []
        self.documents: dict[str, dict[str, Any]] = {}
        self.instructed: list[Instructed] = []
        self.applicant = Caller(
            person=f"applicants/{LEAD}", name="Dr Almonit Plonit", contact=contact_key(EMAIL)
        )
        self.state = InitiativeState(
            id=IDENTIFIER, reference=REFERENCE, terms=agreement.terms(), applicant=self.applicant
        )
        self._keys = {
            side: OKPKey.import_key(json.loads((keys / f"{side}.jwk.json").read_text()))
            for side in agreement.directorate_ids
        }
        self._checked = self._messages = 0
        self._proposal = self._put(proposal)
        self._write(
            steps.submitted(
                self.state, ExaminedProposal(summary=summarise(proposal)), proposal.content_hash()
            )
        )
        self._settle()

    @property
    def entries(self) -> int:
        return self.state.sequence

    @property
    def stage(self) -> Stage:
        assert self.state.stage is not None
        return self.state.stage

    def go_on(self, until: Callable[[Life], bool]) -> None:
        """Everybody does what they are waited for, until something is so."""
        while not until(self):
            waits = min(waited_for(self.state), key=lambda one: one.task is Task.REPORT)
            self._do(waits)

    def refuse(self, times: int) -> None:
        """So many messages that do not count, of people who hold another office than the one waited for."""
        for number in range(times):
            side = self.state.terms.directorates[number % len(self.state.terms.directorates)]
            self._sign(len(self.state.matters), side, "secretariat", Response.APPROVE)

    def respond(self, response: Response) -> None:
        """The first office of every side answers the open matter in this way, whoever follows approves."""
        number = len(self.state.matters)
        for side in self.state.terms.directorates:
            first = True
            while (found := self.state.matter(number)) and found.is_open and side in found.missing:
                office = next(
                    w.office for w in waited_for(self.state) if (w.number, w.directorate) == (number, side)
                )
                self._sign(number, side, office or "", response if first else Response.APPROVE)
                first = False

    # ---- people

    def _do(self, one: Waiting) -> None:
        side, office, number = one.directorate or "", one.office or "", one.number
        self.now += timedelta(hours=19, minutes=11, seconds=7, microseconds=31_003)
        match one.task:
            case Task.SIGN_OFF:
                self._sign(number, side, office, Response.APPROVE)
            case Task.NEW_VERSION:
                self._revise()
            case Task.EVIDENCE:
                self._send(
                    GiveEvidence(
                        id=self._id(), caller=self.applicant, condition=number, text="See the annex."
                    )
                )
            case Task.CLEAR_CONDITION:
                self._send(ClearCondition(id=self._id(), caller=_holder(side, office), condition=number))
            case Task.AUTHORISE:
                self._send(
                    AuthoriseTranche(
                        id=self._id(), caller=_holder(side, "finance-1"), tranche=number, directorate=side
                    )
                )
            case Task.CONFIRM:
                self._send(
                    ConfirmTranche(
                        id=self._id(), caller=_holder(side, "finance-2"), tranche=number, directorate=side
                    )
                )
            case Task.REPORT:
                self._report(one)
            case _:
                raise AssertionError(f"nobody does {one.task}")

    def _sign(self, number: int, side: str, office: str, response: Response) -> None:
        matter = self.state.matter(number)
        assert matter is not None
        self._send(
            SignOff(
                id=self._id(),
                matter=number,
                response=response,
                content_hash=matter.content_hash,
                caller=_holder(side, office),
                reasons="It should be otherwise." if response in (Response.RETURN, Response.REFUSE) else None,
                conditions=(f"A word with {side}.",) if response is Response.APPROVE_WITH_CONDITIONS else (),
            )
        )

    def _revise(self) -> None:
        body = self._proposal.document_form()
        body["title"]["en"] += f", version {self.state.version + 1}"
        self._proposal = self._put(Proposal.model_validate(body))
        command = Revise(
            id=self._id(),
            caller=self.applicant,
            content_hash=self._proposal.content_hash(),
            replaces=self.state.content_hash,
        )
        self._send(command, ExaminedProposal(summary=summarise(self._proposal), changed=("title.en",)))

    def _report(self, due: Waiting) -> None:
        self.now = max(self.now, due.since + timedelta(hours=30))
        report = report_due(self._proposal, due.number, self.state.reports)
        report = report.model_copy(
            update={"narrative": {"en": f"Period {due.number} of {TITLE}, as planned."}}
        )
        self._keep(report.content_hash(), report.document_form())
        command = SubmitReport(
            id=self._id(), caller=self.applicant, report=due.number, content_hash=report.content_hash()
        )
        costs = costs_per_side(report, self.state.proposal)
        self._send(command, ExaminedReport(costs=costs, by_partner=costs_per_partner(report)))

    def _send(self, command: AnyCommand, examined: rules.Examined = None) -> None:
        said = {"kind": kind_of(command), "said": command.model_dump(mode="json", exclude={"id", "caller"})}
        self._derive(fingerprint(command), "fingerprint", canonical_json(said))
        try:
            happened = rules.receive(
                self.state, command, self.now, examined=examined, deadlines=self._deadlines()
            )
        except RuleBroken as broken:
            happened = [rules.refused(command, broken)]
        self._write(happened)
        self._settle()

    def _id(self) -> str:
        self._messages += 1
        return str(uuid5(NAMESPACE_URL, f"{id(self)}/{self._messages}"))

    # ---- the steps of the workflow

    def _settle(self) -> None:
        while happened := self._step():
            self._write(happened)

    def _step(self) -> list[Happened]:
        state = self.state
        for matter in state.matters:
            for side in matter.unsigned if matter.is_open else ():
                position = matter.positions[side]
                document = position_document(state, matter, position)
                jws = sign(document, self._keys[side])
                self._derive(jws, "jws", canonical_json(document), side)
                return steps.countersigned(state, matter.number, position, matter.content_hash, jws)
        for tranche in steps.released(state):
            happened = steps.instructed(state, tranche.number, steps.to_instruct(state, tranche))
            self._instruct(tranche.number, happened[0].fact)
            return happened
        if state.stage in (Stage.SUBMITTED, Stage.REVISION):
            if state.version == self._checked:
                return []
            self._checked = state.version
            return steps.eligibility(state, state.version, self._deadlines())
        if state.stage is Stage.CONDITIONS:
            met = all(one.cleared_by for one in state.conditions)
            return self._enter(Stage.CONTRACTING) if met else []
        if state.stage is Stage.ACTIVE:
            return self._enter(Stage.CLOSING) if state.next_report() is None and steps.all_paid(state) else []
        if state.stage is None or state.stage not in OPENS:
            return []
        return self._after_the_matter()

    def _after_the_matter(self) -> list[Happened]:
        state = self.state
        kind = OPENS[self.stage]
        matter = state.last_matter(kind)
        assert matter is not None
        if matter.outcome is None:
            return []
        following = steps.NEXT[kind].get(matter.outcome)
        if following is None:
            return steps.reopen(state, self.stage, matter.number, self._deadlines())
        if following is Stage.ACTIVE:
            return steps.activate(state, self._schedule())
        if following is Stage.CLOSED:
            released = steps.release_closing_tranche(state)
            return released or (self._enter(Stage.CLOSED) if steps.all_paid(state) else [])
        return self._enter(following)

    def _enter(self, stage: Stage) -> list[Happened]:
        due = self.now + timedelta(days=DAYS)
        return steps.enter(
            self.state,
            self.stage,
            stage,
            deadline=due if stage in (Stage.REVISION, Stage.CONDITIONS) else None,
            deadlines=self._deadlines(),
            conditions_due=dict.fromkeys(self.state.terms.directorates, due),
        )

    def _schedule(self) -> tuple[ReportScheduled, ...]:
        proposal, rules, due = self.state.proposal, self.state.terms.reporting, timedelta(days=DAYS)
        return tuple(
            ReportScheduled(**one.model_dump(), due_at=one.ends_at + due)
            for one in schedule.periods(self.now, proposal.duration_months, rules, proposal.milestones)
        )

    def _deadlines(self) -> Deadlines:
        due = self.now + timedelta(days=DAYS)
        return Deadlines(
            per_directorate=dict.fromkeys(self.state.terms.directorates, due),
            lapses_at=due + timedelta(days=DAYS // 2),
        )

    def _instruct(self, number: int, fact: Any) -> None:
        for side, instructions in fact.instructions.items():
            self.instructed.append(Instructed(number, side, instructions, self.now))
            for one in instructions:
                payee = "/".join(part for part in (side, one.partner, one.amount.unit) if part)
                attempt = f"{IDENTIFIER}/{number}/{payee}/{one.attempt or 1}"
                self._derive(one.end_to_end_id, "end_to_end", attempt.encode())

    # ---- what is written

    def _write(self, happened: list[Happened]) -> None:
        if not happened:
            return
        before = self.state
        self.state, entries = entries_for(before, happened, self.now)
        step = step_of(before, self.state, entries)
        for content, body in step.documents.items():
            self._keep(content, body)
        for entry in entries:
            self._derive(entry.hash, "sha256", canonical_json(entry.model_dump(exclude={"hash"})))
        self.steps.append(step)
        self.now += timedelta(seconds=1, microseconds=7_919)

    def _put(self, proposal: Proposal) -> Proposal:
        self._keep(proposal.content_hash(), proposal.document_form())
        return proposal

    def _keep(self, content: str, body: dict[str, Any]) -> None:
        self.documents[content] = body
        self._derive(content, "sha256", canonical_json(body))

    def _derive(self, value: str, kind: str, source: bytes, side: str = "") -> None:
        self.derived.setdefault(value, Derived(value, kind, source, side))


def _holder(side: str, office: str) -> Caller:
    """The one who holds an office, by the name that the embedded default has for them."""
    if office.startswith("finance-"):
        return Caller(
            person=f"{side}/{side}-{office}", name=office, directorate=side, offices=("finance_officer",)
        )
    names = {
        "programme_officer": "officer",
        "legal_counsel": "legal",
        "finance_reviewer": "reviewer",
        "deputy_minister": "deputy",
    }
    who = f"{side}/{side}-{names.get(office, office)}"
    return Caller(person=who, name=office, directorate=side, offices=(office,))

"""Doing without a report: every side waives it, and what it would have released is released."""

from __future__ import annotations

from countersign.domain.commands import WaiveReport, fingerprint
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import Happened, ReportWaived, ReportWaiverGiven
from countersign.domain.ground_rules import certifier_of, in_stage, said
from countersign.domain.initiative import InitiativeState
from countersign.domain.stage import Stage
from countersign.domain.steps import released_by_report


def waive(state: InitiativeState, command: WaiveReport) -> list[Happened]:
    """One side does without a report, by an office that would certify it; with the last side it is waived.

    What a period cost is certified with the next report then. The final one is never waived: the accounts rest on it.
    """
    side = certifier_of(state, command.caller, "waives a report for it")
    in_stage(state, Stage.ACTIVE, Stage.SUSPENDED)
    report = state.report(command.report)
    if report is None:
        raise RuleBroken("not_found", f"there is no report {command.report}")
    if report.final:
        raise RuleBroken("invalid", "the final report is not waived")
    if not report.is_open or state.next_report() is not report:
        raise RuleBroken("out_of_order", f"the report is {report.state}, or an earlier one is waited for")
    given = report.waived_by or ()
    if side in given:
        raise RuleBroken("out_of_order", "your side has waived it already")
    waiver = ReportWaiverGiven(
        number=report.number, directorate=side, reasons=command.reasons, fingerprint=fingerprint(command)
    )
    happened = [said(command, waiver)]
    if {*given, side} < set(state.terms.sides):
        return happened
    return [
        *happened,
        Happened(ReportWaived(number=report.number)),
        *released_by_report(state, report.number),
    ]

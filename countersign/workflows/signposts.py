"""What Temporal's own tools show of an initiative: attributes that it is found by, and in words where it stands.

Attributes are kept in plain text, so they hold what nobody keeps from an operator: reference, stage, area, and which
sides are waited for. Words are encrypted like every payload.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from countersign.domain.clock import Coming
from countersign.domain.initiative import InitiativeState
from countersign.domain.projection import Waiting, sides_of
from countersign.workflows import options
from countersign.workflows.messages import Submit


def at_start(begin: Submit) -> dict[str, Any]:
    """What a workflow is started with for Temporal's tools: what it is found by, and what it is about."""
    ways = (f"`countersign {one} {begin.reference}`" for one in ("show", "history", "audit show"))
    return {
        "search_attributes": TypedSearchAttributes([SearchAttributePair(options.REFERENCE, begin.reference)]),
        "static_summary": begin.reference,
        "static_details": (
            f"Initiative `{begin.initiative}`, submitted by `{begin.applicant.person}` under version "
            f"{begin.agreement_version} of `{begin.agreement}`.\n\nIts record: {', '.join(ways)}."
        ),
    }


def put_up(state: InitiativeState, waiting: Iterable[Waiting], *, resting: bool = False) -> None:
    """Have an initiative found by where it stands now: one event when anything of that has changed, else none.

    What a run was begun with, and what the run before it had, counts as there. Where nobody is waited for, the next
    step follows at once and says where it stands by then; unless it is ``resting``.
    """
    waits_for = sides_of(waiting)
    if not waits_for and not resting:
        return
    there = workflow.info().typed_search_attributes
    changed = [
        key.value_set(value) if value else key.value_unset()
        for key, value in _attributes(state, waits_for)
        if (there.get(key) or None) != (value or None)
    ]
    if changed:
        workflow.upsert_search_attributes(changed)


def brief(actions: Iterable[str]) -> str:
    """The facts that a step puts on record, as the summary of its activity; Temporal takes a few hundred bytes."""
    first, *more = dict.fromkeys(actions)
    return f"{first} and {len(more)} more" if more else first


def _attributes(
    state: InitiativeState, waits_for: tuple[str, ...]
) -> Iterator[tuple[SearchAttributeKey[Any], Any]]:
    yield options.REFERENCE, state.reference
    yield options.STAGE, state.stage.value if state.stage is not None else None
    yield options.AREA, state.proposal.area
    yield options.WAITS_FOR, list(waits_for)


def tell(state: InitiativeState, waiting: Sequence[Waiting], coming: Coming | None) -> None:
    """Say in the workflow's current details where it stands; they are asked for when somebody looks, and no event."""
    if state.stage is not None:
        workflow.set_current_details("\n".join(_details(state, waiting, coming)))


def _details(state: InitiativeState, waiting: Sequence[Waiting], coming: Coming | None) -> Iterator[str]:
    """Temporal's Markdown."""
    since, until = state.stage_since, state.stage_deadline
    said = f"**{state.stage}**" + (f" since {_at(since)}" if since else "")
    yield said + (f", until {_at(until)}" if until else "")
    if state.stage_reason:
        yield f"\n{state.stage_reason}"
    yield "\nWaits for:\n" if waiting else "\nWaits for nobody."
    yield from _once(f"- {_told(one)}" for one in waiting)
    if coming is not None:
        yield f"\nBy itself goes on with {coming.about} at {_at(coming.at)}."


def _told(one: Waiting) -> str:
    who = ", ".join(filter(None, (f"**{one.directorate or 'applicant'}**", one.office)))
    kind = f" ({one.matter_kind})" if one.matter_kind is not None else ""
    until = f", until {_at(one.deadline)}" if one.deadline is not None else ""
    return f"{who}: {one.task} {one.number}{kind}{until}"


def _once(lines: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(lines)


def _at(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

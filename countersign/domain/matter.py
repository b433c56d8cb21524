"""The joint decision: one mechanism for everything that every side must agree to (DESIGN section 3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, StringConstraints

from countersign.domain.agreement import ChainStep, Identifier, MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.errors import RuleBroken
from countersign.domain.mandate import Mandate, usable
from countersign.domain.model import MessageId, Model, Number, Sha256
from countersign.domain.text import Note, Reasons, clean


class Response(StrEnum):
    """What an office holder, and in the end a side, answers."""

    APPROVE = "approve"
    APPROVE_WITH_CONDITIONS = "approve_with_conditions"
    RETURN = "return"
    REFUSE = "refuse"


GRAVITY: Final = (Response.REFUSE, Response.RETURN, Response.APPROVE_WITH_CONDITIONS, Response.APPROVE)
"""The gravest first: the joint outcome is the gravest position."""

CONDITIONAL: Final = frozenset({MatterKind.PROPOSAL})
"""The kinds in which conditions can be set; elsewhere a side that wants a change returns the matter."""


REMINDERS: Final = (50, 80)
"""Percent of a side's time after which it is reminded."""

OVERDUE: Final = 100
"""Percent of a side's time at which its silence is told to the office that the silent one escalates to."""


class Outcome(StrEnum):
    """What the positions come to. Derived, never entered."""

    APPROVED = "approved"
    APPROVED_WITH_CONDITIONS = "approved_with_conditions"
    RETURNED = "returned"
    REFUSED = "refused"
    LAPSED = "lapsed"
    VOID = "void"


_OUTCOME: Final = {
    Response.APPROVE: Outcome.APPROVED,
    Response.APPROVE_WITH_CONDITIONS: Outcome.APPROVED_WITH_CONDITIONS,
    Response.RETURN: Outcome.RETURNED,
    Response.REFUSE: Outcome.REFUSED,
}


class Caller(Model):
    """Who sent a message, as the issuer of their identity vouched for it.

    ``person`` is ``<issuer key>/<subject>``. ``directorate`` is the side that the issuer is bound to, none for
    applicants; ``offices`` are those that the side's own issuer names. ``contact`` is their ``contact_key``.
    """

    person: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,300}$")]
    name: Annotated[str, StringConstraints(max_length=300), AfterValidator(clean)] = ""
    contact: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None
    directorate: Identifier | None = None
    offices: tuple[Identifier, ...] = Field(default=(), max_length=50)


class SignOff(Model):
    """An office holder's response to the content they saw."""

    id: MessageId
    matter: Number
    response: Response
    content_hash: Sha256
    caller: Caller
    reasons: Reasons | None = None
    conditions: tuple[Note, ...] = Field(default=(), max_length=20)
    comment: Reasons | None = None
    on_behalf_of: MessageId | None = None


class Counted(Model):
    """A sign-off that counts, at the step of the chain where it counted.

    ``replaced`` when a later one took its place, or its signer turned out to have an interest: kept, not counted.
    """

    directorate: str
    step: int
    office: str
    person: str
    name: str
    response: Response
    reasons: str | None = None
    conditions: tuple[str, ...] = ()
    comment: str | None = None
    on_behalf_of: str | None = None
    at: datetime
    replaced: bool = False

    @property
    def people(self) -> frozenset[str]:
        """Whose sign-off it is: the person, and who they signed for."""
        return frozenset({self.person, self.on_behalf_of} - {None})  # type: ignore[arg-type]


class Position(Model):
    """What one side's chain came to."""

    directorate: str
    response: Response
    offices: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    at: datetime


class Matter(Model):
    """Something put before the directorates. ``chains`` are already those that apply to this initiative.

    ``countersigned`` is each side's JWS over its position, ``decision`` the content hash of the joint decision.
    ``clocks`` is when a side's time began anew (an extension), ``reminded`` the percent of its time at which it was
    reminded last, ``escalated`` the office that was told of another one's silence; it does not sign in its place.
    """

    number: int
    kind: MatterKind
    content_hash: str
    about: str = ""
    opened_at: datetime
    chains: dict[str, tuple[ChainStep, ...]]
    deadlines: dict[str, datetime]
    lapses_at: datetime | None = None
    clocks: dict[str, datetime] = Field(default_factory=dict)
    reminded: dict[str, int] = Field(default_factory=dict)
    escalated: dict[str, str] = Field(default_factory=dict)
    counted: tuple[Counted, ...] = ()
    positions: dict[str, Position] = Field(default_factory=dict)
    countersigned: dict[str, str] = Field(default_factory=dict)
    decision: str | None = None
    outcome: Outcome | None = None
    closed_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.outcome is None

    @property
    def standing(self) -> tuple[Counted, ...]:
        """The sign-offs that count now."""
        return tuple(one for one in self.counted if not one.replaced)

    @property
    def missing(self) -> tuple[str, ...]:
        """The directorates whose position is still waited for."""
        return tuple(one for one in self.chains if one not in self.positions)

    @property
    def unsigned(self) -> tuple[str, ...]:
        """The directorates whose position is in and not yet signed with their key."""
        return tuple(one for one in self.positions if one not in self.countersigned)

    @property
    def why(self) -> str | None:
        """The reasons of those who decided, side by side; only for when every position is in."""
        return (
            "; ".join(f"{side}: {text}" for side, one in self.positions.items() for text in one.reasons)
            or None
        )

    def released(self, now: datetime) -> bool:
        """Whether the positions may be seen by the other side: all are in, or a deadline has passed."""
        return not self.missing or any(now > one for one in self.deadlines.values())


def applicable(chain: Sequence[ChainStep], requested: Sequence[Amount]) -> tuple[ChainStep, ...]:
    """The steps of a chain that apply to what is asked of that side."""
    asked = {amount.unit: amount for amount in requested}

    def applies(step: ChainStep) -> bool:
        if step.above is None:
            return True
        amount = asked.get(step.above.unit)
        return amount is not None and amount > step.above

    return tuple(step for step in chain if applies(step))


def waiting_step(matter: Matter, directorate: str) -> int | None:
    """The index of the step that a side's chain waits at; none when its position is in."""
    if directorate not in matter.chains or directorate in matter.positions:
        return None
    for index, step in enumerate(matter.chains[directorate]):
        if sum(one.directorate == directorate and one.step == index for one in matter.standing) < step.need:
            return index
    return None


def count(
    matter: Matter,
    sign_off: SignOff,
    barred: frozenset[str],
    now: datetime,
    *,
    mandates: Sequence[Mandate] = (),
    requested: Sequence[Amount] = (),
) -> Counted:
    """The sign-off as it counts.

    ``barred`` holds the persons and contact keys that may not decide on this initiative, ``mandates`` what the
    caller was given, ``requested`` what the initiative asks of the caller's side.

    Raises:
        RuleBroken: ``not_your_office``, ``mandate_exceeded``, ``mandate_expired``, ``conflict_of_interest``,
            ``matter_closed``, ``stale_content``, ``already_signed`` or ``invalid``, in this order, so that a
            stranger learns nothing of the matter.
    """
    caller = sign_off.caller
    side = caller.directorate or ""
    if side not in matter.chains:
        raise RuleBroken("not_your_office", "no step of this matter's chains belongs to an office you hold")
    offices, contacts = frozenset(caller.offices), {caller.contact}
    if sign_off.on_behalf_of is not None:
        mandate = usable(
            mandates,
            delegator=sign_off.on_behalf_of,
            delegate=caller.person,
            directorate=side,
            kind=matter.kind,
            requested=requested,
            now=now,
        )
        offices, contacts = frozenset(mandate.offices), {caller.contact, mandate.delegator_contact}
    people = frozenset({caller.person, sign_off.on_behalf_of} - {None})
    if not {step.office for step in matter.chains[side]} & offices:
        raise RuleBroken("not_your_office", "no step of this matter's chains belongs to an office you hold")
    if (people | contacts) & barred:
        raise RuleBroken("conflict_of_interest", "you, or who you sign for, have a part in this initiative")
    if not matter.is_open:
        raise RuleBroken("matter_closed", f"matter {matter.number} is {matter.outcome}")
    if sign_off.content_hash != matter.content_hash:
        raise RuleBroken("stale_content", f"before the directorates is {matter.content_hash}")
    index = waiting_step(matter, side)
    replaced = _replaceable(matter, side, people, offices) if index is None else None
    if any(one.people & people for one in matter.standing if one is not replaced):
        raise RuleBroken("already_signed", "you, or who you sign for, have signed in this matter already")
    if index is None:
        if replaced is None or _same(replaced, sign_off):
            raise RuleBroken("already_signed", "your side's position is already in")
        index = replaced.step
    own = matter.chains[side][index].office
    if own not in offices:
        raise RuleBroken("not_your_office", f"your side waits for its office {own!r} now")
    check_form(matter.kind, sign_off)
    return Counted(
        directorate=side,
        step=index,
        office=own,
        person=caller.person,
        name=caller.name,
        response=sign_off.response,
        reasons=sign_off.reasons,
        conditions=sign_off.conditions,
        comment=sign_off.comment,
        on_behalf_of=sign_off.on_behalf_of,
        at=now,
    )


def _same(counted: Counted, sign_off: SignOff) -> bool:
    """Whether a sign-off says what was said already, so that there is nothing to change."""
    said = (sign_off.response, sign_off.reasons, sign_off.conditions)
    return (counted.response, counted.reasons, counted.conditions) == said


def _replaceable(
    matter: Matter, directorate: str, people: frozenset[str | None], offices: frozenset[str]
) -> Counted | None:
    """The sign-off by which a side's position came in, if these people may put another in its place.

    Whoever gave it may, and where one holder's word is enough any other holder of that office.
    """
    own = [one for one in matter.standing if one.directorate == directorate]
    if not own or not matter.missing:
        return None
    last = own[-1]
    step = matter.chains[directorate][last.step]
    if last.people & people or (step.need == 1 and last.office in offices):
        return last
    return None


def replaced_by(matter: Matter, counted: Counted) -> Counted | None:
    """The sign-off whose place a newly counted one takes: the one that had brought its side's position."""
    if counted.directorate not in matter.positions:
        return None
    return [one for one in matter.standing if one.directorate == counted.directorate][-1]


def check_form(kind: MatterKind, sign_off: SignOff) -> None:
    """Refuse a response that lacks what it needs.

    Raises:
        RuleBroken: ``invalid``.
    """
    response = sign_off.response
    if response in (Response.RETURN, Response.REFUSE) and not sign_off.reasons:
        raise RuleBroken("invalid", f"{response} needs reasons")
    if (response is Response.APPROVE_WITH_CONDITIONS) != bool(sign_off.conditions):
        raise RuleBroken("invalid", "conditions go with approve_with_conditions, and only with it")
    if response is Response.APPROVE_WITH_CONDITIONS and kind not in CONDITIONAL:
        raise RuleBroken("invalid", f"a matter of kind {kind} takes no conditions; return it instead")


def position(matter: Matter, directorate: str, counted: Sequence[Counted]) -> Position | None:
    """The side's position as its standing sign-offs make it, or none while its chain has not ended.

    A return or a refusal ends the chain where it is given; conditions gather along the chain.
    """
    own = [one for one in counted if one.directorate == directorate]
    if not own:
        return None
    gravest = gravest_of([one.response for one in own])
    done = all(
        sum(one.step == index for one in own) >= step.need
        for index, step in enumerate(matter.chains[directorate])
    )
    if not done and gravest not in (Response.REFUSE, Response.RETURN):
        return None
    return Position(
        directorate=directorate,
        response=gravest,
        offices=tuple(dict.fromkeys(one.office for one in own)),
        reasons=tuple(one.reasons for one in own if one.reasons),
        conditions=tuple(dict.fromkeys(text for one in own for text in one.conditions)),
        at=own[-1].at,
    )


def gravest_of(responses: Sequence[Response]) -> Response:
    """The gravest of some responses."""
    return next(one for one in GRAVITY if one in responses)


def outcome(directorates: Sequence[str], positions: Mapping[str, Response]) -> Outcome | None:
    """The joint outcome, or none while a position is missing: the gravest position decides, silence never."""
    if any(one not in positions for one in directorates):
        return None
    return _OUTCOME[gravest_of([positions[one] for one in directorates])]


def seen_by(
    matter: Matter,
    directorate: str | None,
    now: datetime,
    *,
    sees_all: bool = False,
    sealed: Collection[str] = (),
) -> dict[str, Any]:
    """What a viewer may see of each side: the sealed rule, in one place.

    Before release another side shows only that its position is in, never which; its chain stays its own for good.
    Who belongs to no side (an applicant) sees what the other side would see of each. ``sealed`` are sides whose
    position is in and was left out of ``matter`` already.
    """
    released = matter.released(now)
    sides: dict[str, Any] = {}
    for side in matter.chains:
        own = sees_all or side == directorate
        stance = matter.positions.get(side)
        view: dict[str, Any] = {
            "position_in": stance is not None or side in sealed,
            "countersigned": side in matter.countersigned,
            "deadline": matter.deadlines.get(side),
        }
        if stance is not None and (own or released):
            view |= {
                "position": stance.response,
                "reasons": stance.reasons,
                "conditions": stance.conditions,
                "at": stance.at,
            }
        if own:
            index = waiting_step(matter, side) if matter.is_open else None
            view |= {
                "chain": matter.chains[side],
                "sign_offs": tuple(one for one in matter.counted if one.directorate == side),
                "waits_for_office": matter.chains[side][index].office if index is not None else None,
                "escalated_to": matter.escalated.get(side),
            }
        sides[side] = view
    return sides

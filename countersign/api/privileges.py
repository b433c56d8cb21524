"""Who may do what over HTTP: one matrix of route by party, as data. What stands in no row nobody may do.

The door (:func:`at_the_door`) turns away whoever a row refuses, but for messages to an initiative: whoever may see it
is heard by the workflow, which knows the offices of the matter at hand and puts a refusal on the initiative's trail.

``docs/privileges.md`` is generated from here: ``python -m countersign.api.privileges > docs/privileges.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

Role = Literal["staff", "applicant", "auditor", "operator"]


class Party(StrEnum):
    """Who somebody is to what a route is about.

    ``office`` holds the office that acts there, ``side`` another one of the same directorate, ``other_side`` one of
    another directorate, where only one acts.
    """

    ANYBODY = "anybody"
    PARTICIPANT = "participant"
    STRANGER = "stranger"
    OFFICE = "office"
    SIDE = "side"
    OTHER_SIDE = "other_side"
    AUDITOR = "auditor"
    OPERATOR = "operator"


class Verdict(StrEnum):
    """``yes``, or the code of the refusal; ``none`` where there is no such party."""

    YES = "yes"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    NOT_YOUR_OFFICE = "not_your_office"
    NONE = "none"


YES, FORBIDDEN, NOT_FOUND = Verdict.YES, Verdict.FORBIDDEN, Verdict.NOT_FOUND
NOT_YOUR_OFFICE, NONE = Verdict.NOT_YOUR_OFFICE, Verdict.NONE

PARTIES: Final[dict[Role, tuple[Party, ...]]] = {
    "applicant": (Party.PARTICIPANT, Party.STRANGER),
    "staff": (Party.OFFICE, Party.SIDE, Party.OTHER_SIDE),
    "auditor": (Party.AUDITOR,),
    "operator": (Party.OPERATOR,),
}
"""What somebody of a role can be."""


@dataclass(frozen=True, slots=True)
class Privilege:
    """A row: what a route does, who may, and which office acts. ``heard`` is whether the workflow refuses on record."""

    method: str
    path: str
    does: str
    verdicts: dict[Party, Verdict]
    office: str = ""
    heard: bool = False

    def of(self, party: Party) -> Verdict:
        """What the row says of somebody."""
        return self.verdicts.get(party, Verdict.UNAUTHENTICATED if party is Party.ANYBODY else NONE)

    @property
    def is_public(self) -> bool:
        """Whether no token is asked for."""
        return self.of(Party.ANYBODY) is YES


def _row(
    method: str,
    path: str,
    does: str,
    *,
    participant: Verdict,
    stranger: Verdict,
    office: Verdict,
    side: Verdict,
    other_side: Verdict,
    auditor: Verdict,
    operator: Verdict = FORBIDDEN,
    who: str = "",
    heard: bool = False,
) -> Privilege:
    verdicts = {
        Party.PARTICIPANT: participant,
        Party.STRANGER: stranger,
        Party.OFFICE: office,
        Party.SIDE: side,
        Party.OTHER_SIDE: other_side,
        Party.AUDITOR: auditor,
        Party.OPERATOR: operator,
    }
    return Privilege(method, path, does, verdicts, who, heard)


_OF = "/initiatives/{identifier}"


def _read(path: str, does: str) -> Privilege:
    """Of one initiative: everybody reads it but applicants who have no part in it."""
    return _row(
        "GET",
        path,
        does,
        participant=YES,
        stranger=NOT_FOUND,
        office=YES,
        side=YES,
        other_side=NONE,
        auditor=YES,
    )


def _by_anybody(path: str, does: str) -> Privilege:
    """Whoever has a token sees of it what is theirs to see."""
    return _row(
        "GET", path, does, participant=YES, stranger=YES, office=YES, side=YES, other_side=NONE, auditor=YES
    )


def _by_programme(path: str, does: str) -> Privilege:
    """Of the whole programme: directorates and auditors."""
    return _row(
        "GET",
        path,
        does,
        participant=FORBIDDEN,
        stranger=FORBIDDEN,
        office=YES,
        side=YES,
        other_side=NONE,
        auditor=YES,
    )


def _by_auditors(path: str, does: str) -> Privilege:
    """Of the trail: auditors of either side."""
    return _row(
        "GET",
        path,
        does,
        participant=FORBIDDEN,
        stranger=FORBIDDEN,
        office=FORBIDDEN,
        side=FORBIDDEN,
        other_side=NONE,
        auditor=YES,
    )


def _by_applicants(method: str, path: str, does: str) -> Privilege:
    """A message of those who take part in the initiative."""
    return _row(
        method,
        path,
        does,
        participant=YES,
        stranger=NOT_FOUND,
        office=FORBIDDEN,
        side=FORBIDDEN,
        other_side=NONE,
        auditor=FORBIDDEN,
        heard=True,
    )


def _by_office(method: str, path: str, does: str, who: str, *, other_side: Verdict = NONE) -> Privilege:
    """A message of an office of a directorate."""
    return _row(
        method,
        path,
        does,
        participant=NOT_YOUR_OFFICE,
        stranger=NOT_FOUND,
        office=YES,
        side=NOT_YOUR_OFFICE,
        other_side=other_side,
        auditor=NOT_YOUR_OFFICE,
        who=who,
        heard=True,
    )


def _draft(method: str, does: str) -> Privilege:
    """Drafts are the applicants': for everybody else there is none."""
    return _row(
        method,
        f"{_OF}/reports/{{number}}/draft",
        does,
        participant=YES,
        stranger=NOT_FOUND,
        office=NOT_FOUND,
        side=NOT_FOUND,
        other_side=NONE,
        auditor=NOT_FOUND,
    )


_HEAD: Final = "the head of a side"
_FINANCE: Final = "a finance officer of that side"
_STOPS: Final = "a finance officer, or the head, of that side"
_CERTIFIES: Final = "an office that certifies a side's costs"
_ANSWERS: Final = "an office that decided for the side that set the condition"
_TRANCHE: Final = f"{_OF}/tranches/{{number}}/{{directorate}}"

MATRIX: Final[tuple[Privilege, ...]] = (
    Privilege("GET", "/keys", "the public keys of the sides", dict.fromkeys(Party, YES)),
    _row(
        "POST",
        "/proposals",
        "submit a proposal",
        participant=YES,
        stranger=YES,
        office=FORBIDDEN,
        side=FORBIDDEN,
        other_side=NONE,
        auditor=FORBIDDEN,
    ),
    _by_anybody("/initiatives", "the list of initiatives; applicants, of their own"),
    _by_anybody("/inbox", "what waits for the caller"),
    _by_anybody("/events", "what happens, as it happens; to applicants, of their own"),
    _read(_OF, "where it stands"),
    _read(f"{_OF}/proposal", "the proposal in force"),
    _read(f"{_OF}/proposal/versions/{{number}}", "an earlier version"),
    _by_applicants("PUT", f"{_OF}/proposal", "a new version, or a correction"),
    _by_applicants("POST", f"{_OF}/withdrawal", "withdraw it"),
    _by_applicants("POST", f"{_OF}/complaint", "complain of its end"),
    # ---- matters and conditions
    _read(f"{_OF}/matters", "what is or was before the sides, as far as it is open to the caller"),
    _read(f"{_OF}/matters/{{number}}", "one of them, with what is put before the sides"),
    _read(f"{_OF}/matters/{{number}}/decision", "the joint decision with every side's signature"),
    _by_office("POST", f"{_OF}/matters/{{number}}/sign-offs", "sign", "the office whose step it is"),
    _by_office("POST", f"{_OF}/matters/{{number}}/extension", "more time for one's own side", _HEAD),
    _row(
        "POST",
        f"{_OF}/conflicts",
        "declare an interest of one's own",
        participant=FORBIDDEN,
        stranger=NOT_FOUND,
        office=YES,
        side=YES,
        other_side=NONE,
        auditor=FORBIDDEN,
        who="any office",
        heard=True,
    ),
    _by_applicants("POST", f"{_OF}/conditions/{{number}}/evidence", "show that a condition is met"),
    _by_office(
        "POST",
        f"{_OF}/conditions/{{number}}/clearance",
        "clear a condition",
        _ANSWERS,
        other_side=NOT_YOUR_OFFICE,
    ),
    _by_office(
        "POST",
        f"{_OF}/conditions/{{number}}/refusal",
        "refuse the evidence for it",
        _ANSWERS,
        other_side=NOT_YOUR_OFFICE,
    ),
    # ---- agreements and amendments
    _read(f"{_OF}/funding-agreements", "every side's funding agreement"),
    _read(f"{_OF}/funding-agreements/{{directorate}}", "one of them, as it is signed"),
    _read(f"{_OF}/amendments", "the amendments and what became of them"),
    _by_applicants("POST", f"{_OF}/amendments", "ask for another version of the proposal"),
    _row(
        "POST",
        f"{_OF}/amendments/agreement",
        "ask to move it to a newer version of the agreement",
        participant=YES,
        stranger=NOT_FOUND,
        office=YES,
        side=NOT_YOUR_OFFICE,
        other_side=NONE,
        auditor=FORBIDDEN,
        who=_HEAD,
        heard=True,
    ),
    # ---- money
    _read(f"{_OF}/tranches", "the tranches and where they stand"),
    _by_office("POST", f"{_TRANCHE}/authorisation", "let a part go", _FINANCE, other_side=NOT_YOUR_OFFICE),
    _by_office("POST", f"{_TRANCHE}/confirmation", "say it was paid", _FINANCE, other_side=NOT_YOUR_OFFICE),
    _by_office("POST", f"{_TRANCHE}/hold", "stop a part", _STOPS, other_side=NOT_YOUR_OFFICE),
    _by_office("POST", f"{_TRANCHE}/resumption", "let a held part go on", _STOPS, other_side=NOT_YOUR_OFFICE),
    _by_office(
        "POST",
        f"{_TRANCHE}/write-off",
        "give up a claim",
        "the head of that side",
        other_side=NOT_YOUR_OFFICE,
    ),
    _read(f"{_OF}/tranches/{{number}}/claim", "what is claimed back, of whom"),
    _read(f"{_OF}/ledger", "the accounts of one initiative"),
    _by_programme("/ledger", "the accounts of the programme"),
    _by_programme("/budgets", "every side's budget, and what is left of it"),
    _row(
        "POST",
        "/bank-statements",
        "bring the bank's word",
        participant=FORBIDDEN,
        stranger=FORBIDDEN,
        office=YES,
        side=NOT_YOUR_OFFICE,
        other_side=NONE,
        auditor=FORBIDDEN,
        who="a finance officer; of payments of their own side",
    ),
    # ---- reports
    _read(f"{_OF}/reports", "what is due when, and what came of it"),
    _read(f"{_OF}/reports/{{number}}", "one as it was submitted last"),
    _by_applicants("POST", f"{_OF}/reports/{{number}}", "submit one"),
    _draft("GET", "what is written of a report"),
    _draft("PUT", "write it"),
    _draft("DELETE", "throw it away"),
    _by_office("POST", f"{_OF}/reports/{{number}}/waiver", "do without one", _CERTIFIES),
    _by_office("POST", f"{_OF}/reports/{{number}}/disallowance", "take accepted costs back", _CERTIFIES),
    # ---- stopping and ending
    _by_office("POST", f"{_OF}/suspension", "suspend it", _HEAD),
    _by_office("DELETE", f"{_OF}/suspension", "take that notice back", _HEAD),
    _row(
        "POST",
        f"{_OF}/resumption",
        "ask to resume it",
        participant=YES,
        stranger=NOT_FOUND,
        office=YES,
        side=NOT_YOUR_OFFICE,
        other_side=NONE,
        auditor=FORBIDDEN,
        who=_HEAD,
        heard=True,
    ),
    _by_office("POST", f"{_OF}/termination", "end it", _HEAD),
    _by_office("DELETE", f"{_OF}/termination", "take that notice back", _HEAD),
    _read(f"{_OF}/closure-certificate", "what remains of a closed initiative"),
    # ---- mandates
    _row(
        "POST",
        "/mandates",
        "give a colleague a mandate",
        participant=FORBIDDEN,
        stranger=FORBIDDEN,
        office=YES,
        side=YES,
        other_side=NONE,
        auditor=FORBIDDEN,
        who="any office; for what it may do itself",
    ),
    _row(
        "GET",
        "/mandates",
        "the mandates of one's own side; auditors, of every side",
        participant=FORBIDDEN,
        stranger=FORBIDDEN,
        office=YES,
        side=YES,
        other_side=NONE,
        auditor=YES,
        who="any office",
    ),
    _row(
        "DELETE",
        "/mandates/{identifier}",
        "revoke a mandate",
        participant=FORBIDDEN,
        stranger=FORBIDDEN,
        office=YES,
        side=FORBIDDEN,
        other_side=NOT_FOUND,
        auditor=FORBIDDEN,
        who="who gave it, or the head of that side",
    ),
    # ---- audit
    _by_auditors(f"{_OF}/audit", "the trail of one initiative"),
    _by_auditors("/audit", "the trail of the programme"),
    _by_auditors(f"{_OF}/history", "the workflow history, told or as it is"),
    # ---- what Temporal keeps
    _row(
        "POST",
        "/codec/decode",
        "have payloads decoded for Temporal's web UI and command line",
        participant=FORBIDDEN,
        stranger=FORBIDDEN,
        office=FORBIDDEN,
        side=FORBIDDEN,
        other_side=NONE,
        auditor=YES,
        operator=YES,
    ),
    _row(
        "POST",
        "/codec/encode",
        "have payloads encrypted: messages go through the API",
        participant=FORBIDDEN,
        stranger=FORBIDDEN,
        office=FORBIDDEN,
        side=FORBIDDEN,
        other_side=NONE,
        auditor=FORBIDDEN,
    ),
    Privilege("GET", "/codec/session", "the page to give a browser a token", dict.fromkeys(Party, YES)),
    Privilege("POST", "/codec/session", "keep a reader's token in it", dict.fromkeys(Party, YES)),
)
"""Every route below ``/v1``, in the order of the documentation."""

BY_ROUTE: Final = {(one.method, one.path): one for one in MATRIX}


def at_the_door(privilege: Privilege, role: Role) -> Verdict:
    """Whether somebody of a role gets in: the refusal that all they can be there have in common, if they have one."""
    verdicts = [found for party in PARTIES[role] if (found := privilege.of(party)) is not NONE]
    if YES in verdicts or (privilege.heard and role != "operator"):
        return YES
    return verdicts[0]


def as_markdown() -> str:
    """The matrix as the documentation shows it."""
    return "\n".join(_lines()) + "\n"


_HEADINGS: Final = {
    Party.PARTICIPANT: "takes part",
    Party.STRANGER: "another applicant",
    Party.OFFICE: "the office",
    Party.SIDE: "another office",
    Party.OTHER_SIDE: "another side",
    Party.AUDITOR: "auditor",
    Party.OPERATOR: "operator",
}


def _lines() -> Iterator[str]:
    yield "# Who may do what"
    yield ""
    yield "Generated by `python -m countersign.api.privileges > docs/privileges.md`; tests hold every route against it,"
    yield "and a route that is not here nobody may use. Without a token everything but what says so is"
    yield "`unauthenticated`. Where offices of every side act, each for its own, there is no other side."
    yield ""
    heads = ("under `/v1`", "does", "which office", *_HEADINGS.values())
    yield f"| {' | '.join(heads)} |"
    yield "| --- " * len(heads) + "|"
    for one in MATRIX:
        said = ("—" if (found := one.of(party)) is NONE else _told(found) for party in _HEADINGS)
        does = f"{one.does} (no token needed)" if one.is_public else one.does
        yield f"| {' | '.join((f'`{one.method} {one.path}`', does, one.office or '—', *said))} |"


def _told(verdict: Verdict) -> str:
    return "yes" if verdict is YES else f"`{verdict}`"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())

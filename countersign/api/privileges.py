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


_SAID: Final = {"y": YES, "f": FORBIDDEN, "n": NOT_FOUND, "o": NOT_YOUR_OFFICE, "-": NONE}
"""The letters of a row, one for each party in this order: those who take part, other applicants; the office that acts,
others of its side, another side; auditors; operators.
"""


def _row(said: str, method: str, path: str, does: str, office: str = "", *, heard: bool = False) -> Privilege:
    """What the door decides on, but for the office, by itself."""
    parties: list[Party] = [party for party in Party if party is not Party.ANYBODY]
    verdicts = {party: _SAID[letter] for party, letter in zip(parties, said, strict=True)}
    return Privilege(method, path, does, verdicts, office, heard)


def _heard(said: str, method: str, path: str, does: str, office: str = "") -> Privilege:
    """A message to an initiative."""
    return _row(said, method, path, does, office, heard=True)


def _public(method: str, path: str, does: str) -> Privilege:
    """For everybody, with a token or without."""
    return Privilege(method, path, does, dict.fromkeys(Party, YES))


_OF: Final = "/initiatives/{identifier}"
_HEAD: Final = "the head of a side"
_FINANCE: Final = "a finance officer of that side"
_STOPS: Final = "a finance officer, or the head, of that side"
_CERTIFIES: Final = "an office that certifies a side's costs"
_ANSWERS: Final = "an office that decided for the side that set the condition"
_TRANCHE: Final = f"{_OF}/tranches/{{number}}/{{directorate}}"

MATRIX: Final[tuple[Privilege, ...]] = (
    _public("GET", "/keys", "the public keys of the sides"),
    _row("yyff-ff", "POST", "/proposals", "submit a proposal"),
    _row("yyyy-yf", "GET", "/initiatives", "the list of initiatives; applicants, of their own"),
    _row("yyyy-yf", "GET", "/inbox", "what waits for the caller"),
    _row("yyyy-yf", "GET", "/events", "what happens, as it happens; to applicants, of their own"),
    _row("ynyy-yf", "GET", _OF, "where it stands"),
    _row("ynyy-yf", "GET", f"{_OF}/proposal", "the proposal in force"),
    _row("ynyy-yf", "GET", f"{_OF}/proposal/versions/{{number}}", "an earlier version"),
    _heard("ynff-ff", "PUT", f"{_OF}/proposal", "a new version, or a correction"),
    _heard("ynff-ff", "POST", f"{_OF}/withdrawal", "withdraw it"),
    _heard("ynff-ff", "POST", f"{_OF}/complaint", "complain of its end"),
    # ---- matters and conditions
    _row(
        "ynyy-yf",
        "GET",
        f"{_OF}/matters",
        "what is or was before the sides, as far as it is open to the caller",
    ),
    _row("ynyy-yf", "GET", f"{_OF}/matters/{{number}}", "one of them, with what is put before the sides"),
    _row(
        "ynyy-yf",
        "GET",
        f"{_OF}/matters/{{number}}/decision",
        "the joint decision with every side's signature",
    ),
    _heard("onyo-of", "POST", f"{_OF}/matters/{{number}}/sign-offs", "sign", "the office whose step it is"),
    _heard("onyo-of", "POST", f"{_OF}/matters/{{number}}/extension", "more time for one's own side", _HEAD),
    _heard("fnyy-ff", "POST", f"{_OF}/conflicts", "declare an interest of one's own", "any office"),
    _heard("ynff-ff", "POST", f"{_OF}/conditions/{{number}}/evidence", "show that a condition is met"),
    _heard("onyooof", "POST", f"{_OF}/conditions/{{number}}/clearance", "clear a condition", _ANSWERS),
    _heard("onyooof", "POST", f"{_OF}/conditions/{{number}}/refusal", "refuse the evidence for it", _ANSWERS),
    # ---- agreements and amendments
    _row("ynyy-yf", "GET", f"{_OF}/funding-agreements", "every side's funding agreement"),
    _row("ynyy-yf", "GET", f"{_OF}/funding-agreements/{{directorate}}", "one of them, as it is signed"),
    _row("ynyy-yf", "GET", f"{_OF}/amendments", "the amendments and what became of them"),
    _heard("ynff-ff", "POST", f"{_OF}/amendments", "ask for another version of the proposal"),
    _heard(
        "ynyo-ff",
        "POST",
        f"{_OF}/amendments/agreement",
        "ask to move it to a newer version of the agreement",
        _HEAD,
    ),
    # ---- attachments
    _row("yyff-ff", "PUT", "/attachments/{content_hash}", "bring a document"),
    _row("yyff-ff", "GET", "/attachments/{content_hash}", "a link to a document that the caller brought"),
    _row("ynyy-yf", "GET", f"{_OF}/attachments", "what it names"),
    _row("ynyy-yf", "GET", f"{_OF}/attachments/{{content_hash}}", "a link to a document that it names"),
    _public("GET", "/downloads/{link}", "what a link leads to, for some minutes, as whom it was made for"),
    # ---- money
    _row("ynyy-yf", "GET", f"{_OF}/tranches", "the tranches and where they stand"),
    _heard("onyooof", "POST", f"{_TRANCHE}/authorisation", "let a part go", _FINANCE),
    _heard("onyooof", "POST", f"{_TRANCHE}/confirmation", "say it was paid", _FINANCE),
    _heard("onyooof", "POST", f"{_TRANCHE}/hold", "stop a part", _STOPS),
    _heard("onyooof", "POST", f"{_TRANCHE}/resumption", "let a held part go on", _STOPS),
    _heard("onyooof", "POST", f"{_TRANCHE}/write-off", "give up a claim", "the head of that side"),
    _row("ynyy-yf", "GET", f"{_OF}/tranches/{{number}}/claim", "what is claimed back, of whom"),
    _row("ynyy-yf", "GET", f"{_OF}/ledger", "the accounts of one initiative"),
    _row("ffyy-yf", "GET", "/ledger", "the accounts of the programme"),
    _row("ffyy-yf", "GET", "/budgets", "every side's budget, and what is left of it"),
    _row(
        "ffyo-ff",
        "POST",
        "/bank-statements",
        "bring the bank's word",
        "a finance officer; of payments of their own side",
    ),
    # ---- reports
    _row("ynyy-yf", "GET", f"{_OF}/reports", "what is due when, and what came of it"),
    _row("ynyy-yf", "GET", f"{_OF}/reports/{{number}}", "one as it was submitted last"),
    _heard("ynff-ff", "POST", f"{_OF}/reports/{{number}}", "submit one"),
    _row("ynnn-nf", "GET", f"{_OF}/reports/{{number}}/draft", "what is written of a report"),
    _row("ynnn-nf", "PUT", f"{_OF}/reports/{{number}}/draft", "write it"),
    _row("ynnn-nf", "DELETE", f"{_OF}/reports/{{number}}/draft", "throw it away"),
    _heard("onyo-of", "POST", f"{_OF}/reports/{{number}}/waiver", "do without one", _CERTIFIES),
    _heard(
        "onyo-of", "POST", f"{_OF}/reports/{{number}}/disallowance", "take accepted costs back", _CERTIFIES
    ),
    # ---- stopping and ending
    _heard("onyo-of", "POST", f"{_OF}/suspension", "suspend it", _HEAD),
    _heard("onyo-of", "DELETE", f"{_OF}/suspension", "take that notice back", _HEAD),
    _heard("ynyo-ff", "POST", f"{_OF}/resumption", "ask to resume it", _HEAD),
    _heard("onyo-of", "POST", f"{_OF}/termination", "end it", _HEAD),
    _heard("onyo-of", "DELETE", f"{_OF}/termination", "take that notice back", _HEAD),
    _row("ynyy-yf", "GET", f"{_OF}/closure-certificate", "what remains of a closed initiative"),
    # ---- mandates
    _row(
        "ffyy-ff", "POST", "/mandates", "give a colleague a mandate", "any office; for what it may do itself"
    ),
    _row(
        "ffyy-yf", "GET", "/mandates", "the mandates of one's own side; auditors, of every side", "any office"
    ),
    _row(
        "ffyfnff",
        "DELETE",
        "/mandates/{identifier}",
        "revoke a mandate",
        "who gave it, or the head of that side",
    ),
    # ---- audit
    _row("ffff-yf", "GET", f"{_OF}/audit", "the trail of one initiative"),
    _row("ffff-yf", "GET", "/audit", "the trail of the programme"),
    _row("ffff-yf", "GET", "/audit/checkpoint", "the last signed checkpoint of the log"),
    _row("ffff-yf", "POST", "/audit/checkpoint", "have a checkpoint made and signed"),
    _row("ffff-yf", "POST", "/audit/archive", "have the histories of ended runs archived"),
    _row("ffff-yf", "GET", "/audit/proofs/{sequence}", "that an entry is in the log"),
    _row("ffff-yf", "GET", f"{_OF}/audit/{{number}}/proof", "that an entry of a trail is in the log"),
    _row("ffff-yf", "GET", "/audit/consistency", "that the log only grew"),
    _row("ffff-yf", "GET", f"{_OF}/history", "the workflow history, told or as it is"),
    _row("ffff-yf", "GET", f"{_OF}/dossier", "everything on it, with proofs, to be verified elsewhere"),
    # ---- what Temporal keeps
    _row("ffff-yy", "POST", "/codec/decode", "have payloads decoded for Temporal's web UI and command line"),
    _row("ffff-ff", "POST", "/codec/encode", "have payloads encrypted: messages go through the API"),
    _public("GET", "/codec/session", "the page to give a browser a token"),
    _public("POST", "/codec/session", "keep a reader's token in it"),
    # ---- signing in
    _public("GET", "/session/login", "sign in with a browser"),
    _public("GET", "/session/callback", "come back from the provider"),
    _public("POST", "/session/backchannel-logout", "a provider's word that somebody signed out"),
    _row("yyyy-yy", "GET", "/session", "who the caller is, and until when"),
    _row("yyyy-yy", "DELETE", "/session", "sign out"),
    _public("GET", "/session/issuers", "who vouches for whom, and where people sign in"),
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

"""Amendments to try at random: what somebody may ask for, whether or not it counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from countersign.domain.proposal import Proposal
from tests.amendments import asking, extended, joined, left, renamed, shifted, with_milestones
from tests.domain.lives import body_of

Body = dict[str, Any]
Change = Callable[[Proposal], st.SearchStrategy[Body]]


def _room(proposal: Proposal, partner: str) -> int:
    lines = [one for one in proposal.budget if one.partner == partner and one.category != "compute"]
    return lines[0].amount.minor if lines else 0


def _partners(proposal: Proposal) -> st.SearchStrategy[str]:
    """Those who have a budget line of money."""
    return st.sampled_from([one.id for one in proposal.partners if _room(proposal, one.id)])


def _months(proposal: Proposal) -> st.SearchStrategy[Body]:
    months = st.integers(-proposal.duration_months + 1, 13)
    return months.map(lambda by: extended(body_of(proposal), by))


def _shift(proposal: Proposal) -> st.SearchStrategy[Body]:
    return _partners(proposal).flatmap(
        lambda one: st.integers(0, _room(proposal, one)).map(lambda n: shifted(body_of(proposal), one, n))
    )


def _ask(proposal: Proposal) -> st.SearchStrategy[Body]:
    return _partners(proposal).flatmap(
        lambda one: st.integers(-_room(proposal, one), 10**7).map(
            lambda more: asking(body_of(proposal), one, more)
        )
    )


def _join(proposal: Proposal) -> st.SearchStrategy[Body]:
    new = f"new_{len(proposal.partners)}_{proposal.content_hash()[-4:]}"
    return _partners(proposal).flatmap(
        lambda one: st.integers(0, _room(proposal, one)).map(lambda n: joined(body_of(proposal), new, one, n))
    )


def _leave(proposal: Proposal) -> st.SearchStrategy[Body]:
    pairs = [
        (one.id, other.id)
        for one in proposal.partners
        for other in proposal.partners
        if one is not other and one.role != "lead" and one.directorate == other.directorate
    ]
    if not pairs:
        return _rename(proposal)
    return st.sampled_from(pairs).map(lambda pair: left(body_of(proposal), *pair))


def _rename(proposal: Proposal) -> st.SearchStrategy[Body]:
    email = f"{proposal.content_hash()[-8:]}@applicants.countersign.example"
    return st.sampled_from([one.id for one in proposal.partners]).map(
        lambda one: renamed(body_of(proposal), one, email)
    )


def _milestones(proposal: Proposal) -> st.SearchStrategy[Body]:
    """Some other milestones, each in another month perhaps, or gone."""
    months = st.integers(1, max(1, proposal.duration_months - 1))
    return st.dictionaries(st.sampled_from(["plan", "pilot", "open"]), months, max_size=3).map(
        lambda some: with_milestones(body_of(proposal), some)
    )


CHANGES: st.SearchStrategy[Change] = st.sampled_from(
    [_months, _shift, _ask, _join, _leave, _rename, _milestones]
)
"""What is changed; given the version in force it gives what may come of it."""

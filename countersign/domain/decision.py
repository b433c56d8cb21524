"""The joint decision as a document: what each side signed, and what follows from it (DESIGN section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import Matter, Outcome, Position


def position_document(state: InitiativeState, matter: Matter, position: Position) -> dict[str, Any]:
    """What a side signs: its whole position and what it is about. Its canonical JSON is the payload of the JWS."""
    return {
        "document": "position",
        "agreement": {"id": state.terms.agreement, "version": state.terms.version},
        "initiative": state.id,
        "reference": state.reference,
        "matter": matter.number,
        "kind": matter.kind.value,
        "content_hash": matter.content_hash,
        **position.model_dump(mode="json"),
    }


def joint_decision(
    state: InitiativeState, matter: Matter, countersigned: Mapping[str, str], outcome: Outcome
) -> dict[str, Any]:
    """One document with every side's JWS and the outcome that follows from them; checkable with the public keys."""
    return {
        "document": "joint_decision",
        "agreement": {"id": state.terms.agreement, "version": state.terms.version},
        "initiative": state.id,
        "reference": state.reference,
        "matter": matter.number,
        "kind": matter.kind.value,
        "content_hash": matter.content_hash,
        "opened_at": matter.opened_at.isoformat(),
        "positions": dict(sorted(countersigned.items())),
        "outcome": outcome.value,
    }

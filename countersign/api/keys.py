"""The public keys that directorates sign their positions with."""

from __future__ import annotations

from fastapi import APIRouter

from countersign.api.dependencies import InForce
from countersign.api.schemas import KeyView, Page

router = APIRouter(tags=["joint decisions"])


@router.get("/keys")
async def keys(agreement: InForce) -> Page[KeyView]:
    """Public to all: with them anybody checks a joint decision offline."""
    return Page(
        items=[
            KeyView(
                directorate=one.directorate,
                valid_from=one.valid_from,
                valid_to=one.valid_to,
                jwk={"kty": "OKP", "crv": "Ed25519", "x": one.x, "kid": one.kid, "use": "sig"},
            )
            for one in agreement.signing_key
        ]
    )

"""What each side gives the programme in a year, how much of it is left, and who waits for some."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from countersign.api.dependencies import InForce, Record
from countersign.api.errors import documented
from countersign.api.schemas import Page
from countersign.domain.budget import year_of
from countersign.store import budgets

router = APIRouter(prefix="/budgets", tags=["carrying out"])


class BudgetView(BaseModel):
    """A side's budget in a year, over all areas where there is no ``area``: minor units of ``unit``.

    ``taken`` is reserved or committed by initiatives, ``left`` what another one could have (negative when a budget was
    cut below what is taken), ``waiting`` the references of those that wait for it, in their order.
    """

    year: int
    directorate: str
    area: str | None
    unit: str
    ceiling: int
    taken: int
    left: int
    waiting: list[str]


@router.get("", responses=documented("unauthenticated", "forbidden", "invalid"))
async def read(
    record: Record,
    agreement: InForce,
    year: Annotated[int | None, Query(ge=2000, le=2999, description="This year unless given.")] = None,
) -> Page[BudgetView]:
    """Every budget that bounds what can be committed in a year."""
    async with record.reading() as connection:
        found = await budgets.positions(connection, agreement.id, year or year_of(datetime.now(UTC)))
    return Page(
        items=[
            BudgetView(
                year=one.year,
                directorate=one.directorate,
                area=one.area,
                unit=one.unit,
                ceiling=one.ceiling,
                taken=one.taken,
                left=one.ceiling - one.taken,
                waiting=list(one.waiting),
            )
            for one in found
        ]
    )

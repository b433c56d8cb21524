"""The ledger: an initiative's transactions and balances, also as CSV; and the whole programme's per area and year."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from countersign.api.dependencies import Here, InForce, Record
from countersign.api.errors import Problem, documented
from countersign.api.initiatives import IDENTIFIER
from countersign.api.schemas import BalanceView, LedgerPage, StatementsView, TransactionView, YearView
from countersign.domain.ledger import Account, Place, standings
from countersign.runtime import ledger_csv
from countersign.store import ledger
from countersign.store.initiatives import Initiative
from countersign.store.ledger import Position
from countersign.store.session import Database

router = APIRouter(tags=["ledger"])

_CURSOR: Final = re.compile(r"(\d{1,18})\.(\d{1,9})")
_CSV: Final = "text/csv"


@router.get(
    "/initiatives/{identifier}/ledger",
    response_model=LedgerPage,
    responses={
        **documented("unauthenticated", "not_found", "invalid"),
        200: {"model": LedgerPage, "content": {_CSV: {"schema": {"type": "string"}}}},
    },
)
async def read(
    here: Here,
    record: Record,
    response: Response,
    form: Annotated[Literal["json", "csv"] | None, Query(alias="format")] = None,
    cursor: Annotated[str | None, Query(max_length=30)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    accept: Annotated[str, Header()] = "",
) -> LedgerPage | Response:
    """What became of each side's money, in the order of the trail; as CSV all of it at once."""
    after = _position(cursor)
    if form == "csv" or (form is None and _wants_csv(accept)):
        return StreamingResponse(
            _rows(record, here),
            media_type=_CSV,
            headers={
                "Content-Disposition": f'attachment; filename="{here.reference}-ledger.csv"',
                "Vary": "Accept",
            },
        )
    response.headers["Vary"] = "Accept"
    async with record.reading() as connection:
        found = await ledger.transactions(connection, here.id, after=after, limit=limit + 1)
        balances = await ledger.balances(connection, here.id)
    last = found[limit - 1] if len(found) > limit else None
    return LedgerPage(
        items=[TransactionView(**one.model_dump(exclude={"initiative"})) for one in found[:limit]],
        next=None if last is None else f"{last.sequence}.{last.number}",
        balances=[_balance(one.directorate, one.unit, one.account, one.minor) for one in balances],
        standings=list(
            standings({Place(one.directorate, one.unit, Account(one.account)): one.minor for one in balances})
        ),
    )


@router.get("/ledger", responses=documented("unauthenticated", "forbidden", "invalid"))
async def statements(
    record: Record,
    agreement: InForce,
    directorate: Annotated[str | None, Query(pattern=IDENTIFIER)] = None,
    area: Annotated[str | None, Query(pattern=IDENTIFIER)] = None,
    year: Annotated[int | None, Query(ge=1970, le=9998, description="A calendar year, in UTC.")] = None,
) -> StatementsView:
    """What was entered on the accounts of the whole programme per area and year, and what that comes to."""
    async with record.reading() as connection:
        found = await ledger.statements(
            connection, agreement.id, directorate=directorate, area=area, year=year
        )
    sums: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for one in found:
        sums[one.directorate, one.unit, one.account] += one.minor
    return StatementsView(
        items=[
            YearView(
                area=one.area,
                year=one.year,
                **_balance(one.directorate, one.unit, one.account, one.minor).model_dump(),
            )
            for one in found
        ],
        balances=[_balance(*key, minor) for key, minor in sorted(sums.items()) if minor],
    )


def _balance(directorate: str, unit: str, account: str, minor: int) -> BalanceView:
    return BalanceView(directorate=directorate, unit=unit, account=Account(account), minor=minor)


async def _rows(record: Database, here: Initiative) -> AsyncIterator[str]:
    """The lines of the CSV (RFC 4180), some at a time."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(ledger_csv.COLUMNS)
    async for one in ledger.all_transactions(record, here.id):
        writer.writerows(ledger_csv.rows(here.reference, one))
        if text.tell() > io.DEFAULT_BUFFER_SIZE:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _wants_csv(accept: str) -> bool:
    """Whether CSV is named, and JSON is not."""
    named = {one.partition(";")[0].strip().lower() for one in accept.split(",")}
    return _CSV in named and "application/json" not in named


def _position(cursor: str | None) -> Position | None:
    """The position that a cursor names."""
    if cursor is None:
        return None
    read = _CURSOR.fullmatch(cursor)
    if read is None or int(read[2]) > 2**31 - 1:
        raise Problem("invalid", "that is no cursor of this list")
    return Position(int(read[1]), int(read[2]))

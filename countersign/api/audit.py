"""What auditors read: the trails, one or all, and the workflow history in sentences or as Temporal's own JSON."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime

from countersign.api import entry_files, history
from countersign.api.accesses import of
from countersign.api.dependencies import Here, Me, OnRecord, Record
from countersign.api.errors import Problem, documented
from countersign.api.schemas import AuditPage, FoundEntry, HistoryView, Page
from countersign.domain.audit import rfc3339
from countersign.store import initiatives, trail
from countersign.store.accesses import HISTORY_EXPORTED, TRAIL_EXPORT_ENDED, TRAIL_EXPORTED
from countersign.store.actions import KNOWN
from countersign.store.trail import Place

router = APIRouter(tags=["audit"])

Actor = Annotated[
    str | None,
    Query(pattern=r"^[\x21-\x7e]{1,300}$", description="Who did it, as `il/il-head`, or `system`."),
]
From = Annotated[AwareDatetime | None, Query(alias="from", description="From this instant on.")]
To = Annotated[AwareDatetime | None, Query(alias="to", description="Up to, and not at, this instant.")]

_CURSOR: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)\.(\d{1,18})")


@router.get(
    "/initiatives/{identifier}/audit", responses=documented("unauthenticated", "forbidden", "not_found")
)
async def entries(
    here: Here,
    record: Record,
    start: Annotated[int, Query(ge=1, le=2**53, description="The first sequence wanted.")] = 1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> AuditPage:
    """The audit trail in order, refusals and automatic steps included."""
    async with record.reading() as connection:
        found = await trail.entries_from(connection, here.id, start, limit + 1)
    more = found[limit].sequence if len(found) > limit else None
    return AuditPage(items=list(found[:limit]), next=more)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries of the whole programme."""

    actor: str | None
    action: str | None
    initiative: str | None
    since: str | None
    until: str | None

    def as_asked(self) -> dict[str, str]:
        """The filters that there are, by the names that the query has for them."""
        named = {"since": "from", "until": "to"}
        said = ((named.get(name, name), value) for name, value in asdict(self).items())
        return {name: value for name, value in said if value is not None}


async def wanted(
    record: Record,
    actor: Actor = None,
    action: Annotated[str | None, Query(max_length=60, description="Such as `message.refused`.")] = None,
    initiative: Annotated[
        str | None, Query(pattern=r"^[A-Za-z0-9-]{1,60}$", description="An id or a reference.")
    ] = None,
    since: From = None,
    until: To = None,
) -> Wanted:
    """What the query asks for."""
    if action is not None and action not in KNOWN:
        # An empty answer would read as if nothing of the kind had happened.
        raise Problem("invalid", f"there is no action {action!r}; there are {', '.join(sorted(KNOWN))}")
    earliest, latest = _hashed(since), _hashed(until)
    if earliest is not None and latest is not None and earliest >= latest:
        raise Problem("invalid", "`from` is not before `to`")
    one = None if initiative is None else await _trail_of(record, initiative)
    return Wanted(actor, action, one, earliest, latest)


@router.get(
    "/audit",
    response_model=Page[FoundEntry],
    responses={
        **documented("unauthenticated", "forbidden", "invalid", "not_found"),
        200: {
            "model": Page[FoundEntry],
            "content": {kind: {"schema": {"type": "string"}} for kind in entry_files.MEDIA_TYPES.values()},
        },
    },
)
async def search(
    me: Me,
    record: Record,
    on_record: OnRecord,
    some: Annotated[Wanted, Depends(wanted)],
    cursor: Annotated[str | None, Query(max_length=60)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    form: Annotated[
        Literal["json", "csv", "jsonl"],
        Query(alias="format", description="`csv` and `jsonl` give all of them, whatever `limit` says."),
    ] = "json",
) -> Page[FoundEntry] | Response:
    """Entries of every trail of the programme, mandates included, the latest first; as a file all of them at once.

    A file is on record before it begins, and how much of it was given out when it ends.
    """
    before = _place(cursor)
    if form != "json":
        export = await on_record.exported(
            me.reader, TRAIL_EXPORTED, format=form, filters=some.as_asked(), cursor=cursor
        )

        async def ended(entries: int, whole: bool) -> None:
            await on_record.ended(me.reader, TRAIL_EXPORT_ENDED, export=export, entries=entries, whole=whole)

        return entry_files.answer(record, form, before, ended, **asdict(some))
    async with record.reading() as connection:
        found = await trail.search(connection, **asdict(some), before=before, limit=limit + 1)
    place = found[limit - 1].place if len(found) > limit else None
    return Page(
        items=[FoundEntry(reference=hit.reference, entry=hit.entry) for hit in found[:limit]],
        next=None if place is None else f"{place.at}.{place.position}",
    )


@router.get(
    "/initiatives/{identifier}/history",
    response_model=HistoryView,
    responses=documented("unauthenticated", "forbidden", "not_found"),
)
async def read_history(
    here: Here,
    record: Record,
    me: Me,
    on_record: OnRecord,
    request: Request,
    actor: Actor = None,
    action: Annotated[
        str | None,
        Query(max_length=60, description="A message or an activity, as `sign_off`; `timer`, `run`."),
    ] = None,
    since: From = None,
    until: To = None,
    form: Annotated[Literal["sentences", "temporal-json"], Query(alias="format")] = "sentences",
) -> HistoryView | Response:
    """The workflow history, all runs after each other, each sentence with its event ids.

    As Temporal's own JSON it is whole, whatever is asked for.
    """
    runs = await history.runs(request.app.state.temporal, request.app.state.codec, record, here.id)
    if form == "temporal-json":
        await on_record.exported(me.reader, HISTORY_EXPORTED, **of(here), runs=len(runs))
        return Response(history.as_temporal_json(runs), media_type="application/json")
    told = (sentence for run in runs for sentence in history.sentences(run))
    return HistoryView(
        items=[
            one
            for one in told
            if (actor is None or one.actor == actor)
            and (action is None or one.action == action)
            and (since is None or one.at >= since)
            and (until is None or one.at < until)
        ]
    )


async def _trail_of(record: Record, initiative: str) -> str:
    """The id under which a trail is kept: that of an initiative, or of a directorate's mandates."""
    try:
        return str(UUID(initiative))
    except ValueError:
        found = await initiatives.look_up(record, initiative)
    if found is None:
        raise Problem("not_found", "there is no initiative of that reference")
    return found.id


def _hashed(at: datetime | None) -> str | None:
    """An instant as entries have it; there are none before 1970 or after 9998."""
    if at is None:
        return None
    if not 1970 <= at.year <= 9998:
        raise Problem("invalid", "the programme has no entries of such a year")
    return rfc3339(at.astimezone(UTC))


def _place(cursor: str | None) -> Place | None:
    """The place that a cursor names."""
    if cursor is None:
        return None
    read = _CURSOR.fullmatch(cursor)
    if read is None:
        raise Problem("invalid", "that is no cursor of this list")
    return Place(read[1], int(read[2]))

"""Reading the whole record to verify it: every trail with its rows, every document, and the log over all of them.

All of it is read in one transaction, and so as it was at one moment, however much is recorded meanwhile.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Select, Table, func, select, text, union
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.agreement import ProgrammeAgreement, Terms
from countersign.domain.audit import AuditEntry
from countersign.domain.canonical import canonical_json, content_hash, hash_of
from countersign.domain.checkpoint import NoteFault
from countersign.domain.ledger import Entry
from countersign.domain.mandate import Mandate
from countersign.domain.merkle import EMPTY, SIZE, Grower
from countersign.domain.verification import Fault, debits_first, faults, in_any_order
from countersign.store import log, mandates
from countersign.store import tables as t
from countersign.store.trail import COLUMNS, entry_of

BATCH: Final = 50
"""Trails that are read together."""


async def at_one_moment(connection: AsyncConnection) -> None:
    """Have the transaction, which has read nothing yet, see the record as it is now until it ends."""
    await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))


async def count(connection: AsyncConnection) -> int:
    """How many entries there are."""
    found: int = (await connection.execute(select(func.count()).select_from(t.audit_entry))).scalar_one()
    return found


# ---- trails, with what follows from them


async def trails(
    connection: AsyncConnection, only: str | None = None
) -> AsyncIterator[tuple[int, list[Fault]]]:
    """Verify every trail, or one of them; for some at a time, how many entries they have and what is wrong."""
    terms = Agreements()
    yield 0, [one async for one in terms.load(connection, only)]
    ids = await _ids(connection) if only is None else [only]
    for some in batched(ids, BATCH):
        entries = await _entries(connection, some)
        records = await _records(connection, some)
        found = [
            fault
            for one in some
            for fault in faults(one, entries.get(one, ()), records.get(one, {}), terms.terms_of)
        ]
        found += [one async for one in _title_faults(connection, some)]
        found += [one async for one in _place_faults(connection, some)]
        yield sum(map(len, entries.values())), found


async def _title_faults(connection: AsyncConnection, ids: Sequence[str]) -> AsyncIterator[Fault]:
    """Initiatives whose title is not that of their proposal."""
    i, d = t.initiative.c, t.document.c
    other = select(i.id).join_from(t.initiative, t.document, d.content_hash == i.content_hash)
    for identifier in await connection.scalars(
        other.where(i.id.in_(ids), i.title.is_distinct_from(d.body["title"]))
    ):
        yield Fault(str(identifier), None, "initiative", "row says another title")


async def _place_faults(connection: AsyncConnection, ids: Sequence[str]) -> AsyncIterator[Fault]:
    """Initiatives of which what is waited for does not stand at the first places, where the next step looks for it."""
    w = t.waiting.c
    gaps = func.max(w.position) != func.count() - 1
    for identifier in await connection.scalars(
        select(w.initiative_id).where(w.initiative_id.in_(ids)).group_by(w.initiative_id).having(gaps)
    ):
        yield Fault(str(identifier), None, "waiting", "row stands at another place")


async def people_faults(connection: AsyncConnection) -> AsyncIterator[Fault]:
    """Initiatives that somebody is said to have a part in who has none, or the other way round: who sees them."""
    for initiative, is_missing in await connection.execute(_OTHER_PEOPLE):
        problem = "somebody who has a part in it is missing" if is_missing else "somebody has no part in it"
        yield Fault(str(initiative), None, "initiative_person", problem)


_OTHER_PEOPLE: Final = text(
    "SELECT initiative_id, p.initiative_id IS NULL FROM "
    "(SELECT DISTINCT id AS initiative_id, unnest(people) AS person FROM initiative) AS i "
    "FULL JOIN initiative_person p USING (initiative_id, person) "
    "WHERE i.initiative_id IS NULL OR p.initiative_id IS NULL ORDER BY 1"
)


def batched(ids: Sequence[str], number: int) -> Iterator[Sequence[str]]:
    """So many of them at a time."""
    for start in range(0, len(ids), number):
        yield ids[start : start + number]


class Agreements:
    """The agreements on record, each with its terms."""

    def __init__(self) -> None:
        self._terms: dict[tuple[str, int], Terms] = {}

    async def load(self, connection: AsyncConnection, only: str | None = None) -> AsyncIterator[Fault]:
        """Read them, or the one that a trail began under; what is wrong with them."""
        a, e = t.agreement.c, t.audit_entry.c
        wanted = select(a.id, a.version, a.content_hash, a.body)
        if only is not None:
            begun = (e.body["agreement"].astext == a.id) & (
                e.body["agreement_version"].as_integer() == a.version
            )
            wanted = wanted.join(t.audit_entry, begun).where(e.initiative_id == only, e.sequence == 1)
        for row in await connection.execute(wanted):
            name = f"{row.id} {row.version}"
            try:
                form = canonical_json(row.body)
                terms = _terms(form)
            except ValueError:
                yield Fault(None, None, "agreement", f"{name} is none any more")
                continue
            if (terms.agreement, terms.version) != (row.id, row.version):
                yield Fault(None, None, "agreement", f"{name} says that it is another one")
            if hash_of(form) != row.content_hash:
                yield Fault(None, None, "agreement", f"{name} was altered")
            self._terms[row.id, row.version] = terms

    def terms_of(self, agreement: str, version: int) -> Terms | None:
        """The terms of one of them."""
        return self._terms.get((agreement, version))


@lru_cache(maxsize=64)
def _terms(form: bytes) -> Terms:
    """The terms of an agreement, by its whole form: to read one takes longer than a hundred entries do."""
    return ProgrammeAgreement.model_validate_json(form).terms()


async def _ids(connection: AsyncConnection) -> list[str]:
    """Every trail that there is, or should be."""
    columns = (t.audit_entry.c.initiative_id, t.initiative.c.id, *(column for _, column, _ in _OF_INITIATIVE))
    found = await connection.scalars(union(*map(select, columns)))
    return sorted(map(str, found))


async def _entries(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, tuple[AuditEntry, ...]]:
    e = t.audit_entry.c
    wanted = select(*COLUMNS).where(e.initiative_id.in_(ids)).order_by(e.initiative_id, e.sequence)
    rows = (entry_of(dict(row)) for row in (await connection.execute(wanted)).mappings())
    return {key: tuple(some) for key, some in itertools.groupby(rows, lambda one: one.initiative)}


_OF_INITIATIVE: Final = (
    (t.waiting, t.waiting.c.initiative_id, ("position",)),
    (t.proposal_version, t.proposal_version.c.initiative_id, ("number",)),
    (t.matter, t.matter.c.initiative_id, ("number",)),
    (t.condition, t.condition.c.initiative_id, ("number",)),
    (t.tranche, t.tranche.c.initiative_id, ("number",)),
    (t.report, t.report.c.initiative_id, ("number",)),
    (t.event, t.event.c.initiative_id, ("sequence",)),
    (t.deferral, t.deferral.c.initiative_id, ()),
    (t.payment_instruction, t.payment_instruction.c.initiative_id, ("end_to_end_id",)),
)
"""Tables whose rows follow from a trail, the column that says from which, and what tells their rows apart."""


async def _records(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, dict[str, dict[Any, Any]]]:
    """The rows of some initiatives, by initiative and table."""
    found: dict[str, dict[str, dict[Any, Any]]] = {}
    waited: dict[str, list[dict[str, Any]]] = {}

    def put(initiative: object, table: str, key: tuple[Any, ...], row: Mapping[str, Any]) -> None:
        found.setdefault(str(initiative), {}).setdefault(table, {})[key] = row

    for row in await _rows(connection, select(t.initiative).where(t.initiative.c.id.in_(ids))):
        put(row["id"], "initiative", (), {**row, "id": str(row["id"])})
    for table, column, names in _OF_INITIATIVE:
        for row in await _rows(connection, _in_order(table).where(column.in_(ids))):
            if table is t.deferral:
                row["budgets"] = sorted(row["budgets"])
            if table is t.waiting:
                waited.setdefault(str(row["initiative_id"]), []).append(row)
                continue
            put(row["initiative_id"], table.name, tuple(row[name] for name in names), row)
    for initiative, rows in waited.items():
        for key, one in in_any_order(rows).items():
            put(initiative, "waiting", key, one)
    lines: dict[tuple[str, int, int], list[Entry]] = {}
    for row in await _rows(connection, select(t.ledger_entry).where(t.ledger_entry.c.initiative_id.in_(ids))):
        place = (str(row["initiative_id"]), row["sequence"], row["number"])
        lines.setdefault(place, []).append(Entry(account=row["account"], minor=row["minor"]))
    for row in await _rows(
        connection, select(t.ledger_transaction).where(t.ledger_transaction.c.initiative_id.in_(ids))
    ):
        place = (str(row["initiative_id"]), row["sequence"], row["number"])
        row["entries"] = debits_first(lines.pop(place, ()))
        put(place[0], "ledger", place[1:], row)
    for (initiative, sequence, number), some in lines.items():
        put(initiative, "ledger", (sequence, number), {"entries": debits_first(some)})
    return found


def _in_order(table: Table) -> Select[Any]:
    return select(table).order_by(*table.primary_key.columns)


async def _rows(connection: AsyncConnection, wanted: Select[Any]) -> list[dict[str, Any]]:
    return [_utc(dict(row)) for row in (await connection.execute(wanted)).mappings()]


def _utc(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.astimezone(UTC) if isinstance(value, datetime) else value for key, value in row.items()
    }


# ---- what no initiative's trail has


async def mandate_faults(connection: AsyncConnection) -> AsyncIterator[Fault]:
    """Mandates that are not as their directorate's trail has them."""
    due: dict[str, Mandate] = {}
    trail_of: dict[str, str] = {}
    e = t.audit_entry.c
    wanted = select(*COLUMNS).where(e.action.in_([mandates.GIVEN, mandates.REVOKED]))
    for row in (await connection.execute(wanted.order_by(e.initiative_id, e.sequence))).mappings():
        entry = entry_of(dict(row))
        try:
            one = Mandate.model_validate(entry.body)
        except ValueError:
            yield Fault(
                entry.initiative, entry.sequence, "audit_entry", "it says nothing of a mandate any more"
            )
            continue
        due[one.id], trail_of[one.id] = one, entry.initiative
    there = {str(one["id"]): one for one in await _rows(connection, select(t.mandate))}
    for identifier in sorted(due.keys() | there.keys()):
        trail = trail_of.get(identifier)
        if identifier not in there:
            yield Fault(trail, None, "mandate", f"mandate {identifier} is missing")
        elif identifier not in due:
            yield Fault(None, None, "mandate", f"mandate {identifier} was added")
        else:
            one, found = due[identifier], there[identifier]
            said = {"directorate", "delegator", "delegate", "valid_from", "valid_to", "revoked_at"}
            differing = {name for name in said if getattr(one, name) != found[name]}
            if found["body"] != one.model_dump(mode="json"):
                differing.add("body")
            if differing:
                problem = f"mandate {identifier} says another {', '.join(sorted(differing))}"
                yield Fault(trail, None, "mandate", problem)


async def document_faults(connection: AsyncConnection) -> AsyncIterator[Fault]:
    """Documents that do not have their hash, and hashes in the trail whose document is gone.

    A redacted one does not have it any more, and has to be named by an entry that says so.
    """
    redacted = set(await connection.scalars(_REDACTED))
    d = t.document.c
    wrong: dict[str, str] = {}
    async for row in await connection.stream(select(d.content_hash, d.body, d.redacted_at)):
        if row.redacted_at is not None and row.content_hash not in redacted:
            wrong[row.content_hash] = "is redacted, and no trail says so"
        elif row.redacted_at is None and not _has_hash(row.body, row.content_hash):
            wrong[row.content_hash] = "was altered"
    for key, problem in wrong.items():
        named = (await connection.execute(_NAMING, {"wanted": key})).all()
        for initiative, sequence in named:
            yield Fault(str(initiative), sequence, "document", f"{key} {problem}")
        if not named:
            yield Fault(None, None, "document", f"{key} {problem}")
    for row in await connection.execute(_GONE):
        yield Fault(str(row.initiative_id), row.sequence, "document", f"{row.subject} is gone")


def _has_hash(body: Any, expected: str) -> bool:
    try:
        return content_hash(body) == expected
    except ValueError:
        return False


_REDACTED: Final = text("""
SELECT jsonb_array_elements_text(body -> 'documents') FROM audit_entry WHERE action = 'record.redacted'
""")
_NAMING: Final = text("""
SELECT DISTINCT ON (initiative_id) initiative_id, sequence FROM audit_entry
WHERE subject = :wanted OR strpos(body::text, '"' || :wanted || '"') > 0 ORDER BY initiative_id, sequence
""")
_GONE: Final = text("""
SELECT e.initiative_id, e.sequence, named.hash AS subject FROM audit_entry e
CROSS JOIN LATERAL (
    VALUES (e.subject), (CASE WHEN e.action = 'matter.decided' THEN e.body ->> 'decision' END)
) AS named (hash)
WHERE named.hash IS NOT NULL AND e.action NOT IN ('message.refused', 'bank_statement.imported', 'attachment.downloaded')
    AND NOT EXISTS (SELECT FROM document d WHERE d.content_hash = named.hash)
ORDER BY e.initiative_id, e.sequence
""")


async def decisions(
    connection: AsyncConnection, agreement: str
) -> AsyncIterator[tuple[str, int, dict[str, Any]]]:
    """Every joint decision of a programme's initiatives, with the trail and the entry that name it."""
    rows = await connection.stream(_DECISIONS, {"agreement": agreement})
    async for row in rows:
        yield str(row.initiative_id), row.sequence, row.body


_DECISIONS: Final = text("""
SELECT e.initiative_id, e.sequence, d.body FROM audit_entry e
JOIN document d ON d.content_hash = e.body ->> 'decision'
WHERE e.action = 'matter.decided' AND d.body #>> '{agreement,id}' = :agreement
ORDER BY e.initiative_id, e.sequence
""")


# ---- the log


@dataclass(frozen=True, slots=True)
class Logged:
    """The log as it follows from the entries: how many it has, and how many are still to come into it.

    ``roots`` are those at the sizes that were asked for.
    """

    size: int
    to_come: int
    roots: Mapping[int, bytes]


async def log_faults(
    connection: AsyncConnection, sizes: Iterable[int], found: list[Fault]
) -> AsyncIterator[Logged | int]:
    """Derive the log from the entries again: how many were gone through, from time to time, and at last what it is.

    What is wrong comes into ``found``: leaves out of order or without their entry, tiles that say something else.
    """
    leaf, e = t.log_leaf.c, t.audit_entry.c
    wanted = frozenset(sizes)
    roots = {0: EMPTY} if 0 in wanted else {}
    tiles = _TileCheck(found)
    grown = Grower(keep=tiles.keep)
    rows = await connection.stream(
        select(leaf.index, leaf.position, e.hash, e.initiative_id, e.sequence)
        .join_from(t.log_leaf, t.audit_entry, e.position == leaf.position, isouter=True)
        .order_by(leaf.index)
    )
    async for index, position, entry_hash, initiative, sequence in rows:
        if index != grown.size:
            found.append(Fault(None, None, "log_leaf", f"leaf {index} follows {grown.size - 1}"))
            break
        if entry_hash is None:
            found.append(
                Fault(None, None, "log_leaf", f"the entry of leaf {index} (position {position}) is gone")
            )
            break
        tiles.now = (str(initiative), sequence)
        grown.add(_leaf(entry_hash))
        if tiles.full:
            await tiles.check(connection)
        if grown.size in wanted:
            roots[grown.size] = grown.root()
        if grown.size % 10_000 == 0:
            yield grown.size
    await tiles.check(connection)
    found += [one async for one in tiles.beyond(connection, grown.size)]
    yield Logged(grown.size, await log.missing(connection), roots)


def _leaf(entry_hash: str) -> bytes:
    try:
        return log.leaf_of(entry_hash)
    except ValueError:
        return EMPTY  # no hash at all; its trail is found broken, and the tile is not this one


class _TileCheck:
    """Holds tiles against the hashes that they have to have; the first difference in each names its entry."""

    def __init__(self, found: list[Fault]) -> None:
        self.now: tuple[str, int] = ("", 0)
        self._found = found
        self._due: dict[tuple[int, int], bytearray] = {}
        self._entries: dict[tuple[int, int], list[tuple[str, int]]] = {}
        self._whole = 0

    def keep(self, level: int, index: int, found: bytes) -> None:
        if level % log.HEIGHT == 0:
            key = (level // log.HEIGHT, index // log.WIDTH)
            self._due.setdefault(key, bytearray()).extend(found)
            self._entries.setdefault(key, []).append(self.now)
            self._whole += index % log.WIDTH == log.WIDTH - 1

    @property
    def full(self) -> bool:
        """Whether there is enough to look at."""
        return self._whole >= 64

    async def check(self, connection: AsyncConnection) -> None:
        """Compare what came together, and forget what is whole of it."""
        there = await log.tiles(connection, self._due)
        for key, due in list(self._due.items()):
            found = there.get(key, b"")[: len(due)]
            if found != due:
                same = (found[i : i + SIZE] == due[i : i + SIZE] for i in range(0, len(due), SIZE))
                first = list(same).index(False)
                trail, sequence = self._entries[key][first]
                level, index = key
                problem = f"hash {first} of tile {level}/{index} is not that of the entries under it"
                self._found.append(Fault(trail, sequence, "log_tile", problem))
            if len(due) == log.WIDTH * SIZE:
                del self._due[key], self._entries[key]
        self._whole = 0

    async def beyond(self, connection: AsyncConnection, size: int) -> AsyncIterator[Fault]:
        """Hashes in tiles of leaves that are not there."""
        total = await connection.execute(
            text(
                "SELECT level, sum(length(hashes)) / 32 AS number FROM log_tile GROUP BY level ORDER BY level"
            )
        )
        for level, number in total:
            if number > size >> log.HEIGHT * level:
                yield Fault(
                    None, None, "log_tile", f"it knew {number} hashes at level {level}: entries are gone"
                )


async def checkpoints(connection: AsyncConnection) -> dict[int, log.Made | None]:
    """Every checkpoint with its signatures, the smallest first; none where one is gone, or none any more."""
    made = union(select(t.log_checkpoint.c.size), select(t.log_signature.c.size))
    sizes = await connection.scalars(select(made.subquery().c.size).order_by("size"))
    found: dict[int, log.Made | None] = {}
    for size in sizes.all():
        try:
            found[size] = await log.checkpoint(connection, size)
        except NoteFault:
            found[size] = None
    return found

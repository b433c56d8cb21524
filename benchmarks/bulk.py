"""Filling the database by COPY with the rows that the engine would have written, a hundred entries an initiative.

Some lives are carried by the rules and written by the store into a database of their own, and what then stands in its
tables is the mould: bytes with places for what differs from one initiative to the next. That is its id, reference,
applicant, title and instants, and what follows from them: the hashes of its documents, the fingerprints of its
messages, the sides' signatures, the end-to-end ids of its payments, and the chain of its entries. All of these are
computed for each initiative, in the order in which the engine would have.

The database's own checks stay on while the rows come in: the trigger on the trail, the foreign keys, the indexes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Table, make_url

from benchmarks.lives import EMAIL, IDENTIFIER, LEAD, REFERENCE, START, TITLE, Derived, Life
from benchmarks.servers import Measured
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.agreement_file import read
from countersign.domain.audit import chain_faults, rfc3339
from countersign.domain.ids import uuid7
from countersign.domain.initiative import InitiativeState, replay
from countersign.domain.ledger import faults as ledger_faults
from countersign.domain.matter import Caller, Response
from countersign.domain.projection import Task, Waiting, waited_for
from countersign.domain.proposal import Proposal, contact_key, summarise
from countersign.domain.stage import Stage
from countersign.runtime.migrate import migrate
from countersign.runtime.resources import directory
from countersign.store import agreements, documents, initiatives, ledger, payments, record, trail
from countersign.store import tables as t
from countersign.store.session import Database
from countersign.workflows.messages import Begin, Submit

PER_INITIATIVE: Final = 100
"""Entries of an initiative, on average over a whole set of moulds."""

BATCH: Final = 200
"""Initiatives whose rows are written together, their entries in the order of time."""

APPLICANTS: Final = 500
SPREAD: Final = 10 * 86_400
"""Seconds by which initiatives of one mould are apart at the most; less than a third of everybody's time."""

WORDS: Final = (
    *(
        "harvest",
        "glacier",
        "lantern",
        "orchard",
        "meadow",
        "copper",
        "willow",
        "harbour",
        "marble",
        "saffron",
    ),
    *("juniper", "falcon", "granite", "heron", "ivory", "quarry", "amber", "thistle", "walnut", "zephyr"),
)
"""Every title has one of them, so that a search for one finds its part."""

_OF_INITIATIVE: Final[dict[Table, str]] = {
    t.initiative: "id",
    t.proposal_version: "initiative_id",
    t.matter: "initiative_id",
    t.condition: "initiative_id",
    t.tranche: "initiative_id",
    t.report: "initiative_id",
    t.payment_instruction: "initiative_id",
    t.waiting: "initiative_id",
    t.event: "initiative_id",
    t.audit_entry: "initiative_id",
    t.ledger_transaction: "initiative_id",  # after the entries that they follow from
    t.ledger_entry: "initiative_id",
}
_IN_TIME: Final = (t.event, t.audit_entry)
_CHANGES: Final = re.compile(
    rb"sha256:[0-9a-f]{64}|eyJ[\w-]+\.[\w-]+\.[\w-]+|CS[0-9A-F]{20}T\d\dA\d\d|2\d{3}-\d\d-\d\d[T ]\d\d:\d\d:\d\d"
    rb"|\b[0-9a-f]{16}\b|\b[0-9a-f]{32}\b|" + "|".join((IDENTIFIER, REFERENCE, LEAD, TITLE)).encode()
)


@dataclass(frozen=True)
class Plan:
    """Which life is a mould: the example it begins with, how far it goes, and what is answered on the way."""

    example: str
    until: Callable[[Life], bool]
    answers: Response = Response.APPROVE


def _stage(stage: Stage) -> Callable[[Life], bool]:
    return lambda life: life.stage is stage


def _report(number: int) -> Callable[[Life], bool]:
    """A report is before both sides."""

    def reached(life: Life) -> bool:
        due = life.state.report(number)
        return due is not None and due.content_hash is not None and _waits_in_a_matter(life.state)

    return reached


def _reporting(life: Life) -> bool:
    waits = list(waited_for(life.state))
    return [one.task for one in waits] == [Task.REPORT] and len(life.state.matters) > 3


def _waits_in_a_matter(state: InitiativeState) -> bool:
    return any(one.is_open for one in state.matters)


PLANS: Final = (
    Plan("doctoral-exchange-school", _stage(Stage.CLOSED)),
    Plan("doctoral-exchange-school", _report(6)),
    Plan("doctoral-exchange-school", _report(5)),
    Plan("doctoral-exchange-school", _stage(Stage.CLOSING)),
    Plan("doctoral-exchange-school", _stage(Stage.ELIGIBILITY)),
    Plan("water-loss-detection", _stage(Stage.CLOSED)),
    Plan("water-loss-detection", _stage(Stage.CLOSING)),
    Plan("water-loss-detection", _report(5)),
    Plan("water-loss-detection", _report(4)),
    Plan("water-loss-detection", _report(3)),
    Plan("water-loss-detection", _stage(Stage.DECISION)),
    Plan("supercomputer-allocation", _stage(Stage.CLOSED)),
    Plan("supercomputer-allocation", _stage(Stage.CLOSING)),
    Plan("supercomputer-allocation", _report(4)),
    Plan("supercomputer-allocation", _stage(Stage.DECISION)),
    Plan("supercomputer-allocation", _reporting),
    Plan("low-resource-language-models", _stage(Stage.CLOSING)),
    Plan("low-resource-language-models", _stage(Stage.CONTRACTING)),
    Plan("low-resource-language-models", _stage(Stage.REVISION), Response.RETURN),
    Plan("low-resource-language-models", _stage(Stage.CONDITIONS), Response.APPROVE_WITH_CONDITIONS),
)
"""Initiatives in every part of their life, four in five of them before both sides."""


def _carried(plan: Plan, agreement: ProgrammeAgreement, keys: Path, refused: int) -> Life:
    body = json.loads((directory("examples") / f"{plan.example}.json").read_text(encoding="utf-8"))
    for partner in body["partners"]:
        if partner["role"] == "lead":
            partner["contact"]["email"] = EMAIL
    body["title"]["en"] += f", {TITLE}"
    life = Life(agreement, Proposal.model_validate(body), keys)
    life.refuse(refused)
    if plan.answers is not Response.APPROVE:
        life.go_on(_stage(Stage.DECISION))
        life.respond(plan.answers)
    life.go_on(plan.until)
    return life


class Text:
    """Bytes with places in them."""

    def __init__(self, text: bytes, places: dict[bytes, int]) -> None:
        self._parts: list[bytes] = []
        self._slots: list[tuple[int, int]] = []
        end = 0
        for found in _CHANGES.finditer(text):
            place = places.get(found[0])
            if place is not None:
                self._parts += [text[end : found.start()], b""]
                self._slots.append((len(self._parts) - 1, place))
                end = found.end()
        self._parts.append(text[end:])

    def cast(self, values: Sequence[bytes]) -> bytes:
        parts = self._parts.copy()
        for slot, place in self._slots:
            parts[slot] = values[place]
        return b"".join(parts)


@dataclass
class Mould:
    """One life with places; ``opened`` says whether it stands before both sides, ``over`` whether it has ended."""

    life: Life
    rows: dict[Table, list[Text]]
    state: Text
    derived: list[tuple[Derived, Text, bytes]]
    times: list[tuple[datetime, str]]
    """The instants, to the second, each with what stands between its day and its hour."""
    applicants: list[tuple[bytes, bytes]]
    entry_times: dict[Table, list[int]] = field(default_factory=dict)
    """Of the rows that are written in the order of time: the place that holds the instant of each."""

    @property
    def opened(self) -> bool:
        return _waits_in_a_matter(self.life.state)

    @property
    def over(self) -> bool:
        return self.life.state.is_over


def _applicants(proposal: Proposal) -> list[tuple[bytes, bytes]]:
    """Applicants whose contact key stands where the mould's own does among the people, who are sorted by it."""
    people = summarise(proposal).people
    own = people.index(contact_key(EMAIL))
    after = people[own - 1] if own else ""
    before = people[own + 1] if own + 1 < len(people) else "g"
    found: list[tuple[bytes, bytes]] = []
    number = 0
    while len(found) < APPLICANTS:
        number += 1
        handle = f"applicant-{number}"
        key = contact_key(EMAIL.replace(LEAD, handle))
        if after < key < before:
            found.append((handle.encode(), key.encode()))
    return found


def _mould(life: Life, rows: dict[Table, list[bytes]]) -> Mould:
    texts = [line for lines in rows.values() for line in lines]
    texts += [one.source for one in life.derived.values()]
    texts.append(life.state.model_dump_json().encode())
    stamps = sorted(
        {
            found[0]
            for text in texts
            for found in _CHANGES.finditer(text)
            if found[0][4:5] == b"-" and START.year <= int(found[0][:4]) < START.year + 20
        }
    )
    fixed = [IDENTIFIER, REFERENCE, LEAD, contact_key(EMAIL), TITLE]
    named = [one.encode() for one in fixed] + stamps + [one.encode() for one in life.derived]
    places = {name: place for place, name in enumerate(named)}
    proposal = next(Proposal.model_validate(one) for one in life.documents.values() if "partners" in one)
    return Mould(
        life=life,
        rows={table: [Text(line, places) for line in lines] for table, lines in rows.items()},
        state=Text(texts[-1], places),
        derived=[
            (one, Text(one.source, places), one.value.split(".")[0].encode()) for one in life.derived.values()
        ],
        times=[(datetime.fromisoformat(one.decode()), chr(one[10])) for one in stamps],
        applicants=_applicants(proposal),
        entry_times={
            table: [_first_place(line, places, stamps) for line in rows[table]] for table in _IN_TIME
        },
    )


def _first_place(line: bytes, places: dict[bytes, int], stamps: Sequence[bytes]) -> int:
    """The first instant of a row is its own: ``at`` stands before ``body`` and ``data``."""
    known = set(stamps)
    return next(places[found[0]] for found in _CHANGES.finditer(line) if found[0] in known)


@dataclass(frozen=True)
class Cast:
    """Which initiative: the mould and the number that everything else follows from."""

    mould: Mould
    number: int


class Bulk:
    """Initiatives by the thousand in a database, each from one of the moulds in turn.

    That database is the servers' own, or at ``url``; the moulds may be those of another one's.
    """

    def __init__(self, measured: Measured, *, beside: Bulk | None = None, url: str | None = None) -> None:
        self._measured = measured
        self.url = url or measured.services.database_url
        settings = measured.services.settings()
        assert settings.signing_keys is not None
        self._keys = settings.signing_keys
        self.agreement = read(settings.agreement.read_text(encoding="utf-8"))
        self._private = {
            side: _private_key(self._keys / f"{side}.jwk.json") for side in self.agreement.directorate_ids
        }
        self._now = int(time.time()) - 60
        self._moulds: list[Mould] = [] if beside is None else beside._moulds
        self.loaded: list[Cast] = []

    async def prepare(self) -> None:
        """Make the moulds."""
        plain = sum(_carried(plan, self.agreement, self._keys, 0).entries for plan in PLANS)
        each, more = divmod(PER_INITIATIVE * len(PLANS) - plain, len(PLANS))
        url = await self._measured.services.postgres.create_database("moulds")
        await migrate(url)
        await _execute(
            url, "ALTER DATABASE moulds SET synchronous_commit = off"
        )  # nobody misses it after a crash
        database = Database(url)
        async with database.transaction() as connection:
            await agreements.register(connection, self.agreement)
        for number, plan in enumerate(PLANS):
            life = _carried(plan, self.agreement, self._keys, each + (number < more))
            # Each is written in a database without the others: they all have the same id.
            await _written(database, life)
            self._moulds.append(_mould(life, await _rows(url, life)))
            await _emptied(url)
        await database.close()

    async def load(self, initiatives: int, *, opened: bool = False) -> float:
        """So many more initiatives, perhaps only such as stand before both sides; the seconds it took."""
        moulds = [one for one in self._moulds if one.opened or not opened]
        first = len(self.loaded)
        added = [Cast(moulds[i % len(moulds)], first + i) for i in range(initiatives)]
        began = time.perf_counter()
        database = Database(self.url, pool_size=1)
        async with database.transaction() as registering:
            await agreements.register(registering, self.agreement)
        await database.close()
        connection = await _connect(self.url)
        await connection.execute("SET synchronous_commit = off")
        try:
            writing: asyncio.Task[None] | None = None
            for start in range(0, len(added), BATCH):
                rows = await asyncio.to_thread(self._cast, added[start : start + BATCH])
                if writing is not None:
                    await writing
                writing = asyncio.create_task(_copy(connection, rows))
            if writing is not None:
                await writing
            self.loaded += added
            await self._count_references(connection)
            await connection.execute(
                "VACUUM (ANALYZE)"
            )  # as autovacuum will have done by the time there are so many
        finally:
            await connection.close()
        return time.perf_counter() - began

    def begin(self, cast: Cast) -> Begin:
        """What a run of that initiative would go on with."""
        state = InitiativeState.model_validate_json(cast.mould.state.cast(self._values(cast)))
        submission = Submit(
            initiative=state.id,
            reference=state.reference,
            agreement=self.agreement.id,
            agreement_version=self.agreement.version,
            content_hash=state.content_hash,
            applicant=state.applicant,
        )
        return Begin(submission=submission, state=state)

    def id_of(self, cast: Cast) -> str:
        """Its initiative's id."""
        return self._start(cast)[0]

    def ids(self) -> list[str]:
        """The ids of all that was loaded."""
        return [self.id_of(one) for one in self.loaded]

    def instants(self) -> list[str]:
        """When each of them was submitted, as its first entry has it."""
        return [rfc3339(START + self._start(one)[1]) for one in self.loaded]

    def _before(self, cast: Cast) -> InitiativeState:
        """The state before the first entry, for a replay."""
        state = self.begin(cast).submission
        return InitiativeState(
            id=state.initiative,
            reference=state.reference,
            terms=self.agreement.terms(),
            applicant=Caller.model_validate(state.applicant.model_dump()),
        )

    async def check(self, sample: int) -> None:
        """Hold some of what was loaded against what the rules make of it.

        Raises:
            RuntimeError: a chain does not verify, or a trail does not give the rows and the state beside it.
        """
        for cast in random.Random(sample).sample(self.loaded, min(sample, len(self.loaded))):
            state = self.begin(cast).state
            assert state is not None
            async with self._measured.database.reading() as connection:
                entries = await trail.entries_from(connection, state.id)
                row = await initiatives.find(connection, state.id)
                waiting = await initiatives.waiting(connection, state.id)
                matters = await initiatives.matters(connection, state.id)
                tranches = await initiatives.tranches(connection, state.id)
                reports = await initiatives.reports(connection, state.id)
            posted = tuple([one async for one in ledger.all_transactions(self._measured.database, state.id)])
            faults = chain_faults(entries)
            if faults or replay(self._before(cast), entries) != state:
                raise RuntimeError(f"the trail of {state.reference} does not hold: {faults[:3]}")
            if wrong := ledger_faults(entries, posted):
                raise RuntimeError(f"the ledger of {state.reference} does not hold: {wrong[:3]}")
            told = (*matters, *tranches, *reports)
            same = told == (*state.matters, *state.tranches, *state.reports)
            # JSON keeps no order of the sides.
            same = same and sorted(map(repr, waiting)) == sorted(map(repr, _as_read(waited_for(state))))
            if row is None or (row.sequence, row.stage) != (state.sequence, state.stage) or not same:
                raise RuntimeError(f"the rows of {state.reference} are not what its trail comes to")

    # ---- casting

    def _start(self, cast: Cast) -> tuple[str, timedelta]:
        """The id, and how much later than the mould's everything of it was."""
        entropy = hashlib.sha256(str(cast.number).encode()).digest()
        back = int.from_bytes(entropy[-4:], "big") % SPREAD
        ahead = timedelta(seconds=self._now - int(cast.mould.life.now.timestamp()) - back)
        return str(uuid7(START + ahead, entropy)), ahead

    def _values(self, cast: Cast) -> list[bytes]:
        mould, number = cast.mould, cast.number
        identifier, ahead = self._start(cast)
        submitted = START + ahead
        handle, contact = mould.applicants[number % APPLICANTS]
        reference = f"{self.agreement.reference_prefix}-{submitted.year}-{number + 1:04d}"
        values = [
            identifier.encode(),
            reference.encode(),
            handle,
            contact,
            f"{WORDS[number // len(PLANS) % len(WORDS)]} {number}".encode(),
            *((one + ahead).isoformat(between)[:19].encode() for one, between in mould.times),
        ]
        for one, source, header in mould.derived:
            values.append(self._derived(one, source.cast(values), header))
        return values

    def _derived(self, one: Derived, source: bytes, header: bytes) -> bytes:
        if one.kind == "jws":
            signed = header + b"." + _base64(source)
            return signed + b"." + _base64(self._private[one.side].sign(signed))
        digest = hashlib.sha256(source).hexdigest()
        match one.kind:
            case "sha256":
                return b"sha256:" + digest.encode()
            case "fingerprint":
                return digest[:16].encode()
            case _:
                return b"CS" + digest[:20].upper().encode() + one.value[22:].encode()

    def _cast(self, casts: Iterable[Cast]) -> dict[Table, bytes]:
        rows: dict[Table, list[bytes]] = {table: [] for table in (t.document, t.claim, *_OF_INITIATIVE)}
        in_time: dict[Table, list[tuple[bytes, int, bytes]]] = {table: [] for table in _IN_TIME}
        for cast in casts:
            values = self._values(cast)
            for table, texts in cast.mould.rows.items():
                if table in in_time:
                    places = cast.mould.entry_times[table]
                    in_time[table] += [
                        (values[place], order, text.cast(values))
                        for order, (place, text) in enumerate(zip(places, texts, strict=True))
                    ]
                else:
                    rows[table] += [text.cast(values) for text in texts]
            key = hashlib.sha256(values[0]).hexdigest()[:32].encode()
            content = self._derived(*_proposal_of(cast.mould, values))
            rows[t.claim].append(
                b"\t".join((b"applicants/" + values[2], key, content, values[0], values[1])) + b"\n"
            )
        for table, lines in in_time.items():
            rows[table] = [line for *_, line in sorted(lines)]
        return {table: b"".join(lines) for table, lines in rows.items()}

    async def _count_references(self, connection: asyncpg.Connection) -> None:
        """So that what is submitted next goes on where the references end."""
        await connection.execute(
            "INSERT INTO reference_counter (prefix, year, last) SELECT $1, year, $2 FROM generate_series(2000, 2100) "
            "AS year ON CONFLICT (prefix, year) DO UPDATE SET last = excluded.last",
            self.agreement.reference_prefix,
            len(self.loaded),
        )


def _as_read(waiting: Iterable[Waiting]) -> list[Waiting]:
    """With instants as the database gives them."""
    return [Waiting.model_validate(_in_utc(one.model_dump())) for one in waiting]


def _in_utc(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.astimezone(UTC) if isinstance(value, datetime) else value for key, value in values.items()
    }


def _proposal_of(mould: Mould, values: Sequence[bytes]) -> tuple[Derived, bytes, bytes]:
    one, source, header = mould.derived[0]
    return one, source.cast(values), header


def _private_key(path: Path) -> Ed25519PrivateKey:
    secret = json.loads(path.read_text(encoding="utf-8"))["d"]
    return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4)))


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _columns(table: Table) -> list[str]:
    """The columns that the engine fills itself."""
    return [one.name for one in table.columns if one.identity is None and one.server_default is None]


_CLAIMED: Final = ["caller", "key", "fingerprint", "initiative_id", "reference"]


async def _connect(url: str) -> asyncpg.Connection:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return await asyncpg.connect(plain)


async def _execute(url: str, *statements: str) -> None:
    connection = await _connect(url)
    try:
        for one in statements:
            await connection.execute(one)
    finally:
        await connection.close()


async def _copy(connection: asyncpg.Connection, rows: dict[Table, bytes]) -> None:
    async with connection.transaction():
        for table, lines in rows.items():
            columns = _CLAIMED if table is t.claim else _columns(table)
            await connection.copy_to_table(table.name, source=io.BytesIO(lines), columns=columns)


async def _written(database: Database, life: Life) -> None:
    """Have the store write a life, as the activities would."""
    async with database.transaction() as connection:
        for content, body in life.documents.items():
            await documents.keep(connection, content, body)
    for step in life.steps:
        standing = await record.append(database, step)
        assert not standing
    for one in life.instructed:
        await payments.instruct(
            database,
            initiative=life.state.id,
            tranche=one.tranche,
            directorate=one.side,
            instructions=one.instructions,
            at=one.at,
        )


async def _rows(url: str, life: Life) -> dict[Table, list[bytes]]:
    """What stands in the tables, in PostgreSQL's own text for COPY."""
    connection = await _connect(url)
    try:
        found = {t.document: await _dumped(connection, t.document, "TRUE")}
        for table, column in _OF_INITIATIVE.items():
            found[table] = await _dumped(connection, table, f"{column} = '{life.state.id}'")
        return found
    finally:
        await connection.close()


async def _dumped(connection: asyncpg.Connection, table: Table, which: str) -> list[bytes]:
    order = "sequence" if table in _IN_TIME else ", ".join(one.name for one in table.primary_key)
    columns = ", ".join(f'"{name}"' for name in _columns(table))
    out = io.BytesIO()
    await connection.copy_from_query(
        f"SELECT {columns} FROM {table.name} WHERE {which} ORDER BY {order}", output=out
    )
    return out.getvalue().splitlines(keepends=True)


async def _emptied(url: str) -> None:
    """Make room for the next life; only here, where nobody's record is, may the trail be emptied."""
    beside = (
        *(t.document, t.initiative_person, t.initiative_text, t.deferral, t.report_draft),
        *(t.initiative_attachment, t.log_leaf),
    )
    tables = ", ".join(one.name for one in (*beside, *_OF_INITIATIVE))
    guarded = [
        f"TABLE {table} {{}} TRIGGER {table}_append_only"
        for table in ("audit_entry", "document", "ledger_transaction", "ledger_entry", "log_leaf")
    ]
    await _execute(
        url,
        *(f"ALTER {one.format('DISABLE')}" for one in guarded),
        f"TRUNCATE {tables}",
        *(f"ALTER {one.format('ENABLE ALWAYS')}" for one in guarded),
    )

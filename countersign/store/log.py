"""The Merkle log over all trails: growing it by what was recorded, proofs from it, and its signed checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain import merkle
from countersign.domain.checkpoint import Checkpoint, SignedCheckpoint, read_note
from countersign.domain.merkle import Grower, HashAt
from countersign.store import books
from countersign.store import tables as t

T = TypeVar("T")

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
"""A tile has the hashes of up to so many subtrees beside each other; those above are :data:`HEIGHT` levels higher."""

AT_ONCE: Final = 4_000
"""Entries that are taken into the log in one transaction. So many take a moment, for which the worker that does it
answers nobody."""

_BOOK: Final = "log"
_STILL_COMING: Final = 10_000
"""Positions before the last one of the log among which entries may still turn up.

A position is given when an entry is written and seen when that is committed, so an entry can come after later ones. It
is seconds late; one that is later than so many others is found by :func:`missing`.
"""


def leaf_of(entry_hash: str) -> bytes:
    """The leaf of an entry: its hash, which covers all of it."""
    return merkle.leaf_hash(bytes.fromhex(entry_hash.removeprefix("sha256:")))


async def size(connection: AsyncConnection) -> int:
    """How many entries the log has."""
    found: int | None = await connection.scalar(select(func.max(t.log_leaf.c.index)))
    return 0 if found is None else found + 1


async def grow(connection: AsyncConnection, *, everywhere: bool = False) -> int:
    """Take entries into the log that are not in it, in the order of their positions; how many there were.

    At most :data:`AT_ONCE`; nobody else grows it until the transaction ends. ``everywhere`` looks among all entries.
    """
    await books.one_at_a_time(connection, _BOOK)
    e, leaf = t.audit_entry.c, t.log_leaf.c
    last = await connection.scalar(select(func.max(leaf.position)))
    wanted = select(e.position, e.hash).where(~select(leaf.index).where(leaf.position == e.position).exists())
    if last is not None and not everywhere:
        wanted = wanted.where(e.position > last - _STILL_COMING)
    found = (await connection.execute(wanted.order_by(e.position).limit(AT_ONCE))).all()
    if not found:
        return 0
    before = await size(connection)
    edge = await _with_hashes(connection, lambda at: merkle.edge_of(before, at))
    new = _Tiles()
    grown = Grower(before, edge, new.keep)
    for row in found:
        grown.add(leaf_of(row.hash))
    rows = [{"index": before + i, "position": row.position} for i, row in enumerate(found)]
    await connection.execute(insert(t.log_leaf), rows)
    await new.write(connection)
    return len(found)


async def missing(connection: AsyncConnection) -> int:
    """How many entries are not in the log, wherever they stand; looks at all of them."""
    e, leaf = t.audit_entry.c, t.log_leaf.c
    absent = ~select(leaf.index).where(leaf.position == e.position).exists()
    found: int = (
        await connection.execute(select(func.count()).select_from(t.audit_entry).where(absent))
    ).scalar_one()
    return found


async def root(connection: AsyncConnection, at_size: int) -> bytes:
    """The root of the log's first entries."""
    return await _with_hashes(connection, lambda at: merkle.root_of(at_size, at))


async def inclusion_proof(connection: AsyncConnection, index: int, at_size: int) -> list[bytes]:
    """The proof that an entry is in the log; raises ``ValueError`` when it is not."""
    return await _with_hashes(connection, lambda at: merkle.inclusion_proof(index, at_size, at))


async def inclusion_proofs(
    connection: AsyncConnection, indexes: Sequence[int], at_size: int
) -> list[list[bytes]]:
    """The proofs of several entries; the hashes that they share are read once."""
    return await _with_hashes(
        connection, lambda at: [merkle.inclusion_proof(index, at_size, at) for index in indexes]
    )


async def consistency_proof(connection: AsyncConnection, before: int, at_size: int) -> list[bytes]:
    """The proof that the log only grew between two sizes; raises ``ValueError`` when it never had them."""
    return await _with_hashes(connection, lambda at: merkle.consistency_proof(before, at_size, at))


async def index_of(connection: AsyncConnection, initiative: str, sequence: int) -> int | None:
    """Which leaf an entry of a trail is, once the log has it."""
    e, leaf = t.audit_entry.c, t.log_leaf.c
    found: int | None = await connection.scalar(
        select(leaf.index)
        .join(t.audit_entry, e.position == leaf.position)
        .where(e.initiative_id == initiative, e.sequence == sequence)
    )
    return found


async def indexes_of(connection: AsyncConnection, initiative: str) -> dict[int, int]:
    """Which leaves the entries of a trail are, by their sequence; those that the log does not have yet are left out."""
    e, leaf = t.audit_entry.c, t.log_leaf.c
    rows = await connection.execute(
        select(e.sequence, leaf.index)
        .join_from(t.log_leaf, t.audit_entry, e.position == leaf.position)
        .where(e.initiative_id == initiative)
    )
    return {sequence: index for sequence, index in rows}  # noqa: C416 - rows are no pairs to the type checker


async def entry_at(connection: AsyncConnection, index: int) -> tuple[str, int] | None:
    """The trail, and the sequence in it, of the entry that is a leaf of the log."""
    e, leaf = t.audit_entry.c, t.log_leaf.c
    wanted = select(e.initiative_id, e.sequence).join(t.log_leaf, e.position == leaf.position)
    row = (await connection.execute(wanted.where(leaf.index == index))).first()
    return None if row is None else (str(row[0]), row[1])


async def leaf_at(connection: AsyncConnection, index: int) -> bytes:
    """The hash of a leaf that is there."""
    return await _with_hashes(connection, lambda at: at(0, index))


# ---- checkpoints


@dataclass(frozen=True, slots=True)
class Made:
    """A checkpoint, when it was made, and the sides that have signed it."""

    signed: SignedCheckpoint
    made_at: datetime
    by: tuple[str, ...]


async def make_checkpoint(connection: AsyncConnection, origin: str, at: datetime) -> Made | None:
    """The checkpoint of the log as it is now, made unless it was made before; none of a log without entries."""
    now = await size(connection)
    if now == 0:
        return None
    values = {"size": now, "origin": origin, "root": await root(connection, now), "made_at": at}
    await connection.execute(insert(t.log_checkpoint).values(values).on_conflict_do_nothing())
    return await checkpoint(connection, now)


async def keep_signature(
    connection: AsyncConnection, at_size: int, directorate: str, line: str, at: datetime
) -> None:
    """Keep a side's signature of a checkpoint; the first one of a side stays."""
    values = {"size": at_size, "directorate": directorate, "line": line, "signed_at": at}
    await connection.execute(insert(t.log_signature).values(values).on_conflict_do_nothing())


async def checkpoint(connection: AsyncConnection, at_size: int | None = None) -> Made | None:
    """A checkpoint with its signatures: the one of that size, or the last that any side has signed."""
    c, s = t.log_checkpoint.c, t.log_signature.c
    wanted = select(c.size, c.origin, c.root, c.made_at)
    if at_size is None:
        wanted = (
            wanted.where(select(s.size).where(s.size == c.size).exists()).order_by(c.size.desc()).limit(1)
        )
    else:
        wanted = wanted.where(c.size == at_size)
    found = (await connection.execute(wanted)).first()
    if found is None:
        return None
    lines = (
        await connection.execute(
            select(s.directorate, s.line).where(s.size == found.size).order_by(s.directorate)
        )
    ).all()
    unsigned = Checkpoint(found.origin, found.size, bytes(found.root))
    note = f"{unsigned.text}\n{''.join(one.line for one in lines)}"
    signed = read_note(note) if lines else SignedCheckpoint(unsigned, ())
    return Made(signed, found.made_at, tuple(one.directorate for one in lines))


async def signed_by_all(connection: AsyncConnection, sides: Sequence[str]) -> Made | None:
    """The last checkpoint that every one of these sides has signed."""
    s = t.log_signature.c
    found: int | None = await connection.scalar(
        select(s.size)
        .where(s.directorate.in_(sides))
        .group_by(s.size)
        .having(func.count() == len(sides))
        .order_by(s.size.desc())
        .limit(1)
    )
    return None if found is None or not sides else await checkpoint(connection, found)


async def last_signed(connection: AsyncConnection, directorate: str) -> int:
    """The size of the last checkpoint that a side has signed; 0 when it has signed none."""
    s = t.log_signature.c
    found: int | None = await connection.scalar(select(func.max(s.size)).where(s.directorate == directorate))
    return found or 0


# ---- tiles


class _Tiles:
    """Hashes of whole subtrees, by the tile that they belong to."""

    def __init__(self) -> None:
        self._new: dict[tuple[int, int], dict[int, bytes]] = {}

    def keep(self, level: int, index: int, found: bytes) -> None:
        if level % HEIGHT == 0:
            self._new.setdefault((level // HEIGHT, index // WIDTH), {})[index % WIDTH] = found

    async def write(self, connection: AsyncConnection) -> None:
        """Put what is new behind what the tiles have."""
        there = await tiles(connection, self._new)
        rows = []
        for (level, index), new in self._new.items():
            hashes = bytearray(there.get((level, index), b""))
            for place in sorted(new):
                assert len(hashes) == place * merkle.SIZE, "a tile is filled from its beginning"
                hashes += new[place]
            rows.append({"level": level, "index": index, "hashes": bytes(hashes)})
        written = insert(t.log_tile).values(rows)
        await connection.execute(
            written.on_conflict_do_update(
                index_elements=["level", "index"], set_={"hashes": written.excluded.hashes}
            )
        )


async def _with_hashes(connection: AsyncConnection, asked: Callable[[HashAt], T]) -> T:
    """What follows from hashes of the log: asked once to hear which are needed, and again with them."""
    needed: set[tuple[int, int]] = set()

    def note(level: int, index: int) -> bytes:
        needed.add(_place(level, index)[0])
        return merkle.EMPTY

    asked(note)
    known = await tiles(connection, needed)
    return asked(lambda level, index: _hash_in(known, level, index))


def _place(level: int, index: int) -> tuple[tuple[int, int], int, int]:
    """The tile under a subtree, where in it that begins, and how many of its hashes it is made of."""
    tile, above = divmod(level, HEIGHT)
    first = index << above
    return (tile, first // WIDTH), first % WIDTH, 1 << above


def _hash_in(known: dict[tuple[int, int], bytes], level: int, index: int) -> bytes:
    tile, first, number = _place(level, index)
    hashes = known[tile][first * merkle.SIZE : (first + number) * merkle.SIZE]
    row = [hashes[i : i + merkle.SIZE] for i in range(0, len(hashes), merkle.SIZE)]
    while len(row) > 1:
        row = [merkle.node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


async def tiles(
    connection: AsyncConnection, wanted: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """Tiles by their level and their index there, as far as there are any."""
    places: Sequence[tuple[int, int]] = list(wanted)
    tile = t.log_tile.c
    rows = await connection.execute(
        select(tile.level, tile.index, tile.hashes).where(tuple_(tile.level, tile.index).in_(places))
    )
    return {(level, index): bytes(hashes) for level, index, hashes in rows}

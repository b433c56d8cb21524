"""The chain of the trail: whatever is altered, dropped, added or moved is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.domain import audit
from countersign.domain.audit import AuditEntry
from tests.domain.lives import INITIATIVE, START

LENGTH = 8


def a_trail(length: int = LENGTH, salt: str = "") -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for sequence in range(1, length + 1):
        entries.append(
            audit.seal(
                initiative=INITIATIVE,
                sequence=sequence,
                action="stage.entered",
                actor=audit.SYSTEM,
                at=START + timedelta(seconds=sequence),
                body={"stage": f"{salt}{sequence}", "flag": True},
                previous=audit.head(entries),
            )
        )
    return entries


places = st.integers(0, LENGTH - 1)


def test_a_trail_as_it_was_written_has_no_faults() -> None:
    assert audit.chain_faults(a_trail()) == []
    assert audit.chain_faults([]) == []
    assert audit.head([]) == audit.GENESIS


CHANGES: dict[str, Any] = {
    "initiative": INITIATIVE.replace("1", "2"),
    "action": "matter.decided",
    "actor": "il/somebody",
    "on_behalf_of": "il/else",
    "at": "2030-01-01T00:00:00.000000Z",
    "subject": "sha256:" + "f" * 64,
    "message": "another",
    "body": {"stage": "closed", "flag": 1},
}


@given(places, st.sampled_from(sorted(CHANGES)))
def test_an_altered_field_is_detected_and_the_entry_named(place: int, field: str) -> None:
    trail = a_trail()
    trail[place] = trail[place].model_copy(update={field: CHANGES[field]})
    assert audit.chain_faults(trail) == [f"entry {place + 1} was altered"]


@given(places)
def test_an_entry_altered_with_a_fitting_hash_is_no_longer_continued(place: int) -> None:
    trail = a_trail()
    fields = trail[place].model_dump(exclude={"hash"}) | {"actor": "il/forger"}
    trail[place] = AuditEntry(**fields, hash=audit.entry_hash(fields))
    faults = audit.chain_faults(trail)
    if place < LENGTH - 1:
        assert faults == [f"entry {place + 2} does not continue the entry before it"]
    # The last one has nothing after it: that is what signed checkpoints are for.


@given(st.integers(0, LENGTH - 2))
def test_a_missing_entry_is_detected(place: int) -> None:
    trail = a_trail()
    del trail[place]
    assert audit.chain_faults(trail) == [
        f"entry {place + 2} follows {place}",
        f"entry {place + 2} does not continue the entry before it",
    ]


@given(places, places)
def test_an_added_entry_is_detected(place: int, other: int) -> None:
    trail = a_trail()
    trail.insert(place, a_trail(salt="x")[other])
    assert audit.chain_faults(trail)


@given(places, places)
def test_two_entries_that_changed_places_are_detected(first: int, second: int) -> None:
    trail = a_trail()
    trail[first], trail[second] = trail[second], trail[first]
    assert bool(audit.chain_faults(trail)) == (first != second)


@given(st.integers(1, LENGTH - 1))
def test_a_part_of_a_trail_is_checked_against_the_entry_before_it(start: int) -> None:
    trail = a_trail()
    assert audit.chain_faults(trail[start:], after=trail[start - 1]) == []
    assert audit.chain_faults(trail[start:]) != []
    assert audit.chain_faults(a_trail(salt="x")[start:], after=trail[start - 1]) != []


def test_the_hash_covers_every_field_but_itself() -> None:
    entry = a_trail(1)[0]
    assert set(CHANGES) | {"sequence", "previous", "hash"} == set(AuditEntry.model_fields)
    whole = entry.model_dump()
    assert audit.entry_hash(whole) == entry.hash
    for field in set(whole) - {"hash"}:
        assert audit.entry_hash(whole | {field: "another"}) != entry.hash


def test_an_instant_has_one_spelling() -> None:
    baku = timezone(timedelta(hours=4))
    at = datetime(2027, 3, 20, 12, 0, 0, 5, tzinfo=baku)
    assert audit.rfc3339(at) == audit.rfc3339(at.astimezone(UTC)) == "2027-03-20T08:00:00.000005Z"
    assert a_trail(1)[0].instant == START + timedelta(seconds=1)
    with pytest.raises(ValueError, match="aware"):
        audit.rfc3339(at.replace(tzinfo=None))

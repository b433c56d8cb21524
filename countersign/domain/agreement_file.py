"""A programme agreement read from its TOML file: every fault of form and of sense at once, each with its line."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import available_timezones

from pydantic import ValidationError

from countersign.domain import legal_text
from countersign.domain.agreement import FINANCE_OFFICE, MatterKind, ProgrammeAgreement
from countersign.domain.amounts import COMPUTE_UNIT, parse_amount
from countersign.domain.toml_lines import Path, lines


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an agreement: its path in the file, its line where known, what is wrong."""

    place: str
    line: int | None
    problem: str

    def __str__(self) -> str:
        where = f"line {self.line}, {self.place}" if self.line else self.place
        return f"{where}: {self.problem}"


class AgreementFaults(ValueError):
    """Everything wrong with an agreement, at once, in the order of the file."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


def read(text: str) -> ProgrammeAgreement:
    """The agreement written in ``text`` (TOML).

    Raises:
        AgreementFaults: with every fault of form and of sense, each with its place.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line (\d+)", str(error))
        raise AgreementFaults([Fault("file", int(where[1]) if where else None, str(error))]) from error
    places = lines(text)
    found: list[tuple[Path, str]] = []
    agreement: ProgrammeAgreement | None = None
    try:
        agreement = ProgrammeAgreement.model_validate(raw)
    except ValidationError as error:
        found += _formless(error, _Lenient(raw))
    # Sense is checked on the raw data, so that a fault of form in one block does not hide those in others.
    known_bad = {path for path, _ in found}
    found += [one for one in _senseless(_Lenient(raw)) if one[0] not in known_bad]
    if found:
        faults = {Fault(_dotted(path), _line_of(places, path), problem) for path, problem in found}
        raise AgreementFaults(sorted(faults, key=lambda f: (f.line or 0, f.place, f.problem)))
    assert agreement is not None
    return agreement


_PLAINLY: Final = {
    "missing": "is missing",
    "extra_forbidden": "means nothing here; is it misspelt?",
    "string_type": "is a text in quotation marks",
    "int_type": "is a whole number",
    "bool_type": "is true or false",
    "tuple_type": "is a list in brackets",
    "dict_type": "is a table",
    "model_type": "is a table",
}
"""What pydantic calls it, and what it is called to somebody who reads agreements, not programs."""


def _formless(error: ValidationError, raw: _Lenient) -> Iterator[tuple[Path, str]]:
    for one in error.errors(include_url=False):
        path = tuple(part for part in one["loc"] if part != "[key]")
        if one["type"] == "too_short" and raw.has(*path):
            continue  # not empty: its elements are at fault, and each of them is listed
        problem = _PLAINLY.get(one["type"], one["msg"].removeprefix("Value error, "))
        if one["type"] == "string_pattern_mismatch":
            problem = f"{one['input']!r} does not have the form {one['ctx']['pattern']}"
        yield path, problem


class _Lenient:
    """Raw TOML read without trusting its shape: what is missing or of another type is simply not there."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw

    def table(self, *path: str | int) -> dict[str, Any]:
        value = self._at(path)
        return value if isinstance(value, dict) else {}

    def tables(self, *path: str | int) -> list[tuple[Path, dict[str, Any]]]:
        value = self._at(path)
        items = value if isinstance(value, list) else []
        return [((*path, i), item) for i, item in enumerate(items) if isinstance(item, dict)]

    def strings(self, *path: str | int) -> list[str]:
        value = self._at(path)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def text(self, *path: str | int) -> str | None:
        value = self._at(path)
        return value if isinstance(value, str) else None

    def texts(self, blocks: Iterable[tuple[Path, Any]], key: str) -> set[str]:
        """What some blocks have under ``key``."""
        return {value for path, _ in blocks if (value := self.text(*path, key)) is not None}

    def has(self, *path: str | int) -> bool:
        """Whether something stands there that is not empty."""
        return bool(self._at(path))

    def _at(self, path: Path) -> Any:
        value: Any = self.raw
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value


_PLAN: Final = ("on_signature", "on_reports", "on_closure")


def _senseless(raw: _Lenient) -> Iterator[tuple[Path, str]]:
    yield from _directorate_faults(raw)
    yield from _key_faults(raw)
    yield from _area_faults(raw)
    yield from _budget_faults(raw)
    yield from _chain_faults(raw)
    if languages := set(raw.strings("languages")):
        yield from _text_faults(raw.raw, languages, ())
        yield from _language_faults(raw, languages)
    yield from _placeholder_faults(raw)
    plan = [part for part in map(raw.table("tranches").get, _PLAN) if isinstance(part, int)]
    if len(plan) == len(_PLAN) and sum(plan) != 100:
        yield ("tranches",), f"the plan adds up to {sum(plan)} percent, not 100"
    yield from _reporting_faults(raw)
    deadlines = raw.table("deadlines", "matter")
    for kind in MatterKind:
        if deadlines and kind not in deadlines:
            yield ("deadlines", "matter", kind.value), "there is no deadline for this kind of matter"
    for path, kind_block in raw.tables("kind"):
        months = kind_block.get("months")
        numbers = [one for one in months if isinstance(one, int)] if isinstance(months, list) else []
        if len(numbers) == 2 and numbers[0] > numbers[1]:
            yield (*path, "months"), "the shortest duration is longer than the longest"


def _reporting_faults(raw: _Lenient) -> Iterator[tuple[Path, str]]:
    """Reports that would tell nothing, and what would come only after one that is so late has suspended it."""
    reporting = raw.table("reporting")
    every = [reporting.get(key) for key in ("progress_every", "financial_every")]
    if all(isinstance(one, int) and one > 1 for one in every):
        yield ("reporting", "financial_every"), "the first report would tell neither of the work nor of money"
    has_text = raw.has("funding_agreement") and not raw.has("funding_agreement", "milestone")
    if reporting.get("milestones_at_most") and has_text:
        yield ("funding_agreement", "milestone"), "the line for reports on milestones is missing"
    limit = reporting.get("overdue_limit_days")
    after, escalation = reporting.get("reminders_after_days"), reporting.get("escalation_after_days")
    days = [("reminders_after_days", one) for one in after] if isinstance(after, list) else []
    for key, one in (*days, ("escalation_after_days", escalation)):
        if isinstance(limit, int) and isinstance(one, int) and one >= limit:
            yield ("reporting", key), f"{one} days after it fell due the initiative is suspended already"


def _directorate_faults(raw: _Lenient) -> Iterator[tuple[Path, str]]:
    blocks = raw.tables("directorate")
    if len(blocks) < 2:
        yield ("directorate",), "a joint programme has at least two directorates"
    for name in ("directorate", "area", "kind", "document"):
        yield from _repeated(raw, raw.tables(name))
    for path, _ in blocks:
        if raw.text(*path, "id") == "applicants":
            yield (*path, "id"), "people of its issuer could not be told from the applicants"
    issuers: list[tuple[Path, str | None]] = [(("applicants", "issuer"), raw.text("applicants", "issuer"))]
    for path, _ in blocks:
        issuers += [((*path, key), raw.text(*path, key)) for key in ("issuer", "audit_issuer")]
        yield from _office_faults(raw, path)
        zone = raw.text(*path, "calendar", "timezone")
        if zone is not None and zone not in available_timezones():
            yield (*path, "calendar", "timezone"), f"{zone!r} is not a time zone"
    counted = Counter(issuer for _, issuer in issuers if issuer is not None)
    for path, issuer in issuers:
        if issuer is not None and counted[issuer] > 1:
            yield path, f"{issuer} vouches for more than one kind of people; each needs its own issuer"


def _office_faults(raw: _Lenient, directorate: Path) -> Iterator[tuple[Path, str]]:
    offices = raw.tables(*directorate, "office")
    yield from _repeated(raw, offices)
    known = raw.texts(offices, "id")
    if offices and FINANCE_OFFICE not in known:
        yield (*directorate, "office"), f"there is no office {FINANCE_OFFICE!r}, so nobody could pay"
    head = raw.text(*directorate, "head")
    if offices and head is not None and head not in known:
        yield (*directorate, "head"), f"{head!r} is not an office of this directorate"
    for path, _ in offices:
        target = raw.text(*path, "escalates_to")
        if target is not None and (target not in known or target == raw.text(*path, "id")):
            yield (*path, "escalates_to"), f"{target!r} is not another office of this directorate"


def _key_faults(raw: _Lenient) -> Iterator[tuple[Path, str]]:
    sides = set(_currencies(raw))
    blocks = raw.tables("signing_key")
    for path, _ in blocks:
        side = raw.text(*path, "directorate")
        if side is not None and side not in sides:
            yield (*path, "directorate"), f"there is no directorate {side!r}"
    kids = Counter(raw.text(*path, "kid") for path, _ in blocks)
    for path, _ in blocks:
        kid = raw.text(*path, "kid")
        if kid is not None and kids[kid] > 1:
            yield (*path, "kid"), f"two keys are called {kid!r}"


def _currencies(raw: _Lenient) -> dict[str, str | None]:
    """The currency of every directorate that has an id, and none where that is no text."""
    blocks = raw.tables("directorate")
    return {
        side: raw.text(*path, "currency") for path, _ in blocks if (side := raw.text(*path, "id")) is not None
    }


def _area_faults(raw: _Lenient) -> Iterator[tuple[Path, str]]:
    currencies = _currencies(raw)
    for path, _ in raw.tables("area"):
        ceilings = raw.table(*path, "ceilings")
        for missing in [one for one in currencies if one not in ceilings]:
            yield (*path, "ceilings"), f"directorate {missing!r} has no ceiling"
        for side in ceilings:
            here = (*path, "ceilings", side)
            if side not in currencies:
                yield here, f"there is no directorate {side!r}"
            else:
                yield from _ceiling_faults(raw, here, side, currencies[side], raw.strings(*path, "funds"))


def _ceiling_faults(
    raw: _Lenient, here: Path, side: str, currency: str | None, funds: list[str]
) -> Iterator[tuple[Path, str]]:
    allowed = _units(currency, funds)
    units: list[str | None] = []
    for i, written in enumerate(raw.strings(*here)):
        unit = _unit(written)
        units.append(unit)
        if unit is None or (unit != COMPUTE_UNIT and currency is None):
            continue  # the form, or the lack of a currency, was already found
        if unit not in allowed:
            yield (*here, i), f"{unit} is not what directorate {side!r} funds in this area"
        elif unit in units[:-1]:
            yield (*here, i), f"there is a ceiling in {unit} already"
    for missing in allowed:
        if missing is not None and missing not in units and None not in units:
            yield here, f"there is no ceiling in {missing}"


def _budget_faults(raw: _Lenient) -> Iterator[tuple[Path, str]]:
    currencies = _currencies(raw)
    funds = {raw.text(*path, "id"): raw.strings(*path, "funds") for path, _ in raw.tables("area")}
    seen: set[tuple[str, str | None, object, str]] = set()
    for path, block in raw.tables("budget"):
        side, area = raw.text(*path, "directorate"), raw.text(*path, "area")
        if side is None:
            continue
        if side not in currencies:
            yield (*path, "directorate"), f"there is no directorate {side!r}"
            continue
        if area is not None and area not in funds:
            yield (*path, "area"), f"there is no area {area!r}"
            continue
        given = funds[area] if area is not None else [fund for some in funds.values() for fund in some]
        currency = currencies[side]
        for i, written in enumerate(raw.strings(*path, "amounts")):
            unit, here = _unit(written), (*path, "amounts", i)
            if unit is None or (unit != COMPUTE_UNIT and currency is None):
                continue  # the form, or the lack of a currency, was already found
            if unit not in _units(currency, given):
                yield here, f"{unit} is not what directorate {side!r} funds here"
            place = (side, area, block.get("year"), unit)
            if place in seen:
                yield here, f"there is a budget in {unit} for this already"
            seen.add(place)


def _units(currency: str | None, funds: Iterable[str]) -> list[str | None]:
    """The units in which a side gives what is funded."""
    return [unit for fund, unit in (("money", currency), ("compute", COMPUTE_UNIT)) if fund in funds]


def _unit(written: str | None) -> str | None:
    """The unit of a written amount; none when it is not one, which is a fault of form."""
    try:
        return parse_amount(written or "").unit
    except ValueError:
        return None


def _chain_faults(raw: _Lenient) -> Iterator[tuple[Path, str]]:
    currencies = _currencies(raw)
    offices = {
        side: raw.texts(raw.tables(*path, "office"), "id")
        for path, _ in raw.tables("directorate")
        if (side := raw.text(*path, "id")) is not None
    }
    seen: set[tuple[str, str]] = set()
    for path, _ in raw.tables("chain"):
        kind, side = raw.text(*path, "matter"), raw.text(*path, "directorate")
        if side is None or kind is None:
            continue
        if side not in offices:
            yield (*path, "directorate"), f"there is no directorate {side!r}"
            continue
        if (kind, side) in seen:
            yield path, f"directorate {side!r} has a chain for {kind} already"
        seen.add((kind, side))
        steps = raw.tables(*path, "step")
        for step, _ in steps:
            yield from _step_faults(raw, step, side, offices[side], currencies[side])
        if steps and all("above" in step for _, step in steps):
            yield path, "every step depends on an amount, so below it nobody would sign"
    for kind in MatterKind:
        for side in offices:
            if (kind, side) not in seen:
                yield ("chain",), f"directorate {side!r} has no chain for {kind}"


def _step_faults(
    raw: _Lenient, path: Path, side: str, offices: set[str], currency: str | None
) -> Iterator[tuple[Path, str]]:
    office = raw.text(*path, "office")
    if office is not None and office not in offices:
        yield (*path, "office"), f"directorate {side!r} has no office {office!r}"
    unit = _unit(raw.text(*path, "above"))
    if None not in (unit, currency) and unit not in (currency, COMPUTE_UNIT):
        yield (*path, "above"), f"directorate {side!r} does not fund in {unit}"


def _text_faults(value: Any, languages: set[str], path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _text_faults(item, languages, (*path, i))
    elif isinstance(value, dict):
        if path and (path[-1] in ("title", "name") or path in _TEMPLATES):
            for missing in sorted(languages - set(value)):
                yield path, f"the text is missing in {missing!r}"
            for extra in sorted(set(value) - languages):
                yield (*path, extra), f"{extra!r} is not a language of this agreement"
            return
        for key, item in value.items():
            yield from _text_faults(item, languages, (*path, key))


_TEMPLATES: Final[dict[Path, frozenset[str]]] = {
    ("funding_agreement", "text"): legal_text.PLACES,
    ("funding_agreement", "report"): legal_text.IN_REPORT_LINE,
    ("funding_agreement", "milestone"): legal_text.IN_MILESTONE_LINE,
    **{
        ("report_title", kind): legal_text.IN_REPORT_LINE
        for kind in ("progress", "financial", "both", "final")
    },
    ("report_title", "milestone"): legal_text.IN_MILESTONE_LINE,
    **{
        ("funding_agreement", "tranche", trigger): known
        for trigger, known in legal_text.IN_TRANCHE_LINE.items()
    },
}
"""Where the texts with places for what is agreed are, and the placeholders that each may have."""


def _language_faults(raw: _Lenient, languages: set[str]) -> Iterator[tuple[Path, str]]:
    for path, _ in raw.tables("directorate"):
        own = raw.strings(*path, "languages")
        for i, language in enumerate(own):
            if language not in languages:
                yield (*path, "languages", i), f"{language!r} is not a language of this agreement"
            elif language in own[:i]:
                yield (*path, "languages", i), f"{language!r} stands here a second time"


def _placeholder_faults(raw: _Lenient) -> Iterator[tuple[Path, str]]:
    for path, known in _TEMPLATES.items():
        for language in raw.table(*path):
            for problem in legal_text.problems(raw.text(*path, language) or "", known):
                yield (*path, language), problem


def _repeated(raw: _Lenient, blocks: Iterable[tuple[Path, Any]]) -> Iterator[tuple[Path, str]]:
    seen: set[str] = set()
    for path, _ in blocks:
        value = raw.text(*path, "id")
        if value is not None and value in seen:
            yield (*path, "id"), f"{value!r} stands here a second time"
        seen |= {value} if value is not None else set()


def _dotted(path: Path) -> str:
    text = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "file"


def _line_of(places: Mapping[Path, int], path: Path) -> int | None:
    """The line of a path; of what holds it, where the path itself is what the file lacks."""
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return None

"""The programme agreement: what the shipped one says, and how every fault of a broken one is found at once."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.domain import agreement_file as agreements
from countersign.domain.agreement import MatterKind, ProgrammeAgreement
from countersign.domain.agreement_file import AgreementFaults, Fault, read
from countersign.domain.amounts import Amount
from countersign.domain.toml_lines import lines

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "agreements" / "il-az-ai.toml").read_text(encoding="utf-8")
HUMAN_CAPITAL_AZ = next(line for line in SHIPPED.splitlines(keepends=True) if "İnsan kapital" in line)
THREE_SIDES = (ROOT / "tests" / "agreements" / "three-sides.toml").read_text(encoding="utf-8")


def faults_of(text: str) -> tuple[Fault, ...]:
    with pytest.raises(AgreementFaults) as caught:
        read(text)
    return caught.value.faults


def changed(*changes: tuple[str, str], text: str = SHIPPED) -> str:
    """The text with each first part, which must be there, replaced where it first stands."""
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    return text


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.fixture(scope="module")
def shipped() -> ProgrammeAgreement:
    return read(SHIPPED)


# ---- the shipped agreement


def test_the_shipped_agreement_has_no_faults(shipped: ProgrammeAgreement) -> None:
    assert (shipped.id, shipped.version, shipped.reference_prefix) == ("il-az-ai", 3, "ILAZ")
    assert shipped.directorate_ids == ("il", "az")


def test_each_side_has_its_currency_its_days_of_rest_and_issuers_of_its_own(
    shipped: ProgrammeAgreement,
) -> None:
    il, az = shipped.directorate
    assert (il.currency, az.currency) == ("ILS", "AZN")
    assert (il.calendar.timezone, il.calendar.weekend) == ("Asia/Jerusalem", ("friday", "saturday"))
    assert (az.calendar.timezone, az.calendar.weekend) == ("Asia/Baku", ("saturday", "sunday"))
    issuers = {
        shipped.applicants.issuer,
        *(url for one in (il, az) for url in (one.issuer, one.audit_issuer)),
    }
    assert len(issuers) == 5


LARGE = Amount(100_000_00, "AZN")


@pytest.mark.parametrize(
    ("kind", "il", "az"),
    [
        ("clearance", ["legal_counsel"], ["programme_officer"]),
        (
            "proposal",
            ["programme_officer", "legal_counsel", "head"],
            ["programme_officer", "finance_reviewer", ("deputy_minister", LARGE)],
        ),
        ("agreement", ["legal_counsel", "head"], ["finance_reviewer", ("deputy_minister", LARGE)]),
        ("report", ["programme_officer"], ["programme_officer"]),
        ("amendment", ["head"], ["deputy_minister"]),
        ("resumption", ["head"], ["deputy_minister"]),
        ("closure", ["programme_officer", "head"], ["finance_reviewer", ("deputy_minister", LARGE)]),
        ("complaint", ["legal_counsel"], ["finance_reviewer"]),
    ],
)
def test_who_signs_what_and_in_which_order(
    shipped: ProgrammeAgreement, kind: str, il: list[Any], az: list[Any]
) -> None:
    chains = shipped.terms().chains[MatterKind(kind)]
    assert set(chains) == {"il", "az"}
    for side, expected in (("il", il), ("az", az)):
        steps = [one if isinstance(one, tuple) else (one, None) for one in expected]
        assert [(one.office, one.above) for one in chains[side]] == steps
        assert all(one.need == 1 for one in chains[side])


def test_every_kind_of_matter_has_a_chain_on_each_side_that_no_amount_empties(
    shipped: ProgrammeAgreement,
) -> None:
    chains = shipped.terms().chains
    assert set(chains) == set(MatterKind)
    for sides in chains.values():
        assert set(sides) == {"il", "az"}
        assert all(any(step.above is None for step in steps) for steps in sides.values())


def test_a_written_ceiling_is_an_amount_in_minor_units(shipped: ProgrammeAgreement) -> None:
    area = shipped.area_of("supercomputing")
    assert area is not None
    assert area.ceilings["il"] == (Amount(6_000_000_00, "ILS"), Amount(400_000, "GPUh"))


def test_the_terms_of_a_running_initiative_carry_no_texts(shipped: ProgrammeAgreement) -> None:
    terms = shipped.terms()
    assert terms.content_hash == shipped.content_hash()
    assert set(terms.directorates) == {"il", "az"}
    written = terms.model_dump_json()
    texts = [*shipped.title.values(), *(t for o in shipped.directorate for t in o.name.values())]
    texts += [text for one in shipped.area for text in one.title.values()]
    texts += [text for one in shipped.kind for text in one.title.values()]
    texts += [text for one in shipped.document for text in one.title.values()]
    assert [text for text in texts if text in written] == []


def test_a_comment_changes_nothing_of_the_content_but_a_word_does(shipped: ProgrammeAgreement) -> None:
    assert read("# another comment\n" + SHIPPED).content_hash() == shipped.content_hash()
    assert read(changed(("Human capital", "Human Capital"))).content_hash() != shipped.content_hash()


NEITHER = "financial_every = 2\nprogress_every = 3"
"""The first report would tell neither."""

LATER = (
    *("divergence_limit_days", "reminders_", "escalation_after_days", "milestones_at_most"),
    *("retention_years = 7", "retention_years = 5"),
)
"""Lines that the file had not at first."""


def without_funding_agreements(text: str) -> str:
    """The file as it was before funding agreements, limits, reminders, notices and milestones were in it."""
    lines = text.partition("[funding_agreement")[0].replace("version = 3\n", "version = 1\n")
    lines = re.sub(r"\[(suspension|termination|report_title)\]\n([\w.]+ = .*\n)+", "", lines)
    return "".join(
        one
        for one in lines.splitlines(keepends=True)
        if (one[:11] != "languages =" or '"he", "az"' in one) and not one.startswith(LATER)
    )


@pytest.mark.parametrize(
    ("text", "version_1"),
    [
        (SHIPPED, "sha256:c770b5760a7c190f20e7e942e9aa2107462eef6209dc8dcb3d8bf2c334d2eeec"),
        (THREE_SIDES, "sha256:b58b12f09ebec834b95cbeb467a1aa1a91d5c10d8fd5cf8a013aec63916220a4"),
    ],
    ids=["two-sides", "three-sides"],
)
def test_an_agreement_on_record_that_says_nothing_of_funding_agreements_keeps_its_hash(
    text: str, version_1: str
) -> None:
    before = read(without_funding_agreements(text))
    assert before.content_hash() == version_1
    assert ProgrammeAgreement.model_validate(before.document_form()) == agreed(before)
    assert read(text).content_hash() != version_1
    assert ProgrammeAgreement.model_validate(read(text).document_form()) == agreed(read(text))


def agreed(agreement: ProgrammeAgreement) -> ProgrammeAgreement:
    """What the sides agreed on, without what changes while it stands."""
    return agreement.model_copy(update={"signing_key": (), "budget": ()})


def test_a_side_that_names_no_languages_has_its_agreement_in_all_of_the_programmes(
    shipped: ProgrammeAgreement,
) -> None:
    il, az = shipped.directorate
    assert (shipped.languages_of(il), shipped.languages_of(az)) == (("he", "en"), ("az", "en"))
    three = read(THREE_SIDES)
    assert three.languages_of(three.directorate[2]) == ("en", "he", "az")


def test_a_third_directorate_is_one_more_block_of_the_file() -> None:
    three = read(THREE_SIDES)
    assert three.directorate_ids == ("il", "az", "ge")
    assert set(three.terms().chains[MatterKind.PROPOSAL]) == {"il", "az", "ge"}


# ---- faults


def test_faults_of_form_and_of_sense_are_listed_at_once_with_their_lines() -> None:
    text = changed(
        ("version = 3", "version = 0"),
        ('languages = ["en", "he", "az"]', 'languages = ["en", "he", "az"]\nsurprise = true'),
        ("Asia/Jerusalem", "Asia/Jerusalm"),
        ('weekend = ["saturday", "sunday"]', 'weekend = ["saturday",\n  "sumday"]'),
        (
            'id = "finance_reviewer"\nescalates_to = "deputy_minister"',
            'id = "finance_reviewer"\nescalates_to = "nobody"',
        ),
        ('ceilings.az = ["1,800,000.00 AZN"]', 'ceilings.az = ["1,800,000.00 ILS"]'),
        (HUMAN_CAPITAL_AZ, ""),
        ("months = [18, 60]", "months = [60, 18]"),
        ('step = [{ office = "programme_officer" }]', 'step = [{ office = "programme_office", need = 0 }]'),
        ("clearance = 15", "clearanse = 15"),
        ("on_closure = 10", "on_closure = 11"),
        ("overdue_limit_days = 60\n", ""),
    )
    at = {place: line_of(text, part) for place, part in {
        "version": "version = 0",
        "surprise": "surprise",
        "directorate[1].calendar.timezone": "Jerusalm",
        "directorate[2].calendar.weekend[2]": "sumday",
        "directorate[2].office[2].escalates_to": '"nobody"',
        "area[2].ceilings.az[1]": "1,800,000.00 ILS",
        "area[3].title": 'title.en = "Human capital"',
        "kind[2].months": "[60, 18]",
        "chain[2].step[1].office": "need = 0",
        "chain[2].step[1].need": "need = 0",
        "deadlines.matter.clearanse": "clearanse",
        "deadlines.matter.clearance": "[deadlines.matter]",
        "tranches": "[tranches]",
        "reporting.overdue_limit_days": "[reporting]",
    }.items()}  # fmt: skip
    found = faults_of(text)
    assert {fault.place: fault.line for fault in found} == at | {
        "area[2].ceilings.az": line_of(text, "1,800,000.00 ILS")
    }
    assert [fault.line for fault in found] == sorted(fault.line or 0 for fault in found)


def test_a_fault_reads_as_a_line_that_says_where_and_what() -> None:
    text = changed(("on_closure = 10", "on_closure = 11"))
    with pytest.raises(AgreementFaults) as caught:
        read(text)
    assert (
        str(caught.value)
        == f"line {line_of(text, '[tranches]')}, tranches: the plan adds up to 101 percent, not 100"
    )


def test_what_is_no_toml_is_one_fault_with_its_line() -> None:
    (fault,) = faults_of('id = "x"\nversion = = 1\n')
    assert (fault.place, fault.line) == ("file", 2)


def test_an_empty_file_lists_everything_that_is_missing() -> None:
    missing = {fault.place for fault in faults_of("")}
    assert missing >= {name for name, field in ProgrammeAgreement.model_fields.items() if field.is_required()}


@pytest.mark.parametrize(
    ("before", "after", "place", "says"),
    [
        ('audit_issuer = "https://id.audit-il', 'audit_issuer = "https://id.il', "directorate[1].issuer", "own issuer"),
        ('id = "il"', 'id = "applicants"', "directorate[1].id", "told from the applicants"),
        ('id = "finance_officer"', 'id = "cashier"', "directorate[1].office", "nobody could pay"),
        ('id = "human_capital"', 'id = "supercomputing"', "area[3].id", "a second time"),
        ('ceilings.az = ["2,500,000.00 AZN", "250,000 GPUh"]\n', "", "area[1].ceilings", "'az' has no ceiling"),
        ('"2,500,000.00 AZN", "250,000 GPUh"', '"250,000 GPUh"', "area[1].ceilings.az", "no ceiling in AZN"),
        ('"250,000 GPUh"', '"250,000.5 GPUh"', "area[1].ceilings.az[2]", "0 digits after the point"),
        ('"250,000 GPUh"', '"1 GPUh", "2 GPUh"', "area[1].ceilings.az[3]", "a ceiling in GPUh already"),
        ("ceilings.az", "ceilings.xx", "area[1].ceilings.xx", "there is no directorate 'xx'"),
        ('"legal_counsel" }]', '"legal_counsel", above = "1.00 ILS" }]', "chain[1]", "nobody would sign"),
        ('"legal_counsel" }]', '"head" }, { office = "head", above = "1.00 USD" }]', "chain[1].step[2].above", "USD"),
        ('matter = "closure"', 'matter = "report"', "chain", "'il' has no chain for closure"),
        ('matter = "closure"', 'matter = "report"', "chain[13]", "has a chain for report already"),
        (
            'matter = "clearance"\ndirectorate = "az"\n',
            'matter = "clearance"\ndirectorate = "xx"\n',
            "chain[2].directorate",
            "there is no directorate 'xx'",
        ),
        ("closure = 30\n", "", "deadlines.matter.closure", "no deadline"),
        ("version = 3", "version = 3\ndirectorat = 3", "directorat", "misspelt"),
        ("title.he", "title.fr", "title.fr", "not a language"),
        ("title.he", "title.fr", "title", "missing in 'he'"),
        ('languages = ["he", "en"]', 'languages = ["he", "fr"]', "directorate[1].languages[2]", "is not a language"),
        ('languages = ["he", "en"]', 'languages = ["he", "he"]', "directorate[1].languages[2]", "a second time"),
        ('languages = ["he", "en"]', "languages = []", "directorate[1].languages", "at least 1 item"),
        ('he = """', 'fr = """', "funding_agreement.text", "missing in 'he'"),
        ('he = """', 'fr = """', "funding_agreement.text.fr", "not a language"),
        ("FUNDING AGREEMENT {number}", "FUNDING {agreement}", "funding_agreement.text.en", "{agreement} in line 1 of"),
        ("{drawn_up_on}\n\n1. Parties", "{drawn_up_on\n\n1. Parties", "funding_agreement.text.en", "brace in line 5"),
        ("{tranche}, when the closure", "{report}", "funding_agreement.tranche.closure.en", "{report} in line 1"),
        ('closure.he = "', 'closing.he = "', "funding_agreement.tranche.closing", "misspelt"),
        ('closure.he = "', 'closing.he = "', "funding_agreement.tranche.closure", "missing in 'he'"),
        ('az = "- {report} nömrəli hesabat: {from', 'az = "{x', "funding_agreement.report.az", "{x_month} in line 1"),
        ("milestones_at", f"{NEITHER}\nmilestones_at", "reporting.financial_every", "neither"),
        ("agreement.milestone]", "agreement.milestones]", "funding_agreement.milestone", "on milestones is missing"),
        ("agreement.milestone]", "agreement.milestones]", "funding_agreement.milestones", "misspelt"),
        ('"Final report {report}', '"Final report {milestone}', "report_title.final.en", "{milestone} in line 1"),
        ("milestone.he = ", "milestone.xx = ", "report_title.milestone", "missing in 'he'"),
    ],
)  # fmt: skip
def test_each_rule_of_the_file_is_told_at_its_place(before: str, after: str, place: str, says: str) -> None:
    found = [fault for fault in faults_of(changed((before, after))) if fault.place == place]
    assert [fault for fault in found if says in fault.problem], found
    assert all(fault.line for fault in found)


AREA = 'area = "supercomputing"\namounts'


@pytest.mark.parametrize(
    ("before", "after", "place", "says"),
    [
        ('[[budget]]\ndirectorate = "il"', '[[budget]]\ndirectorate = "x"', "budget[1].directorate", "no directorate"),
        (AREA, 'area = "surfing"\namounts', "budget[2].area", "there is no area 'surfing'"),
        (AREA, "amounts", "budget[2].amounts[1]", "there is a budget in ILS for this already"),
        (AREA, 'area = "human_capital"\namounts', "budget[2].amounts[2]", "GPUh is not what"),
        ('["24,000,000.00 ILS"', '["24,000,000.00 AZN"', "budget[1].amounts[1]", "AZN is not what"),
        ('["24,000,000.00 ILS"', '["much"', "budget[1].amounts[1]", "is not an amount"),
    ],
)  # fmt: skip
def test_each_rule_of_budgets_is_told_at_its_place(before: str, after: str, place: str, says: str) -> None:
    found = [fault for fault in faults_of(changed((before, after))) if fault.place == place]
    assert [fault for fault in found if says in fault.problem and fault.line], found


def test_a_programme_of_one_side_is_none() -> None:
    raw = tomllib.loads(SHIPPED)
    raw["directorate"] = raw["directorate"][:1]
    assert "at least two directorates" in str(faults_of_data(raw))


def faults_of_data(raw: dict[str, Any]) -> AgreementFaults:
    with mock.patch.object(tomllib, "loads", return_value=raw), pytest.raises(AgreementFaults) as caught:
        agreements.read("")
    return caught.value


JUNK = st.sampled_from([3, -1, True, 1.5, "", "x", "ILS", [], {}, ["x"], [[]], [{}], {"a": 1}])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_the_file_reading_it_ends_in_an_agreement_or_in_faults(
    data: st.DataObject,
) -> None:
    raw = tomllib.loads(SHIPPED)
    for _ in range(data.draw(st.integers(1, 4))):
        value: Any = raw
        while True:
            keys = list(value) if isinstance(value, dict) else list(range(len(value)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if not isinstance(value[key], dict | list) or not value[key] or data.draw(st.booleans()):
                value[key] = copy.deepcopy(data.draw(JUNK))
                break
            value = value[key]
    with mock.patch.object(tomllib, "loads", return_value=raw):
        try:
            agreements.read("")
        except AgreementFaults as error:
            assert error.faults  # noqa: PT017 - either ending is right


# ---- lines


def test_every_way_to_write_toml_keeps_its_lines() -> None:
    text = '\n'.join([
        'plain = 1 # not = this',          # 1
        '"quoted key".inner = "a # b"',    # 2
        'many = """',                      # 3
        'fake = 1',                        # 4
        '[fake]',                          # 5
        '"""',                             # 6
        'nested = [ # a comment',          # 7
        '  { a = 1, b = ["x", "y"] },',    # 8
        '  { a = 2,  b = [',               # 9
        '      "]",',                      # 10
        '  ] },',                          # 11
        ']',                               # 12
        '[table]',                         # 13
        'at = 2027-01-02 03:04:05',        # 14
        "half = 1.5",                      # 15
        '[[row]]',                         # 16
        '[[row.cell]]',                    # 17
        '[row.cell.deep]',                 # 18
        'x = 1',                           # 19
        '[[row]]',                         # 20
        '[[row.cell]]',                    # 21
        '[[row.cell]]',                    # 22
        'y = 1',                           # 23
    ])  # fmt: skip
    tomllib.loads(text)
    found = lines(text)
    assert "fake" not in {path[0] for path in found}
    expected = {
        ("plain",): 1, ("quoted key",): 2, ("quoted key", "inner"): 2, ("many",): 3, ("nested",): 7,
        ("nested", 0): 8, ("nested", 0, "b", 1): 8, ("nested", 1, "a"): 9, ("nested", 1, "b", 0): 10,
        ("table",): 13, ("table", "at"): 14, ("table", "half"): 15, ("row",): 16, ("row", 0): 16,
        ("row", 0, "cell", 0, "deep", "x"): 19, ("row", 1): 20, ("row", 1, "cell", 0): 21,
        ("row", 1, "cell", 1, "y"): 23,
    }  # fmt: skip
    assert {path: found.get(path) for path in expected} == expected


def test_every_place_of_the_shipped_agreement_has_a_line() -> None:
    def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        return [path, *(inner for key, item in items for inner in paths(item, (*path, key)))]

    known = lines(SHIPPED)
    assert [path for path in paths(tomllib.loads(SHIPPED)) if path and path not in known] == []

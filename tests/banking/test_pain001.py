"""The order to the bank: valid by the official schema, and saying to another reader what was meant."""

from __future__ import annotations

import string
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from importlib.resources import files
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from pydantic import ValidationError

from countersign.banking.pain001 import NAMESPACE, Order, Transfer, credit_transfer
from countersign.banking.parties import Account, Agent, Party
from countersign.banking.text import latin
from countersign.domain.amounts import LARGEST, MINOR_DIGITS, Amount
from countersign.domain.errors import RuleBroken
from countersign.domain.funding import Share, Tranche, instructions
from countersign.domain.ids import end_to_end_id
from tests.banking.making import CREDITOR, DEBTOR, NOON, iban, order, transfer

NAMES = {"p": NAMESPACE}


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    """The schema as ISO 20022 publishes it."""
    text = (files("sepaxml") / "schemas" / "pain.001.001.09.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(text))


alphabets = st.sampled_from(
    [
        string.ascii_letters,
        "əğışçöüƏĞİŞÇÖÜ abc",
        "אבגדהוזחטיךכלםמןנסעףפץצקרשת׳״",  # noqa: RUF001
        "&<>'\"/\\;@#€—  ",
    ]
)
names = st.one_of(
    alphabets.flatmap(lambda letters: st.text(letters, min_size=1, max_size=300)),
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cf")), min_size=1, max_size=300),
).map(lambda text: f"N{text}")
alphanumeric = st.text(string.ascii_uppercase + string.digits, min_size=11, max_size=26)
accounts = st.one_of(
    st.builds(Account, iban=st.builds(iban, st.sampled_from(["IL", "AZ"]), alphanumeric)),
    st.builds(Account, other=st.from_regex(r"\A[0-9][0-9/-]{0,32}[0-9]\Z")),
)
agents = st.one_of(
    st.none(), st.sampled_from([Agent(bic="ZZZZAZ22"), Agent(bic="ZZZZILXX123"), Agent(other="999-1")])
)
parties = st.builds(Party, name=names, account=accounts, agent=agents)
instants = st.builds(datetime.fromtimestamp, st.integers(0, 200_000_000_000), st.just(UTC))
currencies = st.sampled_from(["ILS", "AZN", "JPY", "KWD"])


@st.composite
def orders(draw: st.DrawFn) -> Order:
    currency = draw(currencies)
    count = draw(st.integers(1, 6))
    minors = draw(st.lists(st.integers(1, LARGEST // 10), min_size=count, max_size=count))
    return Order(
        reference=draw(names),
        tranche=draw(st.integers(1, 100_000)),
        debtor=draw(parties),
        execute_on=draw(st.dates(date(2000, 1, 1), date(9000, 1, 1))),
        transfers=tuple(
            Transfer(
                end_to_end_id=end_to_end_id("an-initiative", 1, currency, index),
                amount=Amount(minor, currency),
                creditor=draw(parties),
            )
            for index, minor in enumerate(minors)
        ),
    )


@settings(deadline=None)
@given(orders(), instants)
def test_every_file_is_valid_by_the_official_schema_and_tells_another_reader_the_same(
    schema: etree.XMLSchema, given_order: Order, created: datetime
) -> None:
    data = credit_transfer(given_order, created)
    schema.assertValid(etree.fromstring(data))

    root = ET.fromstring(data)
    assert root.tag == f"{{{NAMESPACE}}}Document"
    told = []
    for one in root.findall(".//p:CdtTrfTxInf", NAMES):
        amount = one.find("p:Amt/p:InstdAmt", NAMES)
        assert amount is not None
        assert amount.text is not None
        currency = amount.get("Ccy", "")
        digits = MINOR_DIGITS.get(currency, 2)
        assert -int(Decimal(amount.text).as_tuple().exponent) == digits
        account = one.findtext("p:CdtrAcct/p:Id/p:IBAN", None, NAMES)
        other = one.findtext("p:CdtrAcct/p:Id/p:Othr/p:Id", None, NAMES)
        told.append(
            (
                one.findtext("p:PmtId/p:EndToEndId", None, NAMES),
                int(Decimal(amount.text).scaleb(digits)),
                currency,
                account,
                other,
            )
        )
    assert told == [
        (
            one.end_to_end_id,
            one.amount.minor,
            one.amount.unit,
            one.creditor.account.iban,
            one.creditor.account.other,
        )
        for one in given_order.transfers
    ]
    for block in ("GrpHdr", "PmtInf"):
        assert root.findtext(f".//p:{block}/p:NbOfTxs", None, NAMES) == str(len(told))
        control_sum = root.findtext(f".//p:{block}/p:CtrlSum", "", NAMES)
        digits = MINOR_DIGITS.get(given_order.transfers[0].amount.unit, 2)
        assert Decimal(control_sum).scaleb(digits) == sum(one.amount.minor for one in given_order.transfers)


@settings(deadline=None)
@given(names, st.integers(1, 140))
def test_what_a_bank_reads_of_a_name_is_in_its_character_set_and_no_longer_than_its_field(
    name: str, limit: int
) -> None:
    told = latin(name, limit)
    assert 0 < len(told) <= limit
    assert set(told) <= set(string.ascii_letters + string.digits + "/-?:().,'+ ")
    assert told == told.strip(" /")
    assert "//" not in told


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("Azərbaycanın Rəqəmsal İnkişaf Nazirliyi", "Azerbaycanin Reqemsal Inkisaf Nazirliyi"),  # noqa: RUF001
        ("Şəki Ağac və Çörək İşləri", "Seki Agac ve Corek Isleri"),
        ("S\u0327a\u0306", "Sa"),
        ("שלום", "slvm"),
        ("שָׁלוֹם", "slvm"),
        ("Research & Development [North]; “A_B”", "Research + Development (North), 'A-B'"),
        ("//a//b/", "a/b"),
        ("a@b*c", "a.b.c"),
        ("  Tel\u00a0Aviv \u3000 Lab ", "Tel Aviv Lab"),
    ],
)
def test_letters_that_a_bank_does_not_carry_are_written_in_latin(written: str, told: str) -> None:
    assert latin(written, 70) == told


@pytest.mark.parametrize("text", ["", "  ", "//", "—", "\u200f", "..."])
def test_a_name_of_which_nothing_can_be_written_is_refused(text: str) -> None:
    with pytest.raises(RuleBroken, match="Latin") as refused:
        latin(text, 70)
    assert refused.value.code == "invalid"


def test_a_long_name_is_cut_and_the_account_is_not() -> None:
    long = CREDITOR.model_copy(update={"name": "Institute " * 30})
    root = ET.fromstring(credit_transfer(order(transfer(to=long)), NOON))
    told = root.findtext(".//p:Cdtr/p:Nm", "", NAMES)
    assert told == ("Institute " * 7).strip()
    assert root.findtext(".//p:CdtrAcct/p:Id/p:IBAN", None, NAMES) == CREDITOR.account.iban


def test_a_long_reference_is_cut_and_the_number_of_the_tranche_is_not() -> None:
    root = ET.fromstring(credit_transfer(order(reference="ILAZ " * 50), NOON))
    told = root.findtext(".//p:RmtInf/p:Ustrd", "", NAMES)
    assert len(told) <= 140
    assert told.endswith("ILAZ tranche 1")


def test_the_payments_of_a_tranche_go_out_under_the_ids_that_the_initiative_knows() -> None:
    tranche = Tranche(number=2, trigger="signature", shares={"il": Share(amounts=(Amount(1, "ILS"),))})
    (minted,) = instructions("an-initiative", tranche, "il")
    one = Transfer(end_to_end_id=minted.end_to_end_id, amount=minted.amount, creditor=CREDITOR)
    data = credit_transfer(order(one), NOON)
    assert f"<EndToEndId>{minted.end_to_end_id}</EndToEndId>".encode() in data
    assert b'<InstdAmt Ccy="ILS">0.01</InstdAmt>' in data


def test_the_same_order_gives_the_same_bytes_and_another_instant_the_same_message_id() -> None:
    def message_id(data: bytes) -> str | None:
        return ET.fromstring(data).findtext(".//p:MsgId", None, NAMES)

    first = credit_transfer(order(), NOON)
    assert first == credit_transfer(order(), NOON)
    later = credit_transfer(order(), NOON + timedelta(days=1))
    assert first != later
    assert message_id(first) == message_id(later)
    assert message_id(first) != message_id(credit_transfer(order(transfer(attempt=2)), NOON))
    both = order(transfer(), transfer(attempt=2))
    turned = order(transfer(attempt=2), transfer())
    assert message_id(credit_transfer(both, NOON)) == message_id(credit_transfer(turned, NOON))


def test_the_time_of_creation_is_written_in_utc() -> None:
    baku = NOON.astimezone(timezone(timedelta(hours=4)))
    assert credit_transfer(order(), baku) == credit_transfer(order(), NOON)
    assert b"<CreDtTm>2027-03-01T12:00:00+00:00</CreDtTm>" in credit_transfer(order(), baku)
    with pytest.raises(ValueError, match="aware"):
        credit_transfer(order(), NOON.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("transfers", "why"),
    [
        ((transfer(5, "GPUh"),), "no bank transfers it"),
        ((transfer(), transfer(5, "GPUh")), "no bank transfers it"),
        ((transfer(), transfer(5, "AZN")), "one currency"),
        ((transfer(), transfer()), "more than once"),
        ((transfer(0),), "more than nothing"),
        ((transfer(LARGEST + 1),), "largest"),
        ((transfer(LARGEST), transfer(1, attempt=2)), "largest"),
        ((transfer(to=CREDITOR.model_copy(update={"name": "—"})),), "Latin"),
    ],
)
def test_what_no_bank_could_carry_out_is_refused(transfers: tuple[Transfer, ...], why: str) -> None:
    with pytest.raises(RuleBroken, match=why) as refused:
        credit_transfer(order(*transfers), NOON)
    assert refused.value.code == "invalid"


def test_without_a_bic_the_iban_names_the_debtors_bank(schema: etree.XMLSchema) -> None:
    data = credit_transfer(order(debtor=DEBTOR.model_copy(update={"agent": None})), NOON)
    schema.assertValid(etree.fromstring(data))
    told = ET.fromstring(data).findtext(".//p:DbtrAgt/p:FinInstnId/p:Othr/p:Id", None, NAMES)
    assert told == "NOTPROVIDED"


def test_the_schema_refuses_what_is_not_a_credit_transfer(schema: etree.XMLSchema) -> None:
    data = credit_transfer(order(), NOON)
    for good, bad in [
        (b"<PmtMtd>TRF</PmtMtd>", b"<PmtMtd>TRX</PmtMtd>"),
        (b"400000.00<", b"400000.000001<"),
        (b"<MsgId>", b"<MsgId>" + b"x" * 35),
        (b"pain.001.001.09", b"pain.001.001.03"),
    ]:
        assert good in data
        assert not schema.validate(etree.fromstring(data.replace(good, bad)))


@pytest.mark.parametrize(
    "number", ["IL00 0109 9900 0000 0000 001", "IL", "", "IL620109990000000000001é", "0" * 40]
)
def test_an_iban_whose_check_digits_do_not_fit_is_not_one(number: str) -> None:
    with pytest.raises(ValidationError):
        Account(iban=number)


def test_an_iban_may_come_in_groups_and_an_account_has_one_number() -> None:
    # The example of ISO 13616's registry for Azerbaijan.
    assert Account(iban="az21 nabz 0000 0000 1370 1000 1944").iban == "AZ21NABZ00000000137010001944"
    with pytest.raises(ValidationError, match="not both"):
        Account()
    with pytest.raises(ValidationError, match="not both"):
        Agent(bic="ZZZZILXX", other="1")


@pytest.mark.parametrize("id_", ["", "x" * 36, "a/b", "a b", "ə", "a\nb"])
def test_an_end_to_end_id_that_a_bank_might_rewrite_is_not_taken(id_: str) -> None:
    with pytest.raises(ValidationError):
        Transfer(end_to_end_id=id_, amount=Amount(1, "ILS"), creditor=CREDITOR)

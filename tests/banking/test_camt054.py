"""The bank's notification: what it says, and that whatever else comes in its place is refused by code."""

from __future__ import annotations

import hashlib
import time
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from countersign.banking.camt054 import VERSIONS, Direction, Limits, Notification, Status, read_notification
from countersign.domain.amounts import LARGEST, Amount
from countersign.domain.errors import RuleBroken
from tests.banking.making import details, entry, iban, notification

LIMITS = Limits(currencies=frozenset({"ILS", "AZN", "JPY", "KWD"}))
SAMPLE = notification().encode()


def read(text: str) -> Notification:
    return read_notification(text.encode(), LIMITS)


def refused(data: bytes | str, limits: Limits = LIMITS) -> RuleBroken:
    with pytest.raises(RuleBroken) as caught:
        read_notification(data.encode() if isinstance(data, str) else data, limits)
    return caught.value


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_a_booked_payment_reads_the_same_in_every_version(version: str) -> None:
    way = "" if version == "02" else "DBIT"
    one = entry(details(amount="100.00", direction=way, version=version), version=version)
    told = read(notification(one, version=version))
    assert (told.message_id, told.id, told.page) == ("MSG-1", "NTF-1", 1)
    assert told.account.iban == iban("IL", "0109990000000000001")
    (booked,) = told.entries
    assert (booked.amount, booked.direction, booked.status) == (
        Amount(10_000, "ILS"),
        Direction.DEBIT,
        Status.BOOKED,
    )
    assert (booked.booked_on, booked.reference, booked.reversal) == (date(2027, 3, 2), "BANK-7", False)
    (transaction,) = booked.transactions
    assert (transaction.end_to_end_id, transaction.amount) == ("CS0001T01A01", Amount(10_000, "ILS"))
    assert (transaction.direction, transaction.reference, transaction.returned) == (
        Direction.DEBIT,
        "B-1",
        None,
    )


@pytest.mark.parametrize("version", ["01", "13", "8", "008", "08x", ""])
def test_another_version_is_refused(version: str) -> None:
    told = refused(SAMPLE.decode().replace("054.001.08", f"054.001.{version}"))
    assert (told.code, told.detail) == ("invalid", "not a camt.054.001 of version 02 to 12")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("camt.054.001.08", "camt.053.001.08"),
        ("camt.054.001.08", "pain.001.001.09"),
        (' xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"', ""),
        ("Document", "Documents"),
        ("BkToCstmrDbtCdtNtfctn", "BkToCstmrStmt"),
    ],
)
def test_another_message_is_refused(good: str, bad: str) -> None:
    assert refused(SAMPLE.decode().replace(good, bad)).code == "invalid"


def test_the_same_bytes_have_the_same_hash_and_a_resent_notification_the_same_id() -> None:
    first, again = read(notification()), read(notification() + "\n")
    assert first.content == "sha256:" + hashlib.sha256(SAMPLE).hexdigest()
    assert first.content != again.content
    assert (first.id, first.account, first.page) == (again.id, again.account, again.page)


def test_a_page_of_a_notification_says_which_one_it_is() -> None:
    number = "<PgNb>2</PgNb><LastPgInd>true</LastPgInd>"
    assert read(notification(extra=f"<NtfctnPgntn>{number}</NtfctnPgntn>")).page == 2
    older = notification(entry(version="02"), version="02")
    assert read(older.replace("</GrpHdr>", f"<MsgPgntn>{number}</MsgPgntn></GrpHdr>")).page == 2
    assert "not a number" in refused(notification(extra="<NtfctnPgntn><PgNb>two</PgNb></NtfctnPgntn>")).detail


def test_a_batch_names_each_payment_with_its_own_amount() -> None:
    batch = entry(
        details("ONE", "60.00"),
        details("TWO", "30.5"),
        details("THREE", "9.50"),
        batch="<Btch><NbOfTxs>3</NbOfTxs></Btch>",
    )
    (told,) = read(notification(batch)).entries
    assert [(one.end_to_end_id, one.amount) for one in told.transactions] == [
        ("ONE", Amount(60_00, "ILS")),
        ("TWO", Amount(30_50, "ILS")),
        ("THREE", Amount(9_50, "ILS")),
    ]
    assert told.adds_up


def test_a_batch_that_does_not_add_up_says_so() -> None:
    (told,) = read(notification(entry(details("ONE", "60.00"), details("TWO", "30.00")))).entries
    assert not told.adds_up
    (mixed,) = read(
        notification(entry(details("ONE", "120.00"), details("TWO", "20.00", direction="CRDT")))
    ).entries
    assert mixed.adds_up


def test_the_amount_of_a_batch_is_nobodys_own() -> None:
    (told,) = read(notification(entry(details("ONE"), details("TWO")))).entries
    assert [one.amount for one in told.transactions] == [None, None]
    assert not told.adds_up
    # One of three is shown: the amount is that of all three.
    (told,) = read(notification(entry(details("ONE"), batch="<Btch><NbOfTxs>3</NbOfTxs></Btch>"))).entries
    assert [one.amount for one in told.transactions] == [None]
    (told,) = read(notification(entry(details("ONE")))).entries
    assert [one.amount for one in told.transactions] == [Amount(100_00, "ILS")]


def test_a_returned_payment_says_why() -> None:
    back = entry(details("ONE", returned="AC04"), direction="CRDT", reversal="true")
    (told,) = read(notification(back)).entries
    assert (told.reversal, told.direction) == (True, Direction.CREDIT)
    assert told.transactions[0].returned == "AC04"
    words = back.replace("<Rsn><Cd>AC04</Cd></Rsn>", "<AddtlInf>account\n closed</AddtlInf>")
    assert read(notification(words)).entries[0].transactions[0].returned == "account closed"
    nothing = back.replace("<Rsn><Cd>AC04</Cd></Rsn>", "")
    assert read(notification(nothing)).entries[0].transactions[0].returned == "unknown"


def test_money_that_left_twice_under_one_id_is_told_and_what_came_back_is_not() -> None:
    out, back = entry(details("ONE")), entry(details("ONE", returned="AC04"), direction="CRDT")
    assert read(notification(out, out)).paid_twice == {"ONE"}
    assert read(notification(out, back)).paid_twice == frozenset()
    assert read(notification(out, back, out)).paid_twice == frozenset()
    assert read(notification(out, entry(details("ONE"), status="PDNG"))).paid_twice == frozenset()


@pytest.mark.parametrize("status", ["PDNG", "INFO", "FUTR"])
def test_what_is_not_booked_needs_no_date_and_what_is_booked_does(status: str) -> None:
    (told,) = read(notification(entry(status=status, booked=""))).entries
    assert (told.status, told.booked_on) == (Status(status), None)
    assert "BookgDt is missing" in refused(notification(entry(booked=""))).detail


def test_no_entries_no_transactions_and_no_ids_are_what_they_are() -> None:
    assert read(notification("")).entries == ()
    plain = entry().replace("<NtryDtls>" + details() + "</NtryDtls>", "")
    assert read(notification(plain)).entries[0].transactions == ()
    (told,) = read(notification(entry(details("NOTPROVIDED")))).entries
    assert told.transactions[0].end_to_end_id is None
    without = entry(details().replace("<EndToEndId>CS0001T01A01</EndToEndId>", ""))
    assert read(notification(without)).entries[0].transactions[0].end_to_end_id is None


def test_an_account_may_have_another_number_than_an_iban() -> None:
    told = read(notification(account="<Othr><Id>10-999/000001</Id></Othr>"))
    assert told.account.other == "10-999/000001"
    assert refused(notification(account="<IBAN>IL000109990000000000001</IBAN>")).code == "invalid"
    assert refused(notification(account="")).code == "invalid"


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("1", "ILS", 100),
        ("1.5", "AZN", 150),
        ("+1.50", "ILS", 150),
        (" \n1.50\t", "ILS", 150),
        ("1.50000", "ILS", 150),
        (".5", "ILS", 50),
        ("7.", "JPY", 7),
        ("7.000", "JPY", 7),
        ("1.234", "KWD", 1234),
        ("0.00", "ILS", 0),
        ("10000000000000.00", "ILS", LARGEST),
        ("1<!-- not 1 -->00.<![CDATA[25]]><?x y?>", "ILS", 10_025),
    ],
)
def test_an_amount_is_read_to_the_last_minor_unit(amount: str, currency: str, minor: int) -> None:
    (told,) = read(notification(entry(amount=amount, currency=currency))).entries
    assert told.amount == Amount(minor, currency)


@settings(deadline=None)
@given(st.integers(0, LARGEST), st.sampled_from(["ILS", "AZN"]))
def test_any_amount_is_read_exactly(minor: int, currency: str) -> None:
    (told,) = read(notification(entry(amount=f"{minor // 100}.{minor % 100:02d}", currency=currency))).entries
    assert told.amount == Amount(minor, currency)


@pytest.mark.parametrize(
    ("amount", "currency", "why"),
    [
        ("1.005", "ILS", "2 digits"),
        ("1.5", "JPY", "0 digits"),
        ("1.2345", "KWD", "3 digits"),
        ("1.000000", "ILS", "more digits"),
        ("1" * 19, "ILS", "more digits"),
        ("10000000000000.01", "ILS", "larger"),
        ("-1.00", "ILS", "negative"),
        ("-0", "ILS", "negative"),
        ("1,00", "ILS", "decimal"),
        ("1e2", "ILS", "decimal"),
        ("1 00", "ILS", "decimal"),
        ("NaN", "ILS", "decimal"),
        ("INF", "ILS", "decimal"),
        ("0x10", "ILS", "decimal"),
        ("1_0", "ILS", "decimal"),
        ("\u0661\u0662", "ILS", "decimal"),
        (".", "ILS", "decimal"),
        ("+", "ILS", "decimal"),
        ("", "ILS", "empty"),
        ("<b>1</b>", "ILS", "elements"),
        ("1<b/>0", "ILS", "elements"),
        ("9" * 400, "ILS", "longer"),
        ("1", "XTS", "currency"),
        ("1", "ils", "currency"),
        ("1", "GPUh", "currency"),
        ("1", "", "currency"),
    ],
)
def test_an_amount_that_is_not_one_is_refused(amount: str, currency: str, why: str) -> None:
    for one in (
        entry(amount=amount, currency=currency),
        entry(details(amount=amount, currency=currency)),
    ):
        told = refused(notification(one))
        assert told.code == "invalid"
        assert why in told.detail
        assert "Amt" in told.detail


def test_compute_is_refused_even_where_somebody_calls_it_a_currency() -> None:
    limits = Limits(currencies=frozenset({"GPUh", "ILS"}))
    assert "currency" in refused(notification(entry(currency="GPUh", amount="1")), limits).detail


@pytest.mark.parametrize(
    "element",
    [
        "<MsgId>MSG-1</MsgId>",
        "<Id>NTF-1</Id>",
        '<Amt Ccy="ILS">100.00</Amt>',
        "<CdtDbtInd>DBIT</CdtDbtInd>",
        "<Sts><Cd>BOOK</Cd></Sts>",
        "<BookgDt><Dt>2027-03-02</Dt></BookgDt>",
        "<Dt>2027-03-02</Dt>",
        ' Ccy="ILS"',
    ],
)
def test_what_is_missing_is_named(element: str) -> None:
    text = SAMPLE.decode()
    assert element in text
    told = refused(text.replace(element, "", 1))
    assert told.code == "invalid"
    assert "missing" in told.detail


@pytest.mark.parametrize(
    "element",
    [
        "<MsgId>MSG-1</MsgId>",
        "<Id>NTF-1</Id>",
        '<Amt Ccy="ILS">100.00</Amt>',
        "<CdtDbtInd>DBIT</CdtDbtInd>",
        "<Sts><Cd>BOOK</Cd></Sts>",
        "<BookgDt><Dt>2027-03-02</Dt></BookgDt>",
        "<AcctSvcrRef>BANK-7</AcctSvcrRef>",
        "<EndToEndId>CS0001T01A01</EndToEndId>",
    ],
)
def test_what_says_two_things_at_once_says_nothing(element: str) -> None:
    told = refused(SAMPLE.decode().replace(element, element * 2, 1))
    assert (told.code, "more than once" in told.detail) == ("invalid", True)


def test_a_second_notification_in_the_file_is_refused() -> None:
    text = SAMPLE.decode()
    start, end = text.index("<Ntfctn>"), text.index("</BkTo")
    assert "more than once" in refused(text[:end] + text[start:end] + text[end:]).detail


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("DBIT", "DEBIT"),
        ("DBIT", "dbit"),
        ("BOOK", "BOKK"),
        ("<Cd>BOOK</Cd>", "<Prtry>ours</Prtry>"),
        ("<Dt>2027-03-02", "<Dt>2027-02-30"),
        ("<Dt>2027-03-02", "<Dt>20270302"),
        ("<Dt>2027-03-02", "<Dt>2027-W09-1"),
        ("<Dt>2027-03-02", "<Dt>02.03.2027"),
        ("<Dt>2027-03-02", "<Dt>0000-01-01"),
        ("MSG-1", "x" * 36),
        ("CS0001T01A01", "x" * 36),
        ("CS0001T01A01", ""),
        ("CS0001T01A01", "A&#x202e;B"),
        ("CS0001T01A01", "A&#x85;B"),
        ("<AcctSvcrRef>BANK-7", "<RvslInd>yes</RvslInd><AcctSvcrRef>BANK-7"),
        ("<NtryDtls>", "<NtryDtls><Btch><NbOfTxs>-1</NbOfTxs></Btch>"),
        ("<NtryDtls>", "<NtryDtls><Btch><NbOfTxs>²</NbOfTxs></Btch>"),
    ],
)
def test_what_was_tampered_with_is_refused(good: str, bad: str) -> None:
    text = SAMPLE.decode()
    assert good in text
    assert refused(text.replace(good, bad, 1)).code == "invalid"


@pytest.mark.parametrize(
    ("day", "told"),
    [
        ("<Dt>2027-03-02Z</Dt>", date(2027, 3, 2)),
        ("<Dt> 2027-03-02+02:00 </Dt>", date(2027, 3, 2)),
        ("<DtTm>2027-03-02T23:59:59+02:00</DtTm>", date(2027, 3, 2)),
        ("<DtTm>2027-03-02T23:59:59.999Z</DtTm>", date(2027, 3, 2)),
        ("<DtTm>2027-03-02T00:00:00</DtTm>", date(2027, 3, 2)),
    ],
)
def test_the_booking_date_is_the_banks_own(day: str, told: date) -> None:
    assert read(notification(entry(booked=f"<BookgDt>{day}</BookgDt>"))).entries[0].booked_on == told


def test_a_refusal_says_which_entry_is_at_fault() -> None:
    told = refused(notification(entry(), entry(), entry(amount="1.005")))
    assert told.detail.startswith("Document/BkToCstmrDbtCdtNtfctn/Ntfctn/Ntry[3]/Amt: ")


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + SAMPLE,
        b'<?xml version="1.0" encoding="UTF-8"?>\n' + SAMPLE,
        ('<?xml version="1.0" encoding="UTF-16"?>' + SAMPLE.decode()).encode("utf-16"),
        SAMPLE.decode().encode("utf-16-le").join([b"\xff\xfe", b""]),
        ('<?xml version="1.0" encoding="ISO-8859-1"?>' + SAMPLE.decode()).encode("latin-1"),
        SAMPLE.replace(b"><", b">\r\n\t<"),
        SAMPLE.replace(b"<Ntry>", b"<!-- <Ntry> --><Ntry><?bank says?>"),
        SAMPLE.replace(b"BANK-7", b"<![CDATA[BANK-7]]>"),
        SAMPLE.replace(b"<", b"<x:").replace(b"<x:/", b"</x:").replace(b"xmlns=", b"xmlns:x="),
        SAMPLE.replace(b"</Ntry>", b'<Other xmlns="urn:bank"><Amt>-1</Amt></Other></Ntry>'),
    ],
)
def test_however_the_same_xml_is_written_it_reads_the_same(data: bytes) -> None:
    told, plain = read_notification(data, LIMITS), read_notification(SAMPLE, LIMITS)
    assert told.model_copy(update={"content": plain.content}) == plain


def test_a_file_that_was_cut_off_anywhere_is_refused() -> None:
    data = notification(*[entry(details(f"ID{index}")) for index in range(8)]).encode()
    for end in range(0, len(data), 50):
        told = refused(data[:end])
        assert (told.code, told.detail) == (
            "invalid",
            "not a well-formed XML document, or not all of one",
        )


def test_a_file_beyond_the_limit_is_refused_before_it_is_read() -> None:
    limits = LIMITS.model_copy(update={"size": len(SAMPLE)})
    assert read_notification(SAMPLE, limits).id == "NTF-1"
    assert refused(SAMPLE + b" ", limits).code == "too_large"
    assert refused(b"\x00" * (len(SAMPLE) + 1), limits).code == "too_large"


def _with_doctype(declarations: str, reference: str) -> str:
    text = SAMPLE.decode().replace("BANK-7", reference)
    return f"<!DOCTYPE Document {declarations}>{text}"


def test_entities_are_refused_and_never_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("KEPT")
    laughs = '<!ENTITY l0 "lol">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 20))
    began = time.perf_counter()
    for data in (
        _with_doctype(f"[{laughs}]", "&l19;"),
        _with_doctype(f"[{laughs}]", 'x</AcctSvcrRef><Y y="&l19;"/><AcctSvcrRef>'),
        _with_doctype(f'[<!ENTITY x SYSTEM "{secret.as_uri()}">]', "&x;"),
        _with_doctype(f'[<!ENTITY % x SYSTEM "{secret.as_uri()}"> %x;]', "BANK-7"),
        _with_doctype(f'SYSTEM "{secret.as_uri()}"', "BANK-7"),
        _with_doctype('PUBLIC "x" "http://localhost:9/x.dtd"', "BANK-7"),
        _with_doctype('[<!ENTITY x "y">]', "&x;"),
        _with_doctype('[<!ATTLIST Amt Ccy CDATA "ILS">]', "BANK-7"),
        _with_doctype("", "BANK-7"),
    ):
        for told in (refused(data), refused(data.encode("utf-16"))):
            assert (told.code, told.detail) == ("invalid", "a DOCTYPE and its entities are not taken")
    assert time.perf_counter() - began < 10
    assert refused(SAMPLE.decode().replace("BANK-7", "&unknown;")).code == "invalid"


def test_an_inclusion_is_an_element_like_any_other(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("KEPT")
    inclusion = (
        f'<i:include xmlns:i="http://www.w3.org/2001/XInclude" parse="text" href="{secret.as_uri()}"/>'
    )
    assert "elements" in refused(SAMPLE.decode().replace("BANK-7", inclusion)).detail


def test_nesting_beyond_the_limit_is_refused_however_deep() -> None:
    def nested(times: int) -> str:
        return SAMPLE.decode().replace("</Ntry>", "<a>" * times + "</a>" * times + "</Ntry>")

    # The document, the message, the notification and the entry are four.
    assert read(nested(LIMITS.depth - 4)).id == "NTF-1"
    for times in (LIMITS.depth - 3, 300, 100_000):
        assert refused(nested(times)).detail == "elements are nested more than 32 deep"


def _read_or_refused(data: bytes) -> None:
    told: Notification | RuleBroken
    try:
        told = read_notification(data, LIMITS)
    except RuleBroken as broken:
        told = broken
    if isinstance(told, RuleBroken):
        assert told.code in {"invalid", "too_large"}
        assert len(told.detail) < 300
    else:
        assert told.content == "sha256:" + hashlib.sha256(data).hexdigest()


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=400))
@example(b"")
@example(b"\x00")
@example(b'<?xml version="1.0" encoding="no-such"?><a/>')
@example(b'<?xml version="1.0" encoding="UTF-7"?>+ADw-a/+AD4-')
@example(b'<?xml version="1.1"?><a>&#1;</a>')
@example(b"\x4c\x6f\xa7\x94\x93")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    _read_or_refused(data)


spots = st.integers(0, len(SAMPLE))
changes = st.lists(st.tuples(spots, spots, st.binary(max_size=12)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=1000)
@given(changes)
def test_any_change_to_a_notification_is_read_or_refused(made: list[tuple[int, int, bytes]]) -> None:
    data = SAMPLE
    for start, end, put in made:
        # Mostly small cuts: large ones leave nothing to read.
        data = data[:start] + put + data[start + (end % 8) :]
    _read_or_refused(data)


texts = st.text(st.characters(codec="utf-8", exclude_characters="<&"), max_size=40)


@settings(deadline=None, max_examples=500)
@given(
    st.sampled_from(["MSG-1", "NTF-1", "ILS", "100.00", "DBIT", "BOOK", "2027-03-02", "CS0001T01A01"]), texts
)
def test_any_text_in_any_element_is_read_or_refused(place: str, text: str) -> None:
    _read_or_refused(notification().replace(place, text).encode())

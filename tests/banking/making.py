"""Orders and bank files to try: people, banks and accounts that there are not."""

from __future__ import annotations

from datetime import UTC, date, datetime

from countersign.banking.pain001 import Order, Transfer
from countersign.banking.parties import Account, Agent, Party
from countersign.domain.amounts import Amount
from countersign.domain.ids import end_to_end_id

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def iban(country: str, number: str) -> str:
    """An IBAN with check digits that fit."""
    digits = "".join(str(int(one, 36)) for one in f"{number}{country}00")
    return f"{country}{98 - int(digits) % 97:02d}{number}"


DEBTOR = Party(
    name="National AI Directorate of Israel",
    account=Account(iban=iban("IL", "0109990000000000001")),
    agent=Agent(bic="ZZZZILXX"),
)
CREDITOR = Party(
    name="Universität Nirgends", account=Account(iban=iban("IL", "0109990000000000002")), agent=None
)


def transfer(minor: int = 400_000_00, unit: str = "ILS", attempt: int = 1, to: Party = CREDITOR) -> Transfer:
    return Transfer(
        end_to_end_id=end_to_end_id("an-initiative", 1, f"il/{unit}", attempt),
        amount=Amount(minor, unit),
        creditor=to,
    )


def order(*transfers: Transfer, debtor: Party = DEBTOR, reference: str = "ILAZ-2027-0042") -> Order:
    return Order(
        reference=reference,
        tranche=1,
        debtor=debtor,
        execute_on=date(2027, 3, 2),
        transfers=transfers or (transfer(),),
    )


ACCOUNT = f"<IBAN>{iban('IL', '0109990000000000001')}</IBAN>"


def details(
    end_to_end: str = "CS0001T01A01",
    amount: str | None = None,
    currency: str = "ILS",
    direction: str = "",
    returned: str = "",
    version: str = "08",
) -> str:
    """One transaction of an entry; version 02 keeps its amount elsewhere and has no direction."""
    own = "" if amount is None else f'<Amt Ccy="{currency}">{amount}</Amt>'
    if own and version == "02":
        own = f"<AmtDtls><TxAmt>{own}</TxAmt></AmtDtls>"
    way = f"<CdtDbtInd>{direction}</CdtDbtInd>" if direction else ""
    why = f"<RtrInf><Rsn><Cd>{returned}</Cd></Rsn></RtrInf>" if returned else ""
    refs = f"<Refs><AcctSvcrRef>B-1</AcctSvcrRef><EndToEndId>{end_to_end}</EndToEndId></Refs>"
    return f"<TxDtls>{refs}{own}{way}{why}</TxDtls>"


def entry(
    *transactions: str,
    amount: str = "100.00",
    currency: str = "ILS",
    direction: str = "DBIT",
    status: str = "BOOK",
    reversal: str = "",
    booked: str = "<BookgDt><Dt>2027-03-02</Dt></BookgDt>",
    batch: str = "",
    version: str = "08",
) -> str:
    """One entry; the status is a choice from version 07 on."""
    code = f"<Cd>{status}</Cd>" if version >= "07" else status
    back = f"<RvslInd>{reversal}</RvslInd>" if reversal else ""
    inner = "".join(transactions) or details(version=version)
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd>{back}<Sts>{code}</Sts>'
        f"{booked}<AcctSvcrRef>BANK-7</AcctSvcrRef>"
        "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>DMCT</SubFmlyCd></Fmly></Domn></BkTxCd>"
        f"<NtryDtls>{batch}{inner}</NtryDtls></Ntry>"
    )


def notification(*entries: str, version: str = "08", account: str = ACCOUNT, extra: str = "") -> str:
    """A camt.054 as text, without its XML declaration."""
    inner = "".join(entries) if entries else entry(version=version)
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.{version}">\n'
        "<BkToCstmrDbtCdtNtfctn>"
        "<GrpHdr><MsgId>MSG-1</MsgId><CreDtTm>2027-03-02T18:00:00+02:00</CreDtTm></GrpHdr>\n"
        f"<Ntfctn><Id>NTF-1</Id>{extra}<CreDtTm>2027-03-02T18:00:00+02:00</CreDtTm>"
        f"<Acct><Id>{account}</Id></Acct>\n{inner}\n</Ntfctn>"
        "</BkToCstmrDbtCdtNtfctn></Document>"
    )

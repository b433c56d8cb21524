"""The money: the ledger derived from the trail once more, and what the banks were told and said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from countersign.runtime.dossier.verifier.dossier import Dossier
from countersign.runtime.dossier.verifier.forms import Json


def ledger(dossier: Dossier) -> Iterator[str]:
    """Transactions that are not those that the trail comes to."""
    kept = dossier.json("payments/ledger.json")["transactions"]
    for one in kept:
        if sum(line["minor"] for line in one["entries"]):
            yield f"transaction {one['sequence']}.{one['number']}: it does not sum to zero"
    due = {(one["sequence"], one["number"]): one for one in derived_ledger(dossier.trail)}
    there = {(one["sequence"], one["number"]): one for one in kept}
    for place in sorted(set(due) | set(there)):
        if due.get(place) != there.get(place):
            what = "is missing" if place not in there else "was altered" if place in due else "was added"
            yield f"transaction {place[0]}.{place[1]}: it {what}"
    rows = [line.split(",") for line in dossier.read("payments/ledger.csv").decode().split("\r\n")[1:-1]]
    lines = [
        [
            str(one["sequence"]),
            str(one["number"]),
            one["at"],
            one["directorate"],
            one["code"],
            line["account"],
            one["unit"],
            str(line["minor"]),
        ]
        for one in kept
        for line in one["entries"]
    ]
    if [row[1:9] for row in rows] != lines:
        yield "payments/ledger.csv: it says something else than payments/ledger.json"


def payments(dossier: Dossier) -> Iterator[str]:
    """What banks were told or said otherwise than the trail has it."""
    told = [
        {
            "sequence": one["sequence"],
            "tranche": one["body"]["number"],
            "directorate": side,
            **instruction,
        }
        for one in dossier.of("tranche.instructed")
        for side, some in sorted(one["body"]["instructions"].items())
        for instruction in some
    ]
    if dossier.json("payments/instructions.json")["instructions"] != told:
        yield "payments/instructions.json: it is not what the trail says"
    said = [
        {"sequence": one["sequence"], "at": one["at"], "action": one["action"], **one["body"]}
        for one in dossier.of("payment.booked", "payment.failed")
    ]
    if dossier.json("payments/bank.json")["facts"] != said:
        yield "payments/bank.json: it is not what the trail says"


def per_unit(amounts: Json) -> Iterator[tuple[str, str, int]]:
    """Each side's amounts, added up by unit."""
    for side in sorted(amounts):
        sums: dict[str, int] = defaultdict(int)
        for one in amounts[side]:
            sums[one["unit"]] += one["minor"]
        yield from ((side, unit, minor) for unit, minor in sorted(sums.items()))


class Book:
    """The accounts of an initiative, as its trail moves them (docs/ledger.md)."""

    def __init__(self) -> None:
        self.balances: dict[tuple[str, str, str], int] = defaultdict(int)
        self.costs: dict[int, Json] = {}
        self.confirmed: dict[tuple[int, str], list[Json]] = {}
        self.recoveries: set[int] = set()

    def on(self, account: str) -> list[tuple[str, str, int]]:
        """What each side has on an account."""
        return [
            (side, unit, minor)
            for (side, unit, name), minor in sorted(self.balances.items())
            if name == account
        ]

    def moves(self, action: str, body: Json) -> Iterator[tuple[str, str, str, int, str, str]]:
        """What a fact moves: the code, the side, the unit, how much, the credited and the debited account."""
        number, side = body.get("number", 0), body.get("directorate", "")
        if action == "commitment.fixed":
            yield from self.released()
            for one in per_unit(body["commitments"]):
                yield ("commitment_reserved", *one, "appropriation", "reserved")
        elif action == "stage.entered" and body["stage"] == "active" and body.get("before") != "suspended":
            for one in self.on("reserved"):
                yield ("commitment_made", *one, "reserved", "committed")
        elif (
            action == "stage.entered" and body["stage"] not in HOLDS and body.get("keeps_money") is None
        ) or action == "commitment.released":
            yield from self.released()
        elif action == "amendment.made":
            owed = {one[:2]: one[2] for one in self.on("committed")}
            due = {one[:2]: one[2] for one in per_unit(body["commitments"])}
            for key in sorted(set(owed) | set(due)):
                more = due.get(key, 0) - owed.get(key, 0)
                if more > 0:
                    yield ("commitment_increased", *key, more, "appropriation", "committed")
                else:
                    yield ("commitment_released", *key, -more, "committed", "appropriation")
        elif action == "report.costs_disallowed":
            yield (
                "costs_disallowed",
                side,
                body["amount"]["unit"],
                body["amount"]["minor"],
                "accepted",
                "reported",
            )
        elif action == "report.accepted":
            for one in per_unit(self.costs.get(number, {})):
                yield ("costs_accepted", *one, "reported", "accepted")
        else:
            yield from self.moves_of_money(action, body, number, side)

    def moves_of_money(
        self, action: str, body: Json, number: int, side: str
    ) -> Iterator[tuple[str, str, str, int, str, str]]:
        """The same of what goes to and comes from a bank."""
        amounts = (
            list(per_unit({side: body["amounts"]})) if action in ("tranche.paid", "tranche.recovered") else []
        )
        if action == "tranche.instructed":
            told = {key: [one["amount"] for one in some] for key, some in body["instructions"].items()}
            for one in per_unit(told):
                if number in self.recoveries:
                    yield ("claim_made", *one, "claimed", "recoverable")
                else:
                    yield ("payment_instructed", *one, "treasury", "instructed")
        elif action == "tranche.paid":
            for one in amounts:
                yield ("payment_made", *one, "instructed", "disbursed")
        elif action == "tranche.recovered":
            yield from recovered(amounts)
        elif action == "tranche.written_off":
            yield from recovered(per_unit({side: body["recovered"]}))
            for one in per_unit({side: body["claimed"]}):
                yield ("claim_written_off", *one, "recoverable", "claimed")
        elif action == "payment.failed":
            came_back = side, body["amount"]["unit"], body["amount"]["minor"]
            for one in per_unit({side: self.confirmed.get((number, side), [])}):
                if number in self.recoveries:
                    yield ("money_unconfirmed", *one, "treasury", "recovered")
                    yield ("claim_made", *one, "claimed", "recoverable")
                else:
                    yield ("payment_unconfirmed", *one, "disbursed", "instructed")
            if number in self.recoveries:
                yield ("claim_withdrawn", *came_back, "recoverable", "claimed")
            else:
                yield ("payment_returned", *came_back, "instructed", "treasury")

    def released(self) -> Iterator[tuple[str, str, str, int, str, str]]:
        """All that is reserved, and of what is committed what was not let go towards a bank."""
        for one in self.on("reserved"):
            yield ("commitment_released", *one, "reserved", "appropriation")
        for side, unit, minor in self.on("committed"):
            let_go = self.balances[side, unit, "instructed"] + self.balances[side, unit, "disbursed"]
            yield "commitment_released", side, unit, max(0, minor - let_go), "committed", "appropriation"

    def post(self, entry: Json) -> Iterator[Json]:
        """The transactions of an entry."""
        action, body = entry["action"], entry["body"]
        if action == "report.submitted":
            self.costs[body["number"]] = body["costs"]
        number = 0
        for code, side, unit, minor, credit, debit in list(self.moves(action, body)):
            if not minor:
                continue
            number += 1
            self.balances[side, unit, credit] -= minor
            self.balances[side, unit, debit] += minor
            yield {
                "sequence": entry["sequence"],
                "number": number,
                "at": entry["at"],
                "directorate": side,
                "unit": unit,
                "code": code,
                "entries": [{"account": debit, "minor": minor}, {"account": credit, "minor": -minor}],
            }
        if action == "tranche.claimed":
            self.recoveries.add(body["tranche"]["number"])
        elif action in ("tranche.paid", "tranche.recovered"):
            self.confirmed[body["number"], body["directorate"]] = body["amounts"]
        elif action == "payment.failed":
            self.confirmed.pop((body["number"], body["directorate"]), None)


HOLDS = ("conditions", "contracting", "active", "suspended", "closing")
"""The stages in which something is reserved or committed."""


def recovered(amounts: Iterable[tuple[str, str, int]]) -> Iterator[tuple[str, str, str, int, str, str]]:
    """Money came back, and the claim to it is met."""
    for one in amounts:
        yield ("money_recovered", *one, "recovered", "treasury")
        yield ("claim_met", *one, "recoverable", "claimed")


def derived_ledger(trail: list[Json]) -> Iterator[Json]:
    """The ledger that follows from a trail."""
    book = Book()
    for entry in trail:
        yield from book.post(entry)

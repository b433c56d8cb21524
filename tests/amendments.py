"""Changes to the proposal of an active initiative, each on its body as JSON."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Body = dict[str, Any]


def extended(body: Body, months: int) -> Body:
    """So many months more; fewer when it is negative, and then the work ends with it, and so do the milestones."""
    changed = copy.deepcopy(body)
    changed["duration_months"] += months
    for package in changed["work_packages"]:
        package["to_month"] = min(package["to_month"], changed["duration_months"])
        package["from_month"] = min(package["from_month"], package["to_month"])
    for milestone in changed.get("milestones", ()):
        milestone["month"] = max(1, min(milestone["month"], changed["duration_months"] - 1))
    return changed


def shifted(body: Body, partner: str, minor: int) -> Body:
    """So much of a partner's first budget line that is money, for travel instead."""
    changed = copy.deepcopy(body)
    line = _line(changed, partner)
    line["amount"]["minor"] -= minor
    return _with_line(changed, partner, "travel", minor, line["amount"]["unit"])


def asking(body: Body, partner: str, more: int) -> Body:
    """So much more for a partner's first budget line that is money, or less."""
    changed = copy.deepcopy(body)
    _line(changed, partner)["amount"]["minor"] += more
    return changed


def joined(body: Body, new: str, beside: str, minor: int) -> Body:
    """Another partner beside one of the same side, which hands so much over to it."""
    changed = copy.deepcopy(body)
    one = next(p for p in changed["partners"] if p["id"] == beside)
    contact = {"name": f"Dr {new.title()} Plonit", "email": f"{new}@applicants.countersign.example"}
    changed["partners"].append(
        {**one, "id": new, "name": {"en": f"{new.title()} Foundation"}, "role": "partner", "contact": contact}
    )
    line = _line(changed, beside)
    line["amount"]["minor"] -= minor
    return _with_line(changed, new, "personnel", minor, line["amount"]["unit"])


def left(body: Body, partner: str, to: str) -> Body:
    """A partner leaves and another of its side takes over its budget and its work."""
    changed = copy.deepcopy(body)
    changed["partners"] = [one for one in changed["partners"] if one["id"] != partner]
    for line in changed["budget"]:
        line["partner"] = to if line["partner"] == partner else line["partner"]
    for package in changed["work_packages"]:
        package["lead"] = to if package["lead"] == partner else package["lead"]
    return changed


def renamed(body: Body, partner: str, email: str) -> Body:
    """Another address of a partner's contact."""
    changed = copy.deepcopy(body)
    next(one for one in changed["partners"] if one["id"] == partner)["contact"]["email"] = email
    return changed


def _line(body: Body, partner: str) -> Body:
    found: Body = next(
        one for one in body["budget"] if one["partner"] == partner and one["category"] != "compute"
    )
    return found


def _with_line(body: Body, partner: str, category: str, minor: int, unit: str) -> Body:
    if not minor:
        return body
    amount = {"minor": minor, "unit": unit}
    body["budget"].append(
        {"partner": partner, "category": category, "description": "Of another line", "amount": amount}
    )
    return body


def with_milestones(body: Body, months: Mapping[str, int]) -> Body:
    """With these milestones and no others, each by the end of a month."""
    milestones = [{"id": one, "title": {"en": one.title()}, "month": month} for one, month in months.items()]
    return body | {"milestones": milestones}

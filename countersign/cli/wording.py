"""What the API's words are called in sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from countersign.cli.output import instant

TASKS: Final[dict[str, str]] = {
    "sign_off": "sign off matter",
    "new_version": "put version",
    "evidence": "show evidence for condition",
    "clear_condition": "clear condition",
    "authorise": "authorise tranche",
    "confirm": "confirm tranche",
    "resume": "resume tranche",
    "instruct": "instruct tranche",
    "countersign": "countersign matter",
    "escalated": "see to matter",
    "diverged": "see to tranche",
    "held_back": "hold back tranche",
    "report": "submit report",
    "report_late": "see to report",
    "suspending": "see to the coming suspension of version",
    "terminating": "see to the coming termination of version",
    "suspended": "see to the suspension of version",
    "budget": "have money for version",
}


def task(waiting: Mapping[str, Any]) -> str:
    """What somebody is waited for to do, such as ``sign off matter 2``."""
    name = str(waiting["task"])
    # A newer API may wait for what this version has no words for.
    return f"{TASKS.get(name, name.replace('_', ' '))} {waiting['number']}"


def reminded(waiting: Mapping[str, Any]) -> str:
    """When somebody was reminded last, such as `` (reminded at 80 %)``; nothing if they were not."""
    at = waiting["reminded"]
    if at is None:
        return ""
    if waiting["task"] == "report":
        return f" (reminded {abs(at)} days {'before' if at < 0 else 'after'} it was due)"
    return f" (reminded at {at} %)"


def side_in_matter(view: Mapping[str, Any], matter: Mapping[str, Any]) -> str:
    """Where one side stands in a matter, as far as the caller may see it."""
    if view.get("position") is not None:
        said = str(view["position"])
        reasons = "; ".join([*(view.get("reasons") or ()), *(view.get("conditions") or ())])
        return f"{said}: {reasons}" if reasons else said
    if view["position_in"]:
        return "position in, sealed"
    if matter["outcome"] is not None:
        return "no position"
    office = f" for {view['waits_for_office']}" if view.get("waits_for_office") else ""
    until = f" until {instant(view['deadline'])}" if view.get("deadline") else ""
    return f"waits{office}{until}"

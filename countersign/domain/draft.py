"""A step that ends with a signature which is not there yet: drawn up by the rules, completed where the key is."""

from __future__ import annotations

from typing import Any, Final

from countersign.domain.audit import entry_hash
from countersign.domain.canonical import content_hash

PENDING: Final = ""
"""What stands for the signature in a draft."""


def completed(step: dict[str, Any], jws: str) -> list[dict[str, Any]]:
    """Put the signature into a draft (the JSON of a ``Step``), and give the entries from there on.

    The entry that says that the position was countersigned gets it, and so do the matter's row and the joint decision,
    if one follows; their hashes are made anew. The entries before it are as they were.
    """
    entries: list[dict[str, Any]] = step["entries"]
    first = next(
        index
        for index, entry in enumerate(entries)
        if entry["action"] == "matter.countersigned" and entry["body"]["jws"] == PENDING
    )
    number, side = entries[first]["body"]["matter"], entries[first]["body"]["directorate"]
    row = next(one for one in step["projection"]["matters"] if one["number"] == number)
    entries[first]["body"]["jws"] = row["countersigned"][side] = jws
    for entry in entries[first:]:
        if entry["action"] == "matter.decided" and entry["body"]["matter"] == number:
            decision = step["documents"].pop(entry["body"]["decision"])
            decision["positions"][side] = jws
            entry["body"]["decision"] = row["decision"] = content_hash(decision)
            step["documents"][row["decision"]] = decision
    previous = entries[first]["previous"]
    for entry in entries[first:]:
        entry["previous"] = previous
        entry["hash"] = previous = entry_hash(entry)
    return entries[first:]

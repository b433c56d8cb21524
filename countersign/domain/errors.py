"""What a rule says when it is broken, and the codes it says it with."""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, str]] = {
    "not_your_office": "The step that is waited for belongs to another office or another side.",
    "already_signed": "This person has already signed in this matter.",
    "conflict_of_interest": "Whoever has a part in an initiative does not decide on it.",
    "stale_content": "What was signed is not what is before the directorates.",
    "matter_closed": "The matter is decided, lapsed or void.",
    "mandate_exceeded": "The mandate does not reach this far.",
    "mandate_expired": "The mandate is not in force.",
    "four_eyes": "Whoever authorises a payment never confirms it.",
    "stage_closed": "The initiative is not in a stage that takes this.",
    "not_due": "The period has not ended yet.",
    "out_of_order": "Something else has to happen first.",
    "not_found": "There is no such thing, or not for this caller.",
    "invalid": "The message is not well formed or breaks a rule on its own.",
    "unauthenticated": "There is no valid proof of who is calling.",
    "forbidden": "The caller may not do this.",
    "precondition_failed": "The thing has changed since it was read.",
    "precondition_required": "Say which version is being changed: send If-Match.",
    "idempotency_key_required": "A write needs an Idempotency-Key.",
    "idempotency_key_reused": "The key came before with other content.",
    "payload_plain": "What came through the workflow engine is not encrypted, and has to be.",
    "payload_key_unknown": "The key that a payload was encrypted with is not among the keys here.",
    "payload_altered": "A payload does not open under its key: it was altered, or that key is another one here.",
    "payload_malformed": "A payload says that it is encrypted, and is not in the form that it would have.",
    "payload_keys_missing": "This process has no keys, and handles no payloads.",
    "too_large": "The request is larger than what is taken.",
    "content_mismatch": "The content does not have the hash that it was said to have.",
    "media_type_refused": "The content is of no type that is taken, or it is not whole.",
    "too_slow": "The request was not there whole in time.",
    "rate_limited": "Too many requests; slow down.",
    "internal": "A fault of the system; it is logged.",
    "unavailable": "A part that this needs does not answer; nothing was changed, try again.",
}
"""Every refusal's code and its fixed meaning. A code never changes its meaning (DESIGN section 9)."""


class RuleBroken(Exception):
    """A rule refuses what was asked; ``code`` says which, ``detail`` says why in one sentence."""

    def __init__(self, code: str, detail: str) -> None:
        if code not in CODES:
            raise ValueError(f"unknown refusal code {code!r}")
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

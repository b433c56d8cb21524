"""What one issuer keeps of sign-ins: those that are under way, codes, devices, and the refresh tokens of each.

All of it is in memory, bounded, and good until a time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from countersign.runtime.embedded.identity import LETTERS, LIFETIME, random_letters
from countersign.runtime.embedded.provider.clients import Client
from countersign.runtime.embedded.provider.refusals import Refused

T = TypeVar("T")

CAPACITY: Final = 4096
"""Things of a kind that an issuer keeps; beyond it the oldest makes way."""

SLOWER: Final = 5
"""Seconds that a device waits longer after each time it asked too soon (RFC 8628, 3.5)."""


@dataclass(frozen=True, slots=True)
class Periods:
    """For how many seconds things are good; ``interval`` is between two questions of a device."""

    page: int = 600
    code: int = 60
    device: int = 600
    interval: int = 5
    access: int = LIFETIME
    sign_in: int = 12 * 3600


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for. Without a ``redirect_uri`` by a device, else in a browser."""

    client: Client
    scope: tuple[str, ...]
    redirect_uri: str | None = None
    challenge: str = ""
    state: str | None = None
    nonce: str | None = None
    hint: str | None = None


@dataclass(slots=True)
class SignIn:
    """Somebody who signed in at a client; a refresh token of theirs is this one's id, a number and a proof."""

    handle: str
    asked: Asked
    at: int
    until: float
    sid: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    refreshed: int = 0

    def proof(self, number: int) -> str:
        """What makes the refresh token of a number one of ours."""
        return hmac.new(self.key, str(number).encode(), hashlib.sha256).hexdigest()


@dataclass(slots=True)
class Code:
    """An authorization code; once it is used, the sign-in that it became."""

    handle: str
    asked: Asked
    at: int
    until: float
    used: bool = False
    sign_in: SignIn | None = None


@dataclass(slots=True)
class Device:
    """A device that waits for somebody to sign in elsewhere; ``handle`` is theirs once they did."""

    device_code: str
    user_code: str
    asked: Asked
    until: float
    interval: int
    last_asked: float = float("-inf")
    handle: str | None = None
    at: int = 0
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page on which somebody is asked to sign in, for one browser, known by its cookie."""

    id: str
    browser: str
    asked: Asked
    device: Device | None = None


class Shelf(Generic[T]):
    """Things by their keys, each until a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._things: dict[str, tuple[T, float]] = {}

    def put(self, key: str, thing: T, until: float) -> None:
        """Keep a thing; what is past goes, and the oldest where there are too many."""
        now = self._clock()
        for old in [old for old, (_, end) in self._things.items() if end <= now]:
            del self._things[old]
        while len(self._things) >= CAPACITY:
            del self._things[next(iter(self._things))]
        self._things[key] = thing, until

    def get(self, key: str) -> T | None:
        """The thing, while it is good."""
        thing, until = self._things.get(key, (None, 0.0))
        return thing if until > self._clock() else None

    def take(self, key: str) -> T | None:
        """The thing, for the last time."""
        thing = self.get(key)
        self._things.pop(key, None)
        return thing

    def all(self) -> list[T]:
        """Everything that is still good."""
        now = self._clock()
        return [thing for thing, until in self._things.values() if until > now]


class SignIns:
    """The sign-ins of one issuer; ``ended`` is told of each that was ended before its time."""

    def __init__(self, clock: Callable[[], float], periods: Periods, ended: Callable[[SignIn], None]) -> None:
        self._clock, self._periods, self._ended = clock, periods, ended
        self._pages: Shelf[Page] = Shelf(clock)
        self._codes: Shelf[Code] = Shelf(clock)
        self._devices: Shelf[Device] = Shelf(clock)
        self._user_codes: Shelf[Device] = Shelf(clock)
        self._sign_ins: Shelf[SignIn] = Shelf(clock)

    # ---- pages

    def open_page(self, browser: str, asked: Asked, device: Device | None = None) -> Page:
        """Ask somebody to sign in."""
        page = Page(secrets.token_urlsafe(32), browser, asked, device)
        self._pages.put(page.id, page, self._clock() + self._periods.page)
        return page

    def page(self, identifier: str, browser: str) -> Page:
        """The page that a browser answers.

        Raises:
            Refused: there is none of that id in that browser.
        """
        page = self._pages.get(identifier)
        if page is None or not hmac.compare_digest(page.browser.encode(), browser.encode()):
            raise Refused("invalid_request", "this page is no longer good; begin to sign in anew", 403)
        return page

    def close_page(self, page: Page) -> None:
        """Take no further answer to a page."""
        self._pages.take(page.id)

    # ---- authorization codes

    def grant_code(self, asked: Asked, handle: str) -> str:
        """A code for somebody who has just signed in (RFC 6749, 4.1.2)."""
        code, now = secrets.token_urlsafe(32), self._clock()
        # Kept for longer than it is good, so that it is known when it comes a second time.
        kept = Code(handle, asked, int(now), now + self._periods.code)
        self._codes.put(code, kept, now + self._periods.sign_in)
        return code

    def redeem(self, code: str, client: Client, redirect_uri: str, verifier: str) -> SignIn:
        """Turn a code into a sign-in, once (RFC 6749, 4.1.3; RFC 7636, 4.6).

        Used a second time, it ends what it gave: one of the two is not the client (RFC 6749, 10.5).

        Raises:
            Refused: ``invalid_grant``.
        """
        kept = self._codes.get(code)
        if kept is None or kept.asked.client.id != client.id:
            raise Refused("invalid_grant", "there is no such code for this client")
        if kept.used:
            if kept.sign_in is not None:
                self.end(kept.sign_in.sid)
            raise Refused("invalid_grant", "the code was used before; what it gave is taken back")
        kept.used = True
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if self._clock() >= kept.until:
            raise Refused("invalid_grant", "the code has run out")
        if redirect_uri != kept.asked.redirect_uri:
            raise Refused("invalid_grant", "the code was given for another redirect_uri")
        if not hmac.compare_digest(challenge, kept.asked.challenge):
            raise Refused("invalid_grant", "the code_verifier does not belong to the code")
        kept.sign_in = self._begin(kept.handle, kept.asked, kept.at)
        return kept.sign_in

    # ---- devices

    def add_device(self, asked: Asked) -> Device:
        """Let a device wait for somebody (RFC 8628, 3.2)."""
        letters = random_letters(8)
        until = self._clock() + self._periods.device
        device = Device(
            secrets.token_urlsafe(32), f"{letters[:4]}-{letters[4:]}", asked, until, self._periods.interval
        )
        self._user_codes.put(letters, device, until)
        # Kept for longer than it is good, so that a device which asks too late is told so.
        self._devices.put(device.device_code, device, until + self._periods.device)
        return device

    def waiting_device(self, user_code: str) -> Device | None:
        """The device that shows a code, however it is typed (RFC 8628, 6.1)."""
        return self._user_codes.get("".join(one for one in user_code.upper() if one in LETTERS))

    def answer_device(self, device: Device, handle: str | None) -> None:
        """Somebody signed in for a device, or nobody wants to; its code is used up.

        Raises:
            Refused: it was used up before, or has run out.
        """
        if self._user_codes.take(device.user_code.replace("-", "")) is not device:
            raise Refused("invalid_request", "the code was answered before, or has run out", 403)
        device.handle, device.at, device.refused = handle, int(self._clock()), handle is None

    def poll(self, device_code: str, client: Client) -> SignIn:
        """What became of a device (RFC 8628, 3.5).

        Raises:
            Refused: ``authorization_pending``, ``slow_down``, ``access_denied``, ``expired_token`` or, for no such
                device of that client, ``invalid_grant``.
        """
        device, now = self._devices.get(device_code), self._clock()
        if device is None or device.asked.client.id != client.id:
            raise Refused("invalid_grant", "there is no such device code for this client")
        if device.refused:
            raise Refused("access_denied", "the request was refused")
        if now >= device.until:
            raise Refused("expired_token", "nobody signed in in time")
        too_soon, device.last_asked = now - device.last_asked < device.interval, now
        if too_soon:
            device.interval += SLOWER
            raise Refused("slow_down", f"ask every {device.interval} s")
        if device.handle is None:
            raise Refused("authorization_pending", "nobody has signed in yet")
        self._devices.take(device_code)
        return self._begin(device.handle, device.asked, device.at)

    # ---- refresh tokens

    def refresh_token(self, sign_in: SignIn) -> str:
        """The refresh token that is good now."""
        return f"{sign_in.sid}.{sign_in.refreshed}.{sign_in.proof(sign_in.refreshed)}"

    def refresh(self, token: str, client: Client) -> SignIn:
        """Go on with a sign-in; its refresh token is another one from now on (RFC 9700, 4.14.2).

        A former one ends the sign-in: one of the two who had it is not the client.

        Raises:
            Refused: ``invalid_grant``.
        """
        sign_in, number = self._of(token, client)
        if number != sign_in.refreshed:
            self.end(sign_in.sid)
            raise Refused("invalid_grant", "the refresh token was used before; the sign-in is ended")
        sign_in.refreshed += 1
        return sign_in

    def revoke(self, token: str, client: Client) -> SignIn | None:
        """End the sign-in of a refresh token, whether it is the last one or not; nothing where there is none.

        Its client is not told: it is who asks.

        Raises:
            Refused: ``invalid_grant``, when it is another client's.
        """
        try:
            sign_in, _ = self._of(token)
        except Refused:
            return None
        if sign_in.asked.client.id != client.id:
            raise Refused("invalid_grant", "the token was given to another client")
        return self._sign_ins.take(sign_in.sid)

    # ---- what is going on

    def end(self, sid: str) -> SignIn | None:
        """End a sign-in, and tell so; nothing where it is over."""
        sign_in = self._sign_ins.take(sid)
        if sign_in is not None:
            self._ended(sign_in)
        return sign_in

    def of(self, handle: str) -> list[SignIn]:
        """Where somebody is signed in."""
        return [one for one in self._sign_ins.all() if one.handle == handle]

    def _begin(self, handle: str, asked: Asked, at: int) -> SignIn:
        sign_in = SignIn(handle, asked, at, at + self._periods.sign_in)
        self._sign_ins.put(sign_in.sid, sign_in, sign_in.until)
        return sign_in

    def _of(self, token: str, client: Client | None = None) -> tuple[SignIn, int]:
        sid, _, rest = token.partition(".")
        number, _, proof = rest.partition(".")
        sign_in = self._sign_ins.get(sid)
        known = sign_in is not None and number.isascii() and number.isdigit() and len(number) < 10
        if sign_in is None or not known or int(number) > sign_in.refreshed:
            raise Refused("invalid_grant", "the refresh token is not good, or not any more")
        if not hmac.compare_digest(sign_in.proof(int(number)).encode(), proof.encode()):
            raise Refused("invalid_grant", "the refresh token is not good, or not any more")
        if client is not None and sign_in.asked.client.id != client.id:
            raise Refused("invalid_grant", "the refresh token was given to another client")
        return sign_in, int(number)

"""A browser in tests: it keeps cookies, follows where it is sent, and fills in the provider's page."""

from __future__ import annotations

import re
import uuid
from html import unescape
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import httpx
from fastapi import FastAPI

from countersign.runtime.embedded.services import Services

LOGIN, CALLBACK, SESSION = "/v1/session/login", "/v1/session/callback", "/v1/session"


class Browser:
    """Somebody's browser, at an API in a process of its own, or at an application in this one."""

    def __init__(self, services: Services, origin: str, app: FastAPI | None = None) -> None:
        self._services, self.origin = services, origin
        mounts = {} if app is None else {f"{origin}/": httpx.ASGITransport(app=app)}
        self.http = httpx.AsyncClient(timeout=30, trust_env=False, mounts=mounts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for something of the API's."""
        return await self.http.get(f"{self.origin}{path}", headers=headers)

    async def begin(self, issuer: str = "il", **query: str) -> httpx.Response:
        """Begin to sign in: where the browser is sent."""
        answer = await self.http.get(f"{self.origin}{LOGIN}", params={"issuer": issuer, **query})
        assert answer.status_code == 303, answer.text
        return answer

    async def come_back(self, begun: httpx.Response, who: str) -> httpx.Response:
        """Sign in at the provider: how it sends the browser back."""
        page = await self.http.get(begun.headers["location"])
        assert page.status_code == 200, page.text
        (hidden,) = re.findall(r'name="page" value="([^"]*)"', page.text)
        form = {"page": unescape(hidden), "who": who, "password": self._services.identity.password}
        at = begun.headers["location"].partition("/authorize?")[0]
        answer = await self.http.post(f"{at}/sign-in", data=form)
        assert answer.status_code == 303, answer.text
        return answer

    async def asked_back(self, who: str, **query: str) -> str:
        """Sign in up to the address at which the API takes the browser up."""
        issuer = self._services.identity.issuer_of(who).key
        back = await self.come_back(await self.begin(issuer, **query), who)
        return str(back.headers["location"])

    async def sign_in(self, who: str = "il-head", **query: str) -> httpx.Response:
        """Sign in: how the API sends the browser on."""
        answer = await self.http.get(await self.asked_back(who, **query))
        assert answer.status_code == 303, answer.text
        return answer

    async def session(self) -> Any:
        """What the API says of who is signed in."""
        answer = await self.get(SESSION)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def send(
        self, method: str, path: str, body: Any = None, *, csrf: str | None = None, **headers: str
    ) -> httpx.Response:
        """Change something as a page of the API's origin does, or with another ``csrf`` or headers as others do."""
        token = csrf if csrf is not None else (await self.session())["csrf_token"]
        ours = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", "X-CSRF-Token": token}
        sent = {"Idempotency-Key": str(uuid.uuid4())} | ours | headers
        sent = {name: value for name, value in sent.items() if value}
        return await self.http.request(method, f"{self.origin}{path}", json=body, headers=sent)

    @property
    def cookies(self) -> dict[str, str]:
        """What it keeps of the API's."""
        return {one.name: one.value or "" for one in self.http.cookies.jar if "countersign_" not in one.name}


def query_of(url: str) -> dict[str, str]:
    """What a URL says in its query."""
    return dict(parse_qsl(urlsplit(url).query))


def set_cookies(answer: httpx.Response) -> dict[str, set[str]]:
    """The cookies that an answer sets, by name: their attributes, in lower case."""
    found: dict[str, set[str]] = {}
    for line in answer.headers.get_list("set-cookie"):
        first, *attributes = (one.strip() for one in line.split(";"))
        found[first.partition("=")[0]] = {one.lower() for one in attributes}
    return found

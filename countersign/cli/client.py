"""Calls on the API: where it answers, who is calling, and what a refusal says."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final
from urllib.parse import quote

import httpx
import typer
from pydantic import TypeAdapter, ValidationError

from countersign.cli import kept
from countersign.cli.output import DEFAULT_HOME, Failure, Status, print_json
from countersign.domain.model import MessageId
from countersign.runtime.embedded.home import VARIABLE, Home

if TYPE_CHECKING:
    from countersign.runtime.embedded.identity import PersonListed

TOKEN: Final = "COUNTERSIGN_TOKEN"  # noqa: S105 - the name of a variable
URL: Final = "COUNTERSIGN_URL"
"""The environment variables that hold a bearer token, and where the API is that takes it."""

PATIENCE: Final = 30.0
"""Seconds to wait for an answer; the API itself gives up after half of it."""

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        help=f"Where the API answers, instead of --home; takes the token in {TOKEN}, or who signed in there. (env var: "
        f"{URL})",
    ),
]
AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        envvar="COUNTERSIGN_AS",
        metavar="NAME",
        help=f"Who is calling: one of `countersign token --list`. Without it: the token in {TOKEN}, or whoever signed "
        "in with `countersign login`.",
    ),
]
ReasonsOption = Annotated[str, typer.Option(help="Why; they stay on record.")]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", help="An id of your own: sent again under the same one, it has one effect."),
]
InitiativeArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The initiative's id, or its reference (ILAZ-2027-0042).")
]
JsonFile = Annotated[Path, typer.Argument(metavar="FILE", help="JSON; - reads standard input.")]

StandIn = Callable[["list[PersonListed]"], str | None]
"""Picks who calls when nobody is named: only where everybody's token is at hand anyway, on an embedded default."""


class Refused(Failure):
    """The API did not do it; ``problem`` is what it said (RFC 9457), with its stable ``code``."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = dict(problem)
        self.code = str(problem.get("code", "unknown"))
        places = [f"\n  {one.get('place')}: {one.get('problem')}" for one in problem.get("errors") or ()]
        super().__init__(f"{self.code}: {problem.get('detail', '')}{''.join(places)}")


class Api:
    """The API, as one caller."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, path: str, **parameters: str | int) -> Any:
        """The JSON of what is at a path below ``/v1``.

        Raises:
            Refused: the API says no.
            Failure: it does not answer.
        """
        return self.call("GET", path, parameters=parameters).json()

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Send a message; the JSON of the answer. Raises like :meth:`get`."""
        content = None if body is None else json.dumps(body).encode()
        return self.call("POST", path, content=content, key=key or new_key()).json()

    def delete(self, path: str, *, key: str | None = None) -> Any:
        """Take something back; the JSON of the answer. Raises like :meth:`get`."""
        return self.call("DELETE", path, key=key or new_key()).json()

    def call(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str | int] | None = None,
        content: bytes | BinaryIO | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request and its successful response. Raises like :meth:`get`."""
        sent = dict(headers or {})
        if key is not None:
            sent["Idempotency-Key"] = key
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        with self._reaching(key):
            response = self._http.request(
                method, f"/v1{path}", params=parameters, content=content, headers=sent
            )
        if response.is_success:
            return response
        raise _refusal(response, key)

    def stream(self, path: str) -> Iterator[bytes]:
        """What is at a whole path, piece by piece. Raises like :meth:`get`."""
        with self._reaching(None), self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                raise _refusal(response, None)
            yield from response.iter_bytes()

    @contextmanager
    def _reaching(self, key: str | None) -> Iterator[None]:
        """Say plainly when the API cannot be reached, and under which key a message is sent again."""
        where = self._http.base_url
        try:
            yield
        except httpx.TimeoutException:
            raise Failure(f"{where} did not answer in time{_again(key)}") from None
        except (httpx.ConnectError, httpx.UnsupportedProtocol) as problem:
            raise Failure(f"nothing answers at {where}: {problem}", Status.NOT_RUNNING) from None
        except httpx.HTTPError as problem:
            raise Failure(f"the connection to {where} broke: {problem}{_again(key)}") from None


@contextmanager
def calling(
    home: Path, url: str | None, name: str | None, as_json: bool, *, otherwise: StandIn | None = None
) -> Iterator[Api]:
    """The API of the running system, called by whom :func:`token` says; refusals are told as :func:`failing` does.

    Raises:
        NotRunning: nothing runs on that home.
        SignedOut: whoever signed in is signed in no more.
        Failure: it is not clear who is calling.
    """
    where = base(home, url)
    stand_in = otherwise if _remote(home, url) is None else None
    with failing(as_json), _connection(where, token(home, where, name, stand_in)) as caller:
        yield caller


@contextmanager
def anonymous(base: str) -> Iterator[Api]:
    """An API, called by nobody: for what is public."""
    with _connection(base, None) as caller:
        yield caller


@contextmanager
def failing(as_json: bool) -> Iterator[None]:
    """Print a refusal inside the block as JSON too when JSON was asked for, so that a script reads its code."""
    try:
        yield
    except Refused as refused:
        if as_json:
            print_json(refused.problem)
        raise
    except kept.SignedOut as signed_out:
        if as_json:
            print_json({"code": signed_out.code, "detail": str(signed_out)})
        raise


def base(home: Path, url: str | None) -> str:
    """Where the API answers that is meant.

    Raises:
        NotRunning: nothing runs on that home.
    """
    return _remote(home, url) or Home(home).endpoints().api


def id_at(home: Path, initiative: str) -> str:
    """The id of an initiative of the embedded default, by its id or its reference.

    Raises:
        NotRunning: nothing runs on that home.
        Refused: there is no such initiative.
    """
    where = Home(home).endpoints().api
    with _connection(where, token(home, where, _listed(an_auditor), None)) as caller:
        return str(caller.get(initiative_path(initiative))["id"])


def initiative_path(identifier: str, rest: str = "") -> str:
    """The path of an initiative, or of something that belongs to it."""
    return f"/initiatives/{quote(identifier, safe='')}{rest}"


def read_json(path: Path) -> tuple[bytes, Any]:
    """What a JSON file holds: to be sent as it stands, and read.

    Raises:
        Failure: it is not JSON.
    """
    try:
        raw = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
        text = raw.decode("utf-8-sig")  # some editors put a byte order mark before what they save
        return text.encode(), json.loads(text)
    except OSError as problem:
        raise Failure(f"{path} cannot be read: {problem.strerror}", Status.USAGE) from None
    except ValueError as problem:
        raise Failure(f"{path} is not JSON: {problem}") from None


def checked_key(key: str | None) -> str | None:
    """A key that can be sent.

    Raises:
        Failure: it cannot.
    """
    if key is not None:
        try:
            TypeAdapter(MessageId).validate_python(key)
        except ValidationError:
            problem = f"{key!r} is no id: 1 to 128 printable ASCII characters without a space"
            raise Failure(problem, Status.USAGE) from None
    return key


def new_key() -> str:
    """An id for a message that was not sent before."""
    return str(uuid.uuid4())


def an_auditor(people: list[PersonListed]) -> str | None:
    """The first auditor: reads everything, changes nothing."""
    return next((one.name for one in people if one.issuer.startswith("audit-")), None)


def _remote(home: Path, url: str | None) -> str | None:
    """Where a remote API is, if one is meant: a home that was typed counts for more than a URL in the environment."""
    if url is None and home == Path(os.environ.get(VARIABLE) or DEFAULT_HOME):
        url = os.environ.get(URL)
    return url.rstrip("/") if url else None


def token(home: Path, base: str, name: str | None, otherwise: StandIn | None) -> str:
    """The token of whoever calls: who is named, else the one in the environment, else that of whoever signed in to this
    API, else of the one who calls if nobody is named.

    Raises:
        SignedOut: whoever signed in is signed in no more.
        Failure: it is not clear who is calling.
    """
    from countersign.runtime.embedded import identity

    given = os.environ.get(TOKEN, "").strip()
    if name is None and not given:
        if (own := kept.token(base)) is not None:
            return own
        name = None if otherwise is None else _listed(otherwise)
    if name is not None:
        return asyncio.run(identity.fetch_token(Home(home), name))
    if not given:
        raise Failure(
            f"who is calling? Sign in with `countersign login`, name one of `countersign token --list` with --as, or "
            f"put a token into {TOKEN}",
            Status.USAGE,
        )
    if not given.isascii() or not given.isprintable() or " " in given:
        raise Failure(f"what {TOKEN} holds is no token", Status.USAGE)
    return given


def _listed(pick: StandIn) -> str | None:
    from countersign.runtime.embedded import identity

    return pick(identity.people())


@contextmanager
def _connection(base: str, token: str | None) -> Iterator[Api]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        # A proxy of the person who happens to call has no business with these tokens.
        http = httpx.Client(base_url=base, headers=headers, timeout=PATIENCE, trust_env=False)
    except httpx.InvalidURL as problem:
        raise Failure(f"{base!r} is no URL: {problem}", Status.USAGE) from None
    with http:
        yield Api(http)


def _refusal(response: httpx.Response, key: str | None) -> Failure:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "code" not in problem:
        where = response.request.url
        return Failure(f"{where} answered {response.status_code} {response.reason_phrase}")
    if problem["code"] == "unavailable":
        problem = {**problem, "detail": f"{problem.get('detail', '')}{_again(key)}"}
    return Refused(problem)


def _again(key: str | None) -> str:
    """How to send a message again without a second effect."""
    return "" if key is None else f" (the id to send it again under: {key})"

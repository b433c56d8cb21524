"""Commands that run the system or a part of it: ``up``, ``worker``, ``api``, ``migrate`` and ``skip``."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer
from pydantic import ValidationError

from countersign.cli.client import InitiativeArgument, id_at
from countersign.cli.output import DEFAULT_HOME, Failure, HomeOption, JsonOption, Status, err, out, print_json
from countersign.runtime.embedded.home import Endpoints, Home

if TYPE_CHECKING:
    from countersign.runtime.settings import Settings

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST_SKIP: Final = timedelta(days=3660)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (up, worker, api, migrate, skip):
        app.command()(command)


def up(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The API's port; 8080 or a free one if not given.")
    ] = None,
    examples: Annotated[bool, typer.Option(help="Submit the shipped example proposals.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Start the whole system on this machine and keep it running until Ctrl-C."""
    from countersign.runtime import logs
    from countersign.runtime.embedded.stack import Stack
    from countersign.runtime.signals import run_until_signalled

    logs.configure(level="WARNING")
    place = Home(home)

    def ready(endpoints: Endpoints) -> None:
        if as_json:
            print_json(endpoints.model_dump(mode="json"))
        else:
            _print_where(endpoints, place)

    console = err if as_json else out
    stack = Stack(place, lambda line: console.print(line, markup=False), port=port, examples=examples)
    run_until_signalled(stack.run(ready))


def worker() -> None:
    """Run a worker, configured by the environment (COUNTERSIGN_…)."""
    from countersign import worker as process
    from countersign.runtime.signals import run_until_signalled

    run_until_signalled(process.run(settings_with_keys()))


def api() -> None:
    """Serve the API, configured by the environment (COUNTERSIGN_…)."""
    import uvicorn

    settings = settings_with_keys()
    uvicorn.run(
        "countersign.api.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        http="httptools",
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,  # seconds; an open event stream would otherwise hold it for ever
    )


def migrate(as_json: JsonOption = False) -> None:
    """Bring the database and the Temporal namespace to what this version needs; done again, it changes nothing."""
    from countersign.runtime.migrate import migrate as migrate_database
    from countersign.runtime.temporal import KEYLESS, connect, prepare_namespace

    settings = settings_and_logs()

    async def both() -> None:
        await migrate_database(settings.database_url)
        await prepare_namespace(await connect(settings, converter=KEYLESS, lazy=False))

    try:
        asyncio.run(both())
    except (OSError, RuntimeError) as problem:
        raise Failure(f"cannot migrate: {problem}") from problem
    if as_json:
        print_json({"database": "up to date", "temporal_namespace": settings.temporal_namespace})
    else:
        out.print(f"The database and the namespace {settings.temporal_namespace} are up to date.")


def skip(
    initiative: InitiativeArgument,
    duration: Annotated[str, typer.Argument(help="How far, such as 36h, 30d or 2w (m, h, d, w).")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Move one initiative's clock ahead (embedded default only); the clocks of the others stay as they are."""
    from temporalio.service import RPCError

    from countersign.domain.ids import workflow_id

    ahead = parse_duration(duration)
    endpoints = Home(home).endpoints()
    identifier = id_at(home, initiative)
    try:
        now = asyncio.run(_skip(endpoints, workflow_id(identifier), ahead))
    except RPCError as problem:
        raise Failure(f"cannot move the clock of {initiative}: {problem}") from problem
    if as_json:
        print_json({"id": identifier, "now": now})
    else:
        out.print(f"For {initiative} it is now {now}.", markup=False)


def parse_duration(text: str) -> timedelta:
    """A duration such as ``30d`` or ``1w2d``.

    Raises:
        Failure: it cannot be read, or is zero or longer than ten years.
    """
    if not re.fullmatch(r"(\d{1,5}[mhdw])+", text):
        raise Failure(f"{text!r} is no duration; write it like 36h, 30d or 2w", Status.USAGE)
    parts = re.findall(r"(\d+)([mhdw])", text)
    length = sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())
    if not timedelta() < length <= _LONGEST_SKIP:
        raise Failure(f"{text!r} is not between a minute and ten years", Status.USAGE)
    return length


async def _skip(endpoints: Endpoints, workflow: str, ahead: timedelta) -> str:
    from temporalio.client import Client
    from temporalio.testing import TimeSkipper

    from countersign.runtime.temporal import KEYLESS

    client = await Client.connect(
        endpoints.temporal_address, namespace=endpoints.temporal_namespace, data_converter=KEYLESS
    )
    skipper = TimeSkipper(client)
    handle = client.get_workflow_handle(workflow)
    try:
        # Awaited with a limit: a workflow that fails its task over and over never gets there.
        await asyncio.wait_for(skipper.fast_forward(handle, ahead), 120)
    except TimeoutError:
        raise Failure(
            f"the clock of {workflow} is still moving after two minutes; is a worker running?"
        ) from None
    return (await skipper.get_current_time(handle)).isoformat(timespec="seconds")


def settings_and_logs() -> Settings:
    """The settings of the environment, with logs set up as they say.

    Raises:
        Failure: one that is needed is missing, or one means nothing.
    """
    from countersign.runtime import logs
    from countersign.runtime.settings import Settings

    try:
        settings = Settings()
    except ValidationError as problem:
        faults = "; ".join(
            f"COUNTERSIGN_{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in problem.errors(include_input=False)
        )
        raise Failure(f"the settings are not complete: {faults}", Status.USAGE) from None
    logs.configure(settings.log_format, settings.log_level)
    return settings


def settings_with_keys() -> Settings:
    """The settings of the environment for a process that handles content, with logs set up as they say.

    Raises:
        Failure: one that is needed is missing, or one means nothing; or the keys cannot be used.
    """
    from countersign.runtime.payload_codec import configured
    from countersign.runtime.payload_keys import KeyRingFault

    settings = settings_and_logs()
    try:
        configured(settings)
    except KeyRingFault as problem:
        raise Failure(f"the keys for payloads cannot be used: {problem}", Status.USAGE) from None
    return settings


def _print_where(endpoints: Endpoints, home: Home) -> None:
    from countersign.runtime.embedded.identity import sign_in_password

    with_home = "" if home.path == DEFAULT_HOME.resolve() else f" --home {home.path}"
    out.print(
        f"""
Countersign is ready.

  the API and its documentation   {endpoints.api}/docs
  the Temporal web UI             {endpoints.ui}/namespaces/{endpoints.temporal_namespace}
  auditors, to read content there {endpoints.api}/v1/codec/session
  logs                            {home.logs}

  who there is                    countersign token --list{with_home}
  a token for one of them         countersign token il-head{with_home}
  to sign in as one of them       countersign login{with_home}
  what they all sign in with      {sign_in_password(home)}

Ctrl-C stops everything; the state stays in {home.path}.
""",
        markup=False,
    )

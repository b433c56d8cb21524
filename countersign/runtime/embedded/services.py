"""The embedded services inside the caller's own process, for tests and rehearsals: up in a moment, gone at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from temporalio.client import Client

from countersign.runtime.embedded import identity, temporal_server
from countersign.runtime.embedded.children import Child, end_leftovers
from countersign.runtime.embedded.home import Home
from countersign.runtime.embedded.keys import agreement_with_keys
from countersign.runtime.embedded.ports import free_ports
from countersign.runtime.embedded.postgres import UNSAFE_BUT_FAST, PostgresServer
from countersign.runtime.embedded.provider.provider import Provider
from countersign.runtime.embedded.provider.serving import serving
from countersign.runtime.embedded.provider.sign_ins import Periods
from countersign.runtime.migrate import migrate
from countersign.runtime.payload_keys import ensure
from countersign.runtime.settings import Settings
from countersign.runtime.temporal import connect, prepare_namespace
from countersign.store.roles import WORKER

_NAMESPACE: Final = "countersign"


@dataclass(frozen=True)
class Services:
    """The running services, and a client of theirs; ``issuers`` is what ``Settings.issuers`` takes.

    Whoever serves an API to browsers tells the ``provider`` where (``register``).

    ``database_url`` is that of the owner, a superuser even; no process connects by it.
    """

    home: Home
    database_url: str
    temporal_address: str
    temporal_namespace: str
    client: Client
    issuers: dict[str, str]
    postgres: PostgresServer
    temporal: Child
    identity: identity.Identity
    provider: Provider

    def settings(self, role: str = WORKER, **changes: object) -> Settings:
        """Settings for a process that uses these services, in a role of the database; a worker's unless told."""
        values: dict[str, object] = {
            "database_url": self.postgres.url(role=role),
            "temporal_address": self.temporal_address,
            "temporal_namespace": self.temporal_namespace,
            "payload_keys": self.home.payload_keys,
            "issuers": self.issuers,
            "operators_issuer": identity.operators_issuer(),
        }
        chosen = Settings.model_validate(values | changes)
        return chosen.model_copy(
            update={
                "agreement": agreement_with_keys(self.home, chosen.agreement),
                "signing_keys": chosen.signing_keys or self.home.keys,
            }
        )

    def token(self, name: str) -> str:
        """A bearer token for one of the embedded default's people."""
        return self.identity.token(name)


@asynccontextmanager
async def embedded_services(
    home: Home | Path | str,
    *,
    persistent: bool = False,
    migrated: bool = True,
    periods: Periods | None = None,
    dynamic_config: Mapping[str, str] | None = None,
) -> AsyncIterator[Services]:
    """PostgreSQL, Temporal and the identity providers, started together, with the schema and the namespace ready.

    Not ``persistent``, nothing of it survives a crash: PostgreSQL does not flush and Temporal keeps all in memory.
    ``migrated=False`` leaves the database empty. ``periods`` are those of the identity providers.
    ``dynamic_config`` is for Temporal.

    Raises:
        AlreadyRunning: something else runs on this home.
        EmbeddedError: a service cannot be started.
    """
    home = home if isinstance(home, Home) else Home(home)
    async with AsyncExitStack() as stack:
        stack.enter_context(home.locked())
        await asyncio.to_thread(end_leftovers, home.remembered())
        postgres = PostgresServer(
            home.postgres, home.logs / "postgres.log", options={} if persistent else UNSAFE_BUT_FAST
        )
        stack.push_async_callback(postgres.stop)
        port, identity_port = free_ports(0, 0)
        address = f"127.0.0.1:{port}"
        command = temporal_server.command(
            port=port,
            namespace=_NAMESPACE,
            ui_port=None,
            database=home.temporal / "temporal.db" if persistent else None,
            dynamic_config=dynamic_config,
        )
        temporal = Child("temporal", command, home.logs / "temporal.log", temporal_server.environment(home))
        stack.push_async_callback(temporal.stop, grace=5)
        base = f"http://127.0.0.1:{identity_port}"
        people = identity.Identity(home)
        provider = Provider(people, base, periods=periods)

        async def database() -> None:
            await postgres.start()
            if migrated:
                await migrate(postgres.url())

        async def engine() -> Client:
            healthy = partial(temporal_server.healthy, address, _NAMESPACE)

            def remember() -> None:
                if (process := temporal.process()) is not None:
                    home.remember({"temporal": process})

            await temporal.start_ready(healthy, seconds=60, started=remember)
            settings = Settings(
                database_url="",
                temporal_address=address,
                temporal_namespace=_NAMESPACE,
                payload_keys=ensure(home.payload_keys),
            )
            client = await connect(settings, lazy=False)
            await prepare_namespace(client)
            return client

        # All of them start to their end even if one fails, so that none is left half started behind us.
        done = await asyncio.gather(
            engine(),
            database(),
            stack.enter_async_context(serving(provider)),
            return_exceptions=True,
        )
        for problem in done:
            if isinstance(problem, BaseException):
                raise problem
        client = done[0]
        assert isinstance(client, Client)
        yield Services(
            home=home,
            database_url=postgres.url(),
            temporal_address=address,
            temporal_namespace=_NAMESPACE,
            client=client,
            issuers=identity.served_at(base),
            postgres=postgres,
            temporal=temporal,
            identity=people,
            provider=provider,
        )

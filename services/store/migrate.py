"""Bringing the store to this version: by itself, at every start, and only once where several start together."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from services.errors import StoreUnusable
from services.store.database import Store
from services.store.triggers import create_triggers

ADVISORY_LOCK = 4_711_020_26  # any constant: all Headgates on one PostgreSQL database must agree on it


def migrate(store: Store) -> bool:
    """Upgrade the store to the newest revision. Returns whether anything was done.

    Raises StoreUnusable for a store that a newer Headgate wrote, and the errors of the transaction otherwise.
    """
    config = _config()
    script = ScriptDirectory.from_config(config)
    newest = script.get_current_head()
    with store.reading() as session:
        if _revision(session.connection(), script) == newest:
            return False
    with store.migrating() as connection:
        if not store.sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        if _revision(connection, script) == newest:  # another process was faster
            return False
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        create_triggers(connection)
        if store.sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()):
            raise StoreUnusable(f"The upgrade would have broken {len(broken)} references.", "Nothing was changed.")
    return True


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _revision(connection: Connection, script: ScriptDirectory) -> str | None:
    """Where the store stands. Raises StoreUnusable for a revision this version does not know."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
        raise StoreUnusable(
            f"The lineage store was written by a newer Headgate (its revision is {current!r}).",
            "Install that version or a later one; this one changes nothing in it.",
        )
    return current

"""The engine and the transaction. Commands use `writing()`, queries use `reading()`; nothing else opens a session."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError, ProgrammingError
from sqlmodel import Session, create_engine

from services import clock as clocks
from services.errors import Conflict, HeadgateError, StoreUnreachable, StoreUnusable

BUSY_SECONDS = 10
BETWEEN_LOOKS_MS = 20


class Store:
    """The lineage store at one address. Opening it touches nothing; `services.start.open_store` migrates it first.

    `busy_seconds` is how long a writer waits for another one.
    """

    def __init__(self, url: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        self.busy_seconds = busy_seconds

    @cached_property
    def _engine(self) -> Engine:
        if not self.sqlite:
            engine = create_engine(self.url, pool_pre_ping=True, connect_args={"connect_timeout": BUSY_SECONDS})
            event.listen(engine, "connect", self._prepare_postgresql)
            return engine
        engine = create_engine(self.url, connect_args={"timeout": self.busy_seconds, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", partial(_begin_sqlite, busy_seconds=self.busy_seconds))
        return engine

    def _prepare_postgresql(self, connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {round(self.busy_seconds * 1000)}")  # its default is to wait for ever
        connection.commit()

    @cached_property
    def _writes(self) -> Engine:
        # The option reaches _begin_sqlite: a writer takes the lock before its first read, so what it reads stays true.
        return self._engine.execution_options(writes=True)

    @property
    def engine(self) -> Engine:
        """For migrations and tests. Commands and queries use `writing` and `reading`."""
        return self._engine

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent snapshot on SQLite, read committed on PostgreSQL. Nothing is written."""
        with self._told(), Session(self._engine, autoflush=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction: committed as a whole at the end of the block, or not at all."""
        with self._told(), Session(self._writes, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """One writing transaction with SQLite's foreign keys off: rebuilding a table would otherwise fail or delete."""
        with self._told(), self._writes.connect() as connection:
            if self.sqlite:
                connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")  # has no effect inside a transaction
            try:
                with connection.begin():
                    yield connection
            finally:
                if self.sqlite:
                    connection.connection.cursor().execute("PRAGMA foreign_keys=ON")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in words what the database says in codes."""
        try:
            yield
        except DatabaseError as error:
            if (said := _in_words(error, self.busy_seconds)) is None:
                raise
            raise said from error

    def close(self) -> None:
        self._engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event decides how a transaction begins, not pysqlite
    cursor = connection.cursor()
    # FULL, not the NORMAL usual with WAL: over a power loss no alias may outlive the commit that says who moved it.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
        try:
            cursor.execute(f"PRAGMA {pragma}")
        except Exception as error:  # a read-only file refuses WAL, and can still be read
            if "readonly" not in str(error):
                raise
    cursor.close()


def _begin_sqlite(connection: Connection, busy_seconds: float) -> None:
    if not connection.get_execution_options().get("writes"):
        connection.exec_driver_sql("BEGIN")
        return
    # SQLite's own waiting looks less and less often, so that of many writers one may never have its turn. Looking every
    # few milliseconds is fair enough; the last look is SQLAlchemy's, which says what is in the way.
    raw = connection.connection.cursor()
    deadline = clocks.monotonic() + busy_seconds
    raw.execute(f"PRAGMA busy_timeout={BETWEEN_LOOKS_MS}")
    try:
        while clocks.monotonic() < deadline:
            try:
                raw.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    break
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        raw.execute(f"PRAGMA busy_timeout={round(busy_seconds * 1000)}")
        raw.close()


def _in_words(error: DatabaseError, busy_seconds: float) -> HeadgateError | None:
    """What the database says in codes; None for what no person can act on."""
    text = _first_line(error)
    if isinstance(error, IntegrityError) or "deadlock detected" in text:
        return Conflict(
            f"Somebody else changed the same thing at the same moment ({text}).",
            "Nothing was written. Look at how it stands now, then try again.",
        )
    if "readonly" in text or "read-only" in text:
        return StoreUnusable(
            f"The lineage store cannot be written to ({text}).",
            "Check the permissions of HEADGATE_HOME and of the file in it. Nothing was written.",
        )
    if "locked" in text or "lock timeout" in text:
        return StoreUnreachable(
            f"The lineage store has been locked by another process for {busy_seconds:g} seconds.",
            "Nothing was written. Try again; `headgate doctor` shows who lives.",
        )
    if "malformed" in text or "not a database" in text:
        return StoreUnusable(
            f"The lineage store's file is damaged ({text}).",
            "Put it aside and restore it from a backup; Headgate changes nothing in it.",
        )
    if "no such table" in text or (isinstance(error, ProgrammingError) and "does not exist" in text):
        return StoreUnusable(
            f"The lineage store is incomplete ({text}).", "Run `headgate doctor`, which says what is missing."
        )
    if "unable to open database file" in text:
        return StoreUnusable(
            f"The lineage store cannot be opened ({text}).", "Set HEADGATE_HOME to a folder that you may write to."
        )
    if isinstance(error, OperationalError):
        return StoreUnreachable(
            f"The lineage store does not answer ({text}).", "Check HEADGATE_HOME or HEADGATE_DATABASE_URL."
        )
    return None


def _first_line(error: DatabaseError) -> str:
    return str(error.orig).strip().splitlines()[0] if error.orig and str(error.orig).strip() else type(error).__name__

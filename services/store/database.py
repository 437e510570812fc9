"""The engine and the transaction. Commands use `writing()`, queries use `reading()`; nothing else opens a session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlmodel import Session, create_engine

from services.errors import Conflict, HeadgateError, StoreUnreachable, StoreUnusable

BUSY_SECONDS = 10


class Store:
    """The lineage store at one address. Opening it touches nothing; `services.start.open_store` migrates it first."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")

    @cached_property
    def _engine(self) -> Engine:
        if not self.sqlite:
            return create_engine(self.url, pool_pre_ping=True, connect_args={"connect_timeout": BUSY_SECONDS})
        Path(self.url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(self.url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

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
        with _told(), Session(self._engine, autoflush=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction: committed as a whole at the end of the block, or not at all."""
        with _told(), Session(self._writes, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """One writing transaction with SQLite's foreign keys off: rebuilding a table would otherwise fail or delete."""
        with _told(), self._writes.connect() as connection:
            if self.sqlite:
                connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")  # has no effect inside a transaction
            try:
                with connection.begin():
                    yield connection
            finally:
                if self.sqlite:
                    connection.connection.cursor().execute("PRAGMA foreign_keys=ON")

    def close(self) -> None:
        self._engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event decides how a transaction begins, not pysqlite
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "recursive_triggers=ON"):
        try:
            cursor.execute(f"PRAGMA {pragma}")
        except Exception as error:  # a read-only file refuses WAL, and can still be read
            if "readonly" not in str(error):
                raise
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _told() -> Iterator[None]:
    """Say in words what the database says in codes."""
    try:
        yield
    except HeadgateError:
        raise
    except IntegrityError as error:
        raise Conflict(
            f"Somebody else changed the same thing at the same moment ({_first_line(error)}).",
            "Nothing was written. Look at how it stands now, then try again.",
        ) from error
    except OperationalError as error:
        raise _operational(error) from error
    except DatabaseError as error:
        text = _first_line(error)
        if "not a database" in text or "malformed" in text:
            raise _corrupt(text) from error
        raise


def _operational(error: OperationalError) -> HeadgateError:
    text = _first_line(error)
    if "readonly" in text or "read-only" in text:
        return StoreUnusable(
            f"The lineage store cannot be written to ({text}).",
            "Check the permissions of HEADGATE_HOME and of the file in it. Nothing was written.",
        )
    if "locked" in text:
        return StoreUnreachable(
            f"The lineage store has been locked by another process for {BUSY_SECONDS} seconds.",
            "Nothing was written. Try again; `headgate doctor` shows who lives.",
        )
    if "malformed" in text or "not a database" in text:
        return _corrupt(text)
    if "no such table" in text or "does not exist" in text:
        return StoreUnusable(
            f"The lineage store is incomplete ({text}).", "Run `headgate doctor`, which repairs its tables."
        )
    return StoreUnreachable(
        f"The lineage store does not answer ({text}).", "Check HEADGATE_HOME or HEADGATE_DATABASE_URL."
    )


def _corrupt(text: str) -> StoreUnusable:
    return StoreUnusable(
        f"The lineage store's file is damaged ({text}).",
        "Put it aside and restore it from a backup; Headgate changes nothing in it.",
    )


def _first_line(error: DatabaseError) -> str:
    return str(error.orig).strip().splitlines()[0] if error.orig and str(error.orig).strip() else type(error).__name__

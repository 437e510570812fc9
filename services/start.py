"""What `serve`, `demo` and app.py call first: the store is brought to this version, and a worker lives beside it."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlmodel import col, func, select

from services import clock as clocks
from services import settings as settings_module
from services.clock import WallClock
from services.commands import people
from services.errors import HeadgateError, StoreUnusable
from services.identity import local_person
from services.rules.domain import Person
from services.settings import Settings
from services.store.database import Store
from services.store.migrate import migrate
from services.store.models import Worker

PROJECT = Path(__file__).resolve().parent.parent
ALIVE = timedelta(seconds=8)  # four missed heartbeats


@dataclass(frozen=True)
class Started:
    settings: Settings
    store: Store


def begin(settings: Settings | None = None) -> Started:
    """Open the store and see to it that a worker lives. Call it once in a process."""
    settings = settings or settings_module.load()
    store = open_store(settings)
    people.meet(store, local_person(), clock=WallClock())
    if settings.starts_worker:
        _keep_worker(settings, store)
    return Started(settings, store)


def open_store(settings: Settings) -> Store:
    """The lineage store, migrated. Raises StoreUnusable or StoreUnreachable, each with what to do."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnusable(
            f"{settings.home} cannot be made ({error.strerror}).", "Set HEADGATE_HOME to a folder you may write to."
        ) from error
    store = Store(settings.database_url)
    migrate(store)
    return store


def welcome(store: Store, person: Person) -> None:
    """Somebody logged in: from now on they are known, and count where a policy asks for a number of approvals."""
    people.meet(store, person, clock=WallClock())


def worker_lives(store: Store) -> bool:
    """Whether some worker has reported within the last seconds."""
    with store.reading() as session:
        beat = session.exec(select(func.max(col(Worker.beat_at)))).one()
        return beat is not None and clocks.wall() - beat < ALIVE


def _keep_worker(settings: Settings, store: Store) -> None:
    """Start a worker where none lives, and again should it die. It ends with this process, which holds its input."""
    stopping = threading.Event()
    keeper = _Keeper(settings)

    def keep() -> None:
        while not stopping.is_set():
            _quietly(lambda: keeper.look(store))
            stopping.wait(2.0)

    def stop() -> None:
        stopping.set()
        keeper.end()

    atexit.register(stop)
    threading.Thread(target=keep, name="headgate-worker-keeper", daemon=True).start()


def _quietly(look: Callable[[], None]) -> None:
    """A store that is locked for a moment is no reason to stop looking."""
    try:
        look()
    except HeadgateError as error:
        print(f"headgate: {error}", file=sys.stderr)  # noqa: T201  (the server's own log)


class _Keeper:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def look(self, store: Store) -> None:
        if self._process and self._process.poll() is None:
            return
        if worker_lives(store):
            return
        with (self._settings.home / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.work.worker", "--beside"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=PROJECT,
                env=environment_of(self._settings),
            )

    def end(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()


def environment_of(settings: Settings) -> dict[str, str]:
    """The worker runs in the project's folder, so what was relative to ours is passed on as absolute."""
    return {
        **os.environ,
        "HEADGATE_HOME": str(settings.home),
        "HEADGATE_DATABASE_URL": settings.database_url,
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
    }

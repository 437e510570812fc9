"""The queue: huey brings the work to a worker. A message may be lost or doubled; the rows and leases are the truth."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from huey.api import Huey, PostgresHuey, SqliteHuey

from services.clock import WallClock
from services.commands import deployments
from services.commands import strays as choices
from services.errors import HeadgateError
from services.rules.domain import HEADGATE
from services.settings import Settings
from services.store.database import Store
from services.work import deploy, drill, preflight, reconcile, runs, strays, sync
from services.work.tracking import Tracking

log = logging.getLogger("headgate.worker")


class Jobs:
    """What a worker does, as tasks on the queue. One object a process."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings, self.store = settings, store
        self.tracking = Tracking(settings)
        self.huey = _queue(settings)
        self.run_gate = self.huey.task(name="run_gate")(self._run_gate)
        self.deploy = self.huey.task(name="deploy")(self._deploy)
        self.sync = self.huey.task(name="sync")(_one_at_a_time(self._sync))
        self.reconcile = self.huey.task(name="reconcile")(_one_at_a_time(self._reconcile))
        self.preflight = self.huey.task(name="preflight")(_one_at_a_time(self._preflight))
        self.stray = self.huey.task(name="stray")(_one_at_a_time(self._strays))

    def _run_gate(self, run_id: int) -> None:
        runs.carry_out(self.store, self.settings, run_id, owner=deploy.new_owner(), clock=WallClock())

    def _deploy(self, deployment_id: int) -> None:
        slot = deployments.slot_of(self.store, deployment_id)
        ended = deploy.carry_out(self.store, self.tracking, slot, clock=WallClock())
        log.info("deployment %s in %s: %s", deployment_id, slot, ended)

    def _sync(self) -> None:
        for found in sync.sync(
            self.store, self.tracking, self.settings, actor=HEADGATE, clock=WallClock(), only_if_changed=True
        ):
            if found.trouble:
                log.warning("sync of %s: %s", found.application, found.trouble)
            for registered in found.registered:
                log.info("new bundle %s", registered.ref)

    def _reconcile(self) -> None:
        for found in reconcile.reconcile(self.store, self.tracking, clock=WallClock()):
            if not found.agrees or found.finished or found.repaired:
                log.warning("reconcile %s", found)
        drill.resume(self.store, self.tracking, self.settings, clock=WallClock())

    def _preflight(self) -> None:
        for slot in deployments.slots(self.store):
            preflight.refresh(self.store, self.tracking, slot)

    def _strays(self) -> None:
        for chosen in choices.chosen(self.store):
            try:
                strays.carry_out(self.store, self.tracking, self.settings, chosen, clock=WallClock())
            except HeadgateError as error:  # the stray carries it; the others must not wait for it
                log.warning("what was chosen about %s: %s", chosen.slot, error)


def _queue(settings: Settings) -> Huey:
    if settings.embedded_store:
        settings.home.mkdir(parents=True, exist_ok=True)
        return SqliteHuey("headgate", filename=str(settings.home / "queue.db"), results=False)
    dsn = settings.database_url.replace("postgresql+psycopg://", "postgresql://")
    return PostgresHuey("headgate", dsn=dsn, results=False)


def _one_at_a_time(work: Callable[[], None]) -> Callable[[], None]:
    """A timer that fires while the last round still runs does nothing."""
    lock = threading.Lock()

    def guarded() -> None:
        if lock.acquire(blocking=False):
            try:
                work()
            finally:
                lock.release()

    return guarded

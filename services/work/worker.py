"""The worker: one process that carries out deployments, runs gates and syncs. Any number may live, on any machine.

`python -m services.work.worker --beside` is how the dashboard starts its own: it ends when its standard input does.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from datetime import timedelta

from huey.consumer import Consumer

from services import clock as clocks
from services import settings as settings_module
from services.clock import WallClock
from services.commands import automation, deployments, gates, strays
from services.errors import HeadgateError
from services.settings import Settings
from services.start import open_store
from services.store.database import Store
from services.store.models import Worker
from services.work.deploy import new_owner
from services.work.gates import runner
from services.work.jobs import Jobs

LOOK_SECONDS = 0.25
BEAT_SECONDS = 2.0
RECONCILE_SECONDS = 30.0
PREFLIGHT_SECONDS = 120.0
STRAY_SECONDS = 2.0
ENTER_SECONDS = 5.0
OFFER_AGAIN_SECONDS = 20.0  # a message may be lost: what is still waiting by then is put on the queue again
THREADS = 3
LEAVE_SECONDS = 8.0

log = logging.getLogger("headgate.worker")


def main(argv: list[str] | None = None) -> int:
    """Work until told to stop (SIGTERM, SIGINT, or the end of standard input with --beside)."""
    beside = "--beside" in (sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("huey").setLevel(logging.WARNING)
    stopping = threading.Event()
    _stop_when_told(stopping)
    settings = settings_module.load()
    store = open_store(settings)
    consumer = _consumer(settings, store, stopping)
    if beside:
        threading.Thread(target=_stop_at_end_of_input, args=(stopping,), daemon=True).start()
    try:
        consumer.run(stopping)
    finally:
        _leave(store, consumer.name)
    return 0


def _stop_when_told(stopping: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())


class _Loop:
    """Looks for intents several times a second and puts them on the queue."""

    def __init__(self, jobs: Jobs, consumer: Consumer) -> None:
        self.name = new_owner()
        self._jobs, self._consumer = jobs, consumer
        self._store = jobs.store
        self._offered: dict[tuple[str, int], float] = {}
        now = clocks.monotonic()
        self._due = {
            "beat": 0.0,
            "reconcile": 0.0,
            "stray": 0.0,
            "enter": 0.0,
            "preflight": now + 2.0,
            "sync": now + 3.0,
        }

    def run(self, stopping: threading.Event) -> None:
        self._consumer.start()
        _stop_when_told(stopping)  # again: the consumer has set handlers of its own
        log.info("worker %s is ready", self.name)
        while not stopping.is_set():
            try:
                self._look()
            except HeadgateError as error:
                log.warning("%s", error)
                stopping.wait(1.0)
            except Exception:  # the queue's own troubles: a worker that ends for one of them helps nobody
                log.exception("looking for work failed, and is tried again")
                stopping.wait(1.0)
            stopping.wait(LOOK_SECONDS)
        self._consumer.stop(graceful=False)

    def _look(self) -> None:
        if self._is_due("beat", BEAT_SECONDS):
            beat(self._store, self.name)
        for deployment_id in deployments.pending(self._store):
            self._offer("deploy", deployment_id)
        for run_id in gates.waiting(self._store):
            self._offer("run_gate", run_id)
        if self._is_due("enter", ENTER_SECONDS):
            automation.enter(self._store, clock=WallClock())
        if strays.chosen(self._store) and self._is_due("stray", STRAY_SECONDS):
            self._jobs.stray()
        if self._is_due("reconcile", RECONCILE_SECONDS):
            self._jobs.reconcile()
        if self._is_due("preflight", PREFLIGHT_SECONDS):
            self._jobs.preflight()
        if self._is_due("sync", self._jobs.settings.sync_seconds):
            self._jobs.sync()

    def _is_due(self, what: str, every: float) -> bool:
        now = clocks.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every
        return True

    def _offer(self, task: str, row_id: int) -> None:
        now = clocks.monotonic()
        self._offered = {key: at for key, at in self._offered.items() if now - at < OFFER_AGAIN_SECONDS}
        if (task, row_id) not in self._offered:
            self._offered[task, row_id] = now
            getattr(self._jobs, task)(row_id)


def _consumer(settings: Settings, store: Store, stopping: threading.Event) -> _Loop:
    beat(store, name := new_owner(), note="starting")
    jobs = Jobs(settings, store)
    threading.Thread(target=runner.warm_up, name="warm-up", daemon=True).start()
    consumer = Consumer(
        jobs.huey, workers=THREADS, worker_type="thread", periodic=False, initial_delay=0.05, max_delay=0.2
    )
    loop = _Loop(jobs, consumer)
    loop.name = name
    return loop


def beat(store: Store, name: str, note: str = "") -> None:
    """Say that this worker lives, and forget those that have been silent for an hour."""
    now = clocks.wall()
    with store.writing() as session:
        row = session.get(Worker, name) or Worker(id=name, started_at=now, beat_at=now)
        row.beat_at, row.note = now, note
        session.add(row)
        for old in session.query(Worker).filter(Worker.beat_at < now - timedelta(hours=1)):  # type: ignore[arg-type]
            session.delete(old)


def _leave(store: Store, name: str) -> None:
    with store.writing() as session:
        if row := session.get(Worker, name):
            session.delete(row)


def _stop_at_end_of_input(stopping: threading.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    stopping.set()
    clocks.sleep(LEAVE_SECONDS)
    os._exit(0)  # something cannot be interrupted; a gate's child ends with its pipe, and what was left is taken up


if __name__ == "__main__":
    raise SystemExit(main())

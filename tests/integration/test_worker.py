"""The worker as a process of its own: it syncs, judges and deploys; another one takes over from it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import example
import psutil
import pytest
from sqlmodel import col, select

from services import clock as clocks
from services.clock import WallClock
from services.commands import promotions
from services.rules.domain import BundleRef, Person, Phase, RunState, Verdict
from services.settings import Settings
from services.start import PROJECT, worker_lives
from services.store import audit
from services.store.database import Store
from services.store.models import AuditEvent, Deployment, GateRun, Promotion, Slot, Worker
from services.work.tracking import Tracking

Found = TypeVar("Found")
PATIENCE = 90.0  # seconds; a busy machine imports slowly


def eventually(look: Callable[[], Found | None], what: str) -> Found:
    until = clocks.monotonic() + PATIENCE
    while not (found := look()):
        assert clocks.monotonic() < until, f"it never came about: {what}"
        clocks.sleep(0.1)
    return found


class Workers:
    """Worker processes of one home, ended with the test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.started: list[subprocess.Popen[bytes]] = []
        self.environ = {
            **os.environ,
            "HEADGATE_HOME": str(settings.home),
            "HEADGATE_DATABASE_URL": settings.database_url,
            "HEADGATE_SYNC_SECONDS": "1",
        }

    def start(
        self, *arguments: str, program: tuple[str, ...] = ("-m", "services.work.worker")
    ) -> subprocess.Popen[bytes]:
        with (self.settings.home / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=PROJECT,
                env=self.environ,
            )
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                for member in family:
                    member.kill()
            process.wait(timeout=30)


@pytest.fixture
def workers(either_settings: Settings, either_store: Store) -> Iterator[Workers]:
    found = Workers(either_settings)
    yield found
    found.end()


embedded = pytest.mark.parametrize("either_settings", ["sqlite"], indirect=True)


@pytest.fixture
def workshop(
    either_settings: Settings, either_store: Store, maker: Person, lead: Person, tmp_path: Path
) -> example.Workshop:
    """A real MLflow with a model and a prompt, and a policy that asks for them."""
    made = example.Workshop(either_settings, Tracking(either_settings), tmp_path / "data")
    made.write_notice()
    made.train()
    example.apply(either_store, maker, WallClock(), lead)
    return made


def live_in(store: Store, stage: str) -> int | None:
    """The bundle that is live there."""
    with store.reading() as session:
        slot = session.get(Slot, ("delays", stage))
        live = session.get(Deployment, slot.live_deployment_id) if slot and slot.live_deployment_id else None
        return live.bundle_id if live else None


def phase(store: Store, promotion: int) -> Phase:
    with store.reading() as session:
        found = session.get(Promotion, promotion)
        assert found is not None
        return found.phase


def the_runs(store: Store) -> list[GateRun]:
    with store.reading() as session:
        rows = list(session.exec(select(GateRun).order_by(col(GateRun.id))))
        session.expunge_all()
        return rows


def test_a_worker_finds_what_was_trained_judges_it_and_brings_it_on(
    workers: Workers, workshop: example.Workshop, either_store: Store, maker: Person
) -> None:
    # given a worker, and a model that somebody logged and nobody told Headgate about
    workers.start()
    # then it becomes a bundle and enters development by itself
    eventually(lambda: live_in(either_store, "development"), "a bundle live in development")
    # and when somebody asks for staging, the gates are run and the bundle is deployed
    promotion = promotions.request(either_store, BundleRef("delays", 1), "staging", actor=maker, clock=WallClock())
    eventually(lambda: not phase(either_store, promotion).active, "the promotion is over")
    assert phase(either_store, promotion) is Phase.SUCCEEDED
    runs = the_runs(either_store)
    assert {run.gate: run.verdict for run in runs} == dict.fromkeys(("schema", "accuracy", "notice"), Verdict.PASSED)
    assert {run.attempt for run in runs} == {1}
    aliases = workshop.tracking.model_aliases("bundle.delays")
    assert aliases == {"development": "1", "staging": "1"}
    with either_store.reading() as session:
        assert audit.verify(session).broken_at is None


@embedded
def test_a_worker_killed_in_the_middle_of_a_gate_is_followed_by_one_that_finishes_it(
    workers: Workers, workshop: example.Workshop, either_store: Store, maker: Person
) -> None:
    # given a worker that is judging
    first = workers.start()
    eventually(lambda: live_in(either_store, "development"), "a bundle live in development")
    promotion = promotions.request(either_store, BundleRef("delays", 1), "staging", actor=maker, clock=WallClock())
    eventually(lambda: any(run.state is RunState.RUNNING for run in the_runs(either_store)), "a gate is running")
    family = psutil.Process(first.pid).children(recursive=True)

    # when it is killed
    os.kill(first.pid, signal.SIGKILL)
    first.wait(timeout=30)
    lost = [run.id for run in the_runs(either_store) if run.state is RunState.RUNNING]
    assert lost

    # then its children end too
    _, alive = psutil.wait_procs(family, timeout=20)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []

    # and once its leases are out, another one finishes what it left
    with either_store.writing() as session:
        for run in session.exec(select(GateRun).where(GateRun.state == RunState.RUNNING)):
            run.lease_until = clocks.wall() - timedelta(seconds=1)
            session.add(run)
    workers.start()
    eventually(lambda: not phase(either_store, promotion).active, "the promotion is over")
    assert phase(either_store, promotion) is Phase.SUCCEEDED
    assert {run.attempt for run in the_runs(either_store) if run.id in lost} == {2}
    with either_store.reading() as session:
        finished = session.exec(select(AuditEvent).where(AuditEvent.action == "gate.finished")).all()
        assert len(finished) == 3


@embedded
def test_a_worker_beside_a_dashboard_ends_when_its_input_does(workers: Workers, either_store: Store) -> None:
    beside = workers.start("--beside")
    eventually(lambda: worker_lives(either_store), "the worker reports")
    assert beside.stdin is not None
    beside.stdin.close()
    assert beside.wait(timeout=30) == 0
    with either_store.reading() as session:
        assert session.exec(select(Worker)).all() == []


@embedded
def test_a_worker_told_to_stop_stops(workers: Workers, either_store: Store) -> None:
    worker = workers.start()
    eventually(lambda: worker_lives(either_store), "the worker reports")
    worker.terminate()
    assert worker.wait(timeout=30) == 0
    assert not worker_lives(either_store)


DASHBOARD = """
import sys
from services import start
start.begin()
sys.stdin.buffer.read()
"""


def living_workers(parent: psutil.Process) -> list[psutil.Process]:
    alive = [process for process in parent.children() if process.status() != psutil.STATUS_ZOMBIE]
    return [process for process in alive if "services.work.worker" in process.cmdline()]


@embedded
def test_beginning_keeps_one_worker_alive_and_takes_it_along_when_it_ends(
    workers: Workers, either_settings: Settings, either_store: Store
) -> None:
    # given what a dashboard does at its start
    dashboard = workers.start(program=("-c", DASHBOARD))
    family = psutil.Process(dashboard.pid)

    def its_worker() -> psutil.Process | None:
        return next(iter(living_workers(family)), None)

    first = eventually(its_worker, "a worker is started")
    eventually(lambda: worker_lives(either_store), "the worker reports")

    # when its worker is killed, another one comes
    first.kill()

    def another() -> psutil.Process | None:
        found = its_worker()
        return found if found is not None and found.pid != first.pid else None

    second = eventually(another, "another worker is started")

    # and when the dashboard ends, so does the worker
    assert dashboard.stdin is not None
    dashboard.stdin.close()
    dashboard.wait(timeout=40)
    _, alive = psutil.wait_procs([second], timeout=20)
    assert alive == []


@embedded
def test_a_second_dashboard_starts_no_second_worker(workers: Workers, either_store: Store) -> None:
    workers.start()
    eventually(lambda: worker_lives(either_store), "the worker reports")
    other = workers.start(program=("-c", DASHBOARD))
    clocks.sleep(5.0)
    assert other.poll() is None
    assert living_workers(psutil.Process(other.pid)) == []

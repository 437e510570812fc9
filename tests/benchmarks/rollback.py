"""How long a way back takes: from the click to what is served, and against the bare alias writes it makes.

Run it with `python tests/benchmarks/rollback.py`. It prints two measures: with a local MLflow from the click to the
moment at which the older model is resolved and loaded, and with MLflow over HTTP the time from the first to the last
transaction beside the bare writes of the same aliases. The aim is a second, and at most half again as long.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import example
from dashboards import free_port
from hands import Team

from services import settings as settings_module
from services.clock import StoryClock
from services.commands import rollbacks
from services.rules.domain import BundleRef, Person, Role, SlotRef
from services.settings import Settings
from services.start import open_store
from services.store.database import Store
from services.work import deploy, sync
from services.work.deploy import Ended
from services.work.tracking import Tracking, load_pyfunc

PRODUCTION = SlotRef("delays", "production")
MAKER = Person("mia", frozenset({Role.MAKER}))
LEAD = Person("lou", frozenset({Role.LEAD, Role.ADMIN}))
ROUNDS = 15


@contextmanager
def served(home: Path) -> Iterator[str]:
    """MLflow as a server over HTTP, with its database and artifacts under `home`."""
    port = free_port()
    home.mkdir(parents=True)
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{home / 'served.db'}", "--artifacts-destination", str(home / "artifacts")),
    ]
    environ = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2).read()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def two_live(settings: Settings, folder: Path) -> tuple[Store, Tracking, StoryClock]:
    """delays/1 was live in production, and delays/2 is."""
    store, tracking = open_store(settings), Tracking(settings)
    clock = StoryClock(datetime(2026, 3, 2, 9, tzinfo=UTC), replayed=False)
    team = Team(store, clock, MAKER, LEAD)
    workshop = example.Workshop(settings, tracking, folder)
    workshop.write_notice()
    for seed in (7, 21):
        workshop.train(seed=seed)
        (found,) = sync.sync(store, tracking, settings, actor=MAKER, clock=clock)
        (made,) = found.registered
        for stage in ("development", "staging", "production"):
            if stage == "staging":
                team.ask(made.ref, stage)
            elif stage == "production":
                team.approve(team.ask(made.ref))
            assert deploy.carry_out(store, tracking, SlotRef("delays", stage), clock=clock) is Ended.LIVE
    return store, tracking, clock


def rolled_back(store: Store, tracking: Tracking, clock: StoryClock, number: int) -> float:
    """Seconds from the click to the last transaction."""
    clock.elapse(60)
    began = time.perf_counter()
    rollbacks.roll_back(
        store, PRODUCTION, actor=LEAD, clock=clock, reason="A measure", to=BundleRef("delays", number), override="yes"
    )
    assert deploy.carry_out(store, tracking, PRODUCTION, clock=clock) is Ended.LIVE
    return time.perf_counter() - began


def bare(tracking: Tracking, number: int) -> float:
    """Seconds for the same three alias writes without anything around them."""
    began = time.perf_counter()
    tracking.client.set_registered_model_alias("bundle.delays", "production", str(number))
    tracking.client.set_registered_model_alias("delays", "production", str(number))
    tracking.client.set_prompt_alias("notice", "production", 1)
    return time.perf_counter() - began


def click_to_served(folder: Path) -> None:
    settings = settings_module.load({"HEADGATE_HOME": str(folder / "local")})
    store, tracking, clock = two_live(settings, folder / "data-local")
    rows = example.frame(rows=5)[example.FEATURES]
    resolved, loaded = [], []
    for turn in range(ROUNDS):
        number, began = 1 + turn % 2, time.perf_counter()
        rolled_back(store, tracking, clock, number)
        assert tracking.model_aliases("bundle.delays")["production"] == str(number)
        resolved.append(time.perf_counter() - began)
        load_pyfunc(settings.tracking_uri, "models:/bundle.delays@production").predict(rows)
        loaded.append(time.perf_counter() - began)
    store.close()
    tell(f"click to resolved, local MLflow: {said(resolved)}")
    tell(f"click to a prediction of the older model, loaded anew: {said(loaded)}")


def against_bare_writes(folder: Path) -> None:
    with served(folder / "server") as address:
        settings = settings_module.load({"HEADGATE_HOME": str(folder / "http"), "MLFLOW_TRACKING_URI": address})
        store, tracking, clock = two_live(settings, folder / "data-http")
        whole, alone = [], []
        for turn in range(ROUNDS):
            number = 1 + turn % 2
            whole.append(rolled_back(store, tracking, clock, number))
            alone.append(bare(tracking, number))
        store.close()
    tell(f"first to last transaction, MLflow over HTTP: {said(whole)}")
    tell(f"the bare alias writes: {said(alone)}")
    tell(f"ratio of the medians: {statistics.median(whole) / statistics.median(alone):.2f}, aim at most 1.5")


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def said(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"median {statistics.median(ordered) * 1000:.0f} ms, worst {ordered[-1] * 1000:.0f} ms of {len(ordered)}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        click_to_served(Path(folder))
        against_bare_writes(Path(folder))

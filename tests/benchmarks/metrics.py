"""How long the metrics take: 50,000 deployments and 5,000 incidents, a window of half a year. Prints; run it by hand.

python tests/benchmarks/metrics.py
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from services.rules.domain import DeploymentState, Verdict
from services.rules.metrics import (
    ApprovalWait,
    CommitEvent,
    DatasetFacts,
    DeploymentEvent,
    Events,
    GateRunEvent,
    History,
    IncidentEvent,
    TrainingFacts,
    compare,
    compute,
    trend,
    window,
)

APPLICATIONS, DEPLOYMENTS, INCIDENTS, GATE_RUNS = 200, 50_000, 5_000, 100_000
HALF_YEAR = window(date(2026, 1, 1), date(2026, 7, 1), "Europe/Berlin")
MINUTES = 181 * 24 * 60


def events(seed: int = 1) -> Events:
    """Half a year in which one deployment in ten goes back, and each bundle brings two commits."""
    chance = random.Random(seed)
    deployments: list[DeploymentEvent] = []
    commits, trainings, gate_runs, approvals = [], [], [], []
    newest: dict[str, list[int]] = {f"app-{number}": [] for number in range(APPLICATIONS)}
    for number, minute in enumerate(sorted(chance.randrange(MINUTES) for _ in range(DEPLOYMENTS))):
        application = f"app-{chance.randrange(APPLICATIONS)}"
        mine = newest[application]
        back = len(mine) > 1 and chance.random() < 0.1
        bundle = mine[-2] if back else number
        if not back:
            mine.append(number)
        finished = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        requested = finished - timedelta(hours=5)
        deployments.append(
            DeploymentEvent(
                number,
                application,
                "production",
                bundle,
                DeploymentState.SUCCEEDED if chance.random() < 0.97 else DeploymentState.FAILED,
                finished,
                requested,
                finished - timedelta(minutes=10),
            )
        )
        for nth in (1, 2):
            commits.append(CommitEvent(bundle, finished - timedelta(hours=20 * nth), f"{bundle}-{nth}"))
        trained = finished - timedelta(days=1)
        dataset = DatasetFacts(f"flights/{bundle // 3}", trained - timedelta(days=2))
        trainings.append(TrainingFacts(bundle, f"model/{bundle}", trained, trained, (dataset,)))
        approvals.append(
            ApprovalWait(
                application, "production", bundle, requested + timedelta(hours=1), requested + timedelta(hours=4)
            )
        )
        for nth in range(GATE_RUNS // DEPLOYMENTS):
            began = requested + timedelta(minutes=20 * nth)
            gate_runs.append(
                GateRunEvent(
                    2 * number + nth,
                    application,
                    "production",
                    bundle,
                    f"gate-{nth}",
                    began,
                    began + timedelta(minutes=30),
                    Verdict.PASSED,
                )
            )
    incidents = []
    for number in range(INCIDENTS):
        began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(MINUTES))
        application = f"app-{chance.randrange(APPLICATIONS)}"
        incidents.append(
            IncidentEvent(number, application, began, began, began + timedelta(hours=chance.randrange(1, 40)))
        )
    return Events(deployments, incidents, gate_runs, approvals, commits, trainings)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def timed(what: str, work: Callable[[], object]) -> None:
    begin = time.perf_counter()
    work()
    say(f"{what:<58} {time.perf_counter() - begin:6.2f} s")


def main() -> None:
    record, as_of = events(), datetime(2026, 7, 1, tzinfo=UTC)
    delivery_only = Events(record.deployments, record.incidents, commits=record.commits)
    say(f"{DEPLOYMENTS:,} deployments, {INCIDENTS:,} incidents, {len(record.commits):,} commits, half a year")
    timed("all metrics", lambda: compute(delivery_only, HALF_YEAR, as_of))
    timed(f"all metrics, with {GATE_RUNS:,} gate runs, approvals, trainings", lambda: compute(record, HALF_YEAR, as_of))
    history = History(record, as_of)
    timed("the same beside the window before", lambda: compare(history, HALF_YEAR))
    for name in ("change_lead_time", "change_fail_rate", "deployment_frequency"):
        timed(f"then the weekly trend of {name}", lambda name=name: trend(history, name, HALF_YEAR))
    timed("then the ledgers of every release", lambda: history.ledgers(HALF_YEAR))


if __name__ == "__main__":
    main()

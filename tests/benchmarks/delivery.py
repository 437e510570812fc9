"""How long the Delivery page's numbers take from a real SQLite store: 50,000 deployments, 5,000 incidents, half a year.

python tests/benchmarks/delivery.py
"""

from __future__ import annotations

import csv
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from services import settings
from services.clock import WallClock
from services.commands import history_files, imports
from services.queries import measures
from services.rules.domain import Person, Role
from services.rules.metrics import last_days
from services.start import open_store

APPLICATIONS, DEPLOYMENTS, INCIDENTS = 200, 50_000, 5_000
END = datetime(2026, 7, 1, tzinfo=UTC)
MINUTES = 365 * 24 * 60
MIA = Person("mia", frozenset({Role.MAKER}))


def deployments(path: Path, chance: random.Random) -> None:
    """A year in which one deployment in ten goes back, and each bundle brings a commit."""
    newest: dict[int, list[str]] = {number: [] for number in range(APPLICATIONS)}
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow((*history_files.DEPLOYMENT_COLUMNS, "requested_at", "started_at", "commits"))
        for number, minute in enumerate(sorted(chance.randrange(MINUTES) for _ in range(DEPLOYMENTS))):
            application = chance.randrange(APPLICATIONS)
            mine, finished = newest[application], END - timedelta(minutes=MINUTES - minute)
            back = len(mine) > 1 and chance.random() < 0.1
            bundle = mine[-2] if back else f"v{number}"
            commit = "" if back else (finished - timedelta(hours=20)).isoformat()
            if not back:
                mine.append(bundle)
            requested, started = finished - timedelta(hours=5), finished - timedelta(minutes=10)
            times = (finished.isoformat(), requested.isoformat(), started.isoformat(), commit)
            out.writerow((f"d{number}", f"app-{application}", "production", bundle, *times))


def incidents(path: Path, chance: random.Random) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow((*history_files.INCIDENT_COLUMNS, "resolved_at"))
        for number in range(INCIDENTS):
            began = END - timedelta(minutes=chance.randrange(60 * 48, MINUTES))
            over = began + timedelta(hours=chance.randrange(1, 40))
            application, when = f"app-{chance.randrange(APPLICATIONS)}", began.isoformat()
            out.writerow((f"i{number}", application, "Late", when, when, over.isoformat()))


def timed(what: str, begin: float) -> None:
    print(f"{what:<52} {time.perf_counter() - begin:6.2f} s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        home, chance = Path(folder), random.Random(1)
        deployments(home / "deployments.csv", chance)
        incidents(home / "incidents.csv", chance)
        store = open_store(settings.load({"HEADGATE_HOME": folder}))
        begin = time.perf_counter()
        imports.deployments(store, home / "deployments.csv", actor=MIA, clock=WallClock())
        timed(f"import of {DEPLOYMENTS:,} deployments", begin)
        begin = time.perf_counter()
        imports.past_incidents(store, home / "incidents.csv", actor=MIA, clock=WallClock())
        timed(f"import of {INCIDENTS:,} incidents", begin)

        within = last_days(182, END - timedelta(seconds=1))
        for attempt in ("first", "again"):
            begin = time.perf_counter()
            found = measures.measured(store, within=within, as_of=END)
            timed(f"read of all applications, {attempt}", begin)
            begin = time.perf_counter()
            print(f"  {len(found.values)} metrics, n = {found.values['deployments'].n:,}")
            timed("every metric of half a year, beside the half before", begin)
            begin = time.perf_counter()
            for name in ("deployment_frequency", "change_lead_time", "change_fail_rate", "deployment_rework_rate"):
                found.spark(name)
            timed("four sparklines", begin)
            begin = time.perf_counter()
            print(f"  {len(found.ledgers):,} ledgers, {len(found.parts)} parts")
            timed("where the time went", begin)
        begin = time.perf_counter()
        one = measures.measured(store, ["app-1"], within=within, as_of=END)
        print(f"  one application: {len(one.history.events.deployments):,} deployments, {len(one.values)} metrics")
        timed("read and metrics of one application", begin)
        store.close()

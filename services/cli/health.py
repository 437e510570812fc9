"""The doctor: every thing Headgate stands on, looked at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from sqlmodel import col, select

from services import clock as clocks
from services.errors import HeadgateError, Unreachable
from services.settings import Settings
from services.start import PROJECT, open_store, worker_lives
from services.store import audit
from services.store.database import Store
from services.store.models import Slot
from services.store.triggers import create_triggers, missing_triggers


@dataclass(frozen=True)
class Check:
    """`state` is `ok`, `note` (works, and worth knowing) or `bad`."""

    name: str
    state: str
    finding: str
    unreachable: bool = False


def examine(settings: Settings) -> list[Check]:
    """Every check, each in words. One that fails never hides the others."""
    found = [_packages(), _place(), _home(settings)]
    try:
        store = open_store(settings)
    except HeadgateError as error:
        return [*found, Check("lineage store", "bad", str(error), isinstance(error, Unreachable))]
    found.append(Check("lineage store", "ok", settings.database_url.rpartition("@")[2]))
    for name, check in (("audit record", _audit), ("triggers", _triggers), ("worker", _worker), ("slots", _leases)):
        found.append(_guarded(name, lambda check=check: check(store)))  # type: ignore[misc]
    found.append(_guarded("MLflow", lambda: _registry(settings)))
    return found


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except HeadgateError as error:
        return Check(name, "bad", str(error), isinstance(error, Unreachable))


def _packages() -> Check:
    names = ("streamlit", "mlflow", "pandas", "plotly", "sqlmodel", "huey")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return Check("packages", "ok", f"Python {sys.version.split()[0]}, {versions}")


def _place() -> Check:
    """A package called `services` elsewhere on the path would win over ours outside the checkout."""
    spec = util.find_spec("services")
    where = Path(spec.origin).resolve().parent if spec and spec.origin else None
    if where != PROJECT / "services":
        return Check(
            "code", "bad", f"`services` is imported from {where}, not from Headgate. Remove the other package."
        )
    return Check("code", "ok", str(PROJECT))


def _home(settings: Settings) -> Check:
    if not settings.home.exists():
        return Check("home", "note", f"{settings.home} does not exist yet; the first command makes it.")
    if not os.access(settings.home, os.W_OK):
        return Check("home", "bad", f"{settings.home} cannot be written to. Change its permissions, or HEADGATE_HOME.")
    return Check("home", "ok", str(settings.home))


def _audit(store: Store) -> Check:
    with store.reading() as session:
        found = audit.verify(session)
    if found.broken_at is not None:
        return Check("audit record", "bad", f"{found.reason}. Events before number {found.broken_at} are intact.")
    return Check("audit record", "ok", f"{found.events} events, whole")


def _triggers(store: Store) -> Check:
    with store.reading() as session:
        missing = missing_triggers(session.connection())
    if not missing:
        return Check("triggers", "ok", "The audit record is append-only.")
    with store.migrating() as connection:
        create_triggers(connection)
    return Check("triggers", "note", f"{', '.join(missing)} had gone and was made again. Find out who dropped it.")


def _worker(store: Store) -> Check:
    if worker_lives(store):
        return Check("worker", "ok", "One lives.")
    return Check("worker", "note", "None lives; the dashboard starts one, and commands carry out their own work.")


def _leases(store: Store) -> Check:
    with store.reading() as session:
        rows = session.exec(
            select(Slot).where(col(Slot.lease_owner) != "", col(Slot.lease_until) > clocks.wall())
        ).all()
        held = [f"{row.application}@{row.stage} by {row.lease_owner}" for row in rows]
    return Check(
        "slots", "note" if held else "ok", f"being written: {', '.join(held)}" if held else "Nobody is writing."
    )


def _registry(settings: Settings) -> Check:
    from services.work.tracking import Tracking

    Tracking(settings).ping()
    return Check("MLflow", "ok", settings.tracking_uri.rpartition("@")[2])

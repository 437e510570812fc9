"""The sample's story, and how it is read from a store that was built from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlmodel import select

from services import settings as settings_module
from services.rules.domain import Phase, Verdict
from services.sample import flight_delay, told
from services.sample.data import Recipe
from services.sample.steps import STAGING, Delivery, Promote, Retrain
from services.sample.story import DELIVERIES
from services.settings import Settings
from services.start import open_store
from services.store.database import Store
from services.store.models import GateRun
from services.work.tracking import Tracking

UNTIL = date(2028, 2, 29)
APPLICATION, PROMPT = flight_delay.APPLICATION.name, flight_delay.APPLICATION.prompt


@dataclass(frozen=True)
class Sample:
    settings: Settings
    store: Store
    tracking: Tracking
    seconds: float = 0.0


def silent(_part: float, _text: str) -> None:
    pass


def opened(home: Path) -> Sample:
    settings = settings_module.load({"HEADGATE_HOME": str(home)})
    return Sample(settings, open_store(settings), Tracking(settings))


def phases(store: Store) -> dict[tuple[str, str], Phase]:
    """Where each promotion ended, by the delivery and the stage that it was asked for."""
    asked = [(delivery, step) for delivery in DELIVERIES for step in delivery.steps if isinstance(step, Promote)]
    found = {(d.name, s.stage): told.standing(store, told.key(d, s)) for d, s in asked}
    return {key: standing.phase for key, standing in found.items() if standing}


def rows(store: Store, table: Any) -> list[Any]:
    with store.reading() as session:
        found = session.exec(select(table)).all()
        session.expunge_all()
        return list(found)


def verdicts(store: Store, delivery: Delivery, stage: str = STAGING) -> dict[str, Verdict]:
    """What the gates of a stage said about a delivery."""
    asked = next(step for step in delivery.steps if isinstance(step, Promote) and step.stage == stage)
    standing = told.standing(store, told.key(delivery, asked))
    assert standing is not None
    return {run.gate: run.verdict for run in rows(store, GateRun) if run.promotion_id == standing.id}


def recipe(delivery: Delivery) -> Recipe | None:
    return delivery.makes.recipe if isinstance(delivery.makes, Retrain) else None


(LEAKY,) = [d for d in DELIVERIES if (made := recipe(d)) and made.extra_columns]
(SILENT,) = [d for d in DELIVERIES if (made := recipe(d)) and made.silent_stations]

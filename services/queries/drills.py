"""Drills: the last one of a stage, and how long both ways took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from services.queries.common import iso
from services.rules.domain import BundleRef, SlotRef
from services.store.database import Store
from services.store.models import Bundle
from services.store.trouble import Drill

_FROM, _TO = aliased(Bundle), aliased(Bundle)


@dataclass(frozen=True)
class DrillLine:
    """Seconds are None where that way did not become live. `outcome` is empty while it runs."""

    id: int
    slot: SlotRef
    away_from: BundleRef
    to: BundleRef
    at: datetime
    requested_by: str
    back_seconds: float | None
    forward_seconds: float | None
    outcome: str
    finished_at: datetime | None

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "slot": str(self.slot),
            "away_from": str(self.away_from),
            "to": str(self.to),
            "at": iso(self.at),
            "requested_by": self.requested_by,
            "back_seconds": self.back_seconds,
            "forward_seconds": self.forward_seconds,
            "outcome": self.outcome or None,
        }


def one(store: Store, drill_id: int) -> DrillLine:
    with store.reading() as session:
        row, away_from, to = session.exec(_with_numbers().where(Drill.id == drill_id)).one()
        return _line(row, away_from, to)


def last_of(session: Session, application: str) -> dict[str, DrillLine]:
    """The last drill of each stage, for a page that has a session open. One statement."""
    newest = select(func.max(Drill.id)).where(Drill.application == application).group_by(col(Drill.stage))
    rows = session.exec(_with_numbers().where(col(Drill.id).in_(newest)))
    return {row.stage: _line(row, away_from, to) for row, away_from, to in rows}


def _with_numbers() -> Any:
    return (
        select(Drill, _FROM.number, _TO.number)
        .join(_FROM, col(_FROM.id) == col(Drill.from_bundle_id))
        .join(_TO, col(_TO.id) == col(Drill.to_bundle_id))
    )


def _line(row: Drill, away_from: int | None, to: int | None) -> DrillLine:
    assert row.id is not None
    return DrillLine(
        id=row.id,
        slot=SlotRef(row.application, row.stage),
        away_from=BundleRef(row.application, away_from or 0),
        to=BundleRef(row.application, to or 0),
        at=row.at,
        requested_by=row.requested_by,
        back_seconds=row.back_seconds,
        forward_seconds=row.forward_seconds,
        outcome=row.outcome,
        finished_at=row.finished_at,
    )

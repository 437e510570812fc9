"""Drills: the last one of a stage, and how long both ways took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from services.queries.common import iso
from services.rules.domain import BundleRef, SlotRef
from services.store.database import Store
from services.store.models import Bundle, Drill


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
        row = session.get(Drill, drill_id)
        assert row is not None
        return _line(session, row)


def last_of(session: Session, application: str) -> dict[str, DrillLine]:
    """The last drill of each stage, for a page that has a session open. Two statements a drill."""
    found: dict[str, DrillLine] = {}
    rows = session.exec(select(Drill).where(Drill.application == application).order_by(col(Drill.id).desc()).limit(50))
    for row in rows.all():
        if row.stage not in found:
            found[row.stage] = _line(session, row)
    return found


def _line(session: Session, row: Drill) -> DrillLine:
    refs = {
        bundle_id: BundleRef(application, number or 0)
        for bundle_id, application, number in session.exec(
            select(Bundle.id, Bundle.application, Bundle.number).where(
                col(Bundle.id).in_([row.from_bundle_id, row.to_bundle_id])
            )
        )
    }
    assert row.id is not None
    return DrillLine(
        id=row.id,
        slot=SlotRef(row.application, row.stage),
        away_from=refs[row.from_bundle_id],
        to=refs[row.to_bundle_id],
        at=row.at,
        requested_by=row.requested_by,
        back_seconds=row.back_seconds,
        forward_seconds=row.forward_seconds,
        outcome=row.outcome,
        finished_at=row.finished_at,
    )

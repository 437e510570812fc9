"""Incidents, as a list for people and programs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import col, select
from sqlmodel.sql.expression import Select

from services.errors import NotFound
from services.queries.common import iso
from services.rules.domain import BundleRef, Cause
from services.store.database import Store
from services.store.facts import policy_in_force
from services.store.models import Bundle, Deployment
from services.store.trouble import Incident


@dataclass(frozen=True)
class IncidentLine:
    """`bundle` is what caused it, as a person would name it; empty where that is not known, or no deployment did."""

    id: int
    application: str
    title: str
    severity: str
    impact_started_at: datetime
    detected_at: datetime
    resolved_at: datetime | None
    cause: Cause
    caused_by: int | None
    bundle: str
    done: str
    caught_by: str
    reported_by: str

    @property
    def open(self) -> bool:
        return self.resolved_at is None

    @property
    def inferred(self) -> bool:
        """The rule named what caused it, and no person."""
        return self.cause is Cause.UNKNOWN and self.caused_by is not None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "application": self.application,
            "title": self.title,
            "severity": self.severity or None,
            "impact_started_at": iso(self.impact_started_at),
            "detected_at": iso(self.detected_at),
            "resolved_at": iso(self.resolved_at),
            "cause": self.cause,
            "caused_by": self.caused_by,
            "inferred": self.inferred,
            "bundle": self.bundle or None,
            "done": self.done,
            "caught_by": self.caught_by or None,
        }


def listing(
    store: Store, application: str | None = None, *, only_open: bool = False, limit: int = 100
) -> tuple[IncidentLine, ...]:
    """Incidents, the open ones first, then the newest. Raises NotFound for an unknown application."""
    with store.reading() as session:
        if application is not None:
            policy_in_force(session, application)
        newest = (col(Incident.resolved_at).is_not(None), col(Incident.impact_started_at).desc())
        statement = _incidents().order_by(*newest).limit(limit)
        if application is not None:
            statement = statement.where(Incident.application == application)
        if only_open:
            statement = statement.where(col(Incident.resolved_at).is_(None))
        return tuple(_line(row, bundle) for row, bundle in session.exec(statement))


def one(store: Store, incident_id: int) -> IncidentLine:
    """Raises NotFound."""
    with store.reading() as session:
        found = session.exec(_incidents().where(Incident.id == incident_id)).one_or_none()
    if found is None:
        raise NotFound(f"There is no incident {incident_id}.", "`headgate incident list` shows those there are.")
    return _line(*found)


def _incidents() -> Select[Incident, Bundle]:
    return (
        select(Incident, Bundle)
        .outerjoin(Deployment, col(Deployment.id) == col(Incident.caused_by))
        .outerjoin(Bundle, col(Bundle.id) == col(Deployment.bundle_id))
    )


def _line(row: Incident, bundle: Bundle | None) -> IncidentLine:
    assert row.id is not None
    named = ""
    if bundle is not None:
        named = str(BundleRef(bundle.application, bundle.number)) if bundle.number else bundle.label
    return IncidentLine(
        id=row.id,
        application=row.application,
        title=row.title,
        severity=row.severity,
        impact_started_at=row.impact_started_at,
        detected_at=row.detected_at,
        resolved_at=row.resolved_at,
        cause=row.cause,
        caused_by=row.caused_by,
        bundle=named,
        done=row.done,
        caught_by=row.caught_by,
        reported_by=row.reported_by,
    )

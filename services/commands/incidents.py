"""Incidents: something went wrong in production. Opened, linked to the deployment that caused it, resolved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority
from services.errors import BadInput, Conflict, NotFound
from services.rules.domain import Blame, Cause, DeploymentKind, DeploymentState, Person
from services.store import audit
from services.store.database import Store
from services.store.facts import policy_in_force
from services.store.models import Deployment
from services.store.trouble import Incident

NONE_NEEDED = "none needed"
DEFAULT_STAGE, DEFAULT_ATTRIBUTION = "production", timedelta(days=7)


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Report:
    """What is known of an incident when it is opened. An unknown cause is inferred by the rule, and marked as that."""

    application: str
    title: str
    impact_started_at: datetime
    detected_at: datetime
    severity: str = ""
    caused_by: Blame = Cause.UNKNOWN


def open_(store: Store, report: Report, *, actor: Person, clock: Clock, key: str | None = None) -> int:
    """Record an incident. The same `key` gives the same incident. Returns its id."""
    authority.require(actor, authority.MAKERS, "open an incident")
    with store.writing() as session:
        if key is not None and (known := _by_key(session, report.application, key)) is not None:
            return known
        row = add(session, report, actor=actor, clock=clock, external_id=key)
        _record(
            session, row, "incident.opened", actor, clock, title=row.title, cause=row.cause, caused_by=row.caused_by
        )
        assert row.id is not None
        return row.id


def add(session: Session, report: Report, *, actor: Person, clock: Clock, external_id: str | None = None) -> Incident:
    """Enter an incident in somebody's transaction. Raises BadInput for impossible times, NotFound."""
    require_possible(report)
    policy_in_force(session, report.application)
    row = Incident(
        application=report.application,
        title=report.title.strip(),
        severity=report.severity,
        impact_started_at=report.impact_started_at,
        detected_at=report.detected_at,
        external_id=external_id,
        reported_by=actor.name,
        replayed=clock.replayed,
        at=clock.now(),
        recorded_at=clocks.wall(),
    )
    _blame(session, row, report.caused_by)
    session.add(row)
    session.flush()
    return row


def require_possible(report: Report) -> None:
    """Raises BadInput for what no incident can be: without a title, of no known severity, noticed too early."""
    if not report.title.strip():
        raise BadInput("An incident needs a title.", "Say in a few words what went wrong.")
    if report.severity and report.severity not in set(Severity):
        raise BadInput(f"{report.severity!r} is not a severity.", f"Choose one of {', '.join(Severity)}.")
    if report.detected_at < report.impact_started_at:
        raise BadInput("It was detected before its impact began.", "Correct one of the two times.")


def _blame(session: Session, row: Incident, caused_by: Blame) -> None:
    """Keep what was said of the cause, and of an unknown one what the rule infers."""
    if not isinstance(caused_by, Cause):
        _require_deployment(session, row.application, caused_by)
        row.cause, row.caused_by = Cause.DEPLOYMENT, caused_by
        return
    row.cause, row.caused_by = caused_by, None
    if caused_by is Cause.UNKNOWN:
        row.caused_by = inferred_cause(session, row.application, row.impact_started_at)


def inferred_cause(session: Session, application: str, impact_started_at: datetime) -> int | None:
    """The latest forward deployment that finished at most H before the impact began (METRICS, The five)."""
    policy = policy_in_force(session, application)
    stage = policy.metrics.stage if policy else DEFAULT_STAGE
    reach = policy.metrics.attribution if policy else DEFAULT_ATTRIBUTION
    return session.exec(
        select(Deployment.id)
        .where(
            Deployment.application == application,
            Deployment.stage == stage,
            Deployment.state == DeploymentState.SUCCEEDED,
            col(Deployment.kind).not_in((DeploymentKind.ROLLBACK, DeploymentKind.REDEPLOY)),
            col(Deployment.drill).is_(False),
            col(Deployment.finished_at) <= impact_started_at,
            col(Deployment.finished_at) >= impact_started_at - reach,
        )
        .order_by(col(Deployment.finished_at).desc(), col(Deployment.id).desc())
        .limit(1)
    ).first()


def resolve(
    store: Store,
    incident_id: int,
    *,
    actor: Person,
    clock: Clock,
    done: str,
    caught_by: str,
    resolved_at: datetime | None = None,
) -> None:
    """Close an incident: what was done, and which gate would have caught it (or `none needed`)."""
    authority.require(actor, authority.MAKERS, "resolve an incident")
    said = authority.reason_given(done, "Resolving an incident")
    if not caught_by.strip():
        raise BadInput(
            "Which gate would have caught it is not said.",
            f"Name the gate, or say “{NONE_NEEDED}”: it is how gates get better.",
        )
    with store.writing() as session:
        row = _incident(session, incident_id)
        if row.resolved_at is not None:
            raise Conflict(f"Incident {incident_id} is resolved already.", "Nothing needs to be done.")
        at = resolved_at or clock.now()
        if at < row.impact_started_at:
            raise BadInput("It would be resolved before its impact began.", "Correct the time.")
        row.resolved_at, row.done, row.caught_by = at, said, caught_by.strip()
        session.add(row)
        _record(session, row, "incident.resolved", actor, clock, done=said, caught_by=row.caught_by)


def link(store: Store, incident_id: int, caused_by: Blame, *, actor: Person, clock: Clock) -> None:
    """Say which deployment caused it, or that none did: that replaces what was inferred.

    An unknown cause takes back what a person said; the rule infers it again.
    """
    authority.require(actor, authority.MAKERS, "link an incident")
    with store.writing() as session:
        row = _incident(session, incident_id)
        before = {"cause": row.cause, "caused_by": row.caused_by}
        _blame(session, row, caused_by)
        session.add(row)
        _record(session, row, "incident.linked", actor, clock, cause=row.cause, caused_by=row.caused_by, before=before)


def _incident(session: Session, incident_id: int) -> Incident:
    row = session.get(Incident, incident_id)
    if row is None:
        raise NotFound(f"There is no incident {incident_id}.", "`headgate incident list` shows those there are.")
    return row


def _by_key(session: Session, application: str, key: str) -> int | None:
    return session.exec(
        select(Incident.id).where(Incident.application == application, Incident.external_id == key)
    ).one_or_none()


def _require_deployment(session: Session, application: str, deployment_id: int) -> None:
    row = session.get(Deployment, deployment_id)
    if row is None or row.application != application:
        raise NotFound(
            f"{application} has no deployment {deployment_id}.", "The Application page lists them with their numbers."
        )


def _record(session: Session, row: Incident, action: str, actor: Person, clock: Clock, **facts: object) -> None:
    audit.record(
        session,
        actor=actor.name,
        action=action,
        clock=clock,
        application=row.application,
        subject=f"incident {row.id}",
        **facts,
    )

"""From the tables to the events of the metrics: one statement a kind of event, only of the applications asked for.

Everything from the beginning is read, since kinds of deployment follow from the first arrivals (METRICS, The events).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as rows_of
from sqlmodel import Session, col

from services.rules.domain import BundleRef, ComponentKind, Decision, GateMode, Phase, RunState
from services.rules.metrics import (
    ApplicationRules,
    ApprovalWait,
    BlockDecision,
    CommitEvent,
    DatasetFacts,
    DeploymentEvent,
    Events,
    GateRunEvent,
    IncidentEvent,
    TrainingFacts,
)
from services.store.database import Store
from services.store.facts import parsed
from services.store.models import (
    Application,
    Approval,
    Bundle,
    CommitRow,
    ComponentRow,
    Deployment,
    GateRun,
    PolicyRevision,
    Promotion,
)
from services.store.trouble import Incident


def events(store: Store, applications: Collection[str] | None = None) -> Events:
    """All events of these applications (None: of all). Eight statements, whatever the number of rows."""
    with store.reading() as session:
        return read(session, applications)


def read(
    session: Session,
    applications: Collection[str] | None = None,
    *,
    commits: bool = True,
    rules: Mapping[str, ApplicationRules] | None = None,
) -> Events:
    """`events`, for a page that has a session open. Without `commits`, and with `rules` it has read, one less each."""

    def of(column: Any, statement: Any) -> Any:
        return statement if applications is None else statement.where(col(column).in_(list(applications)))

    trained = _trained(session, of)
    return Events(
        deployments=_deployments(session, of),
        incidents=_incidents(session, of),
        gate_runs=_gate_runs(session, of),
        approvals=_approvals(session, of),
        commits=_commits(session, of) if commits else (),
        trainings=trained,
        rules=_rules(session, of) if rules is None else rules,
    )


def labels(session: Session, applications: Collection[str] | None = None) -> dict[int, str]:
    """What to call each bundle: its number, or the label of an imported one."""
    statement = _select(Bundle.id, Bundle.application, Bundle.number, Bundle.label)
    if applications is not None:
        statement = statement.where(col(Bundle.application).in_(list(applications)))
    return {
        identity: str(BundleRef(application, number)) if number else f"{application} {label}"
        for identity, application, number, label in _rows(session, statement)
        if identity is not None
    }


def _select(*columns: Any) -> Any:
    """More columns than the typed `select` knows of."""
    return rows_of(*columns)


def _rows(session: Session, statement: Any) -> Sequence[Any]:
    """Plain rows, fetched at once: at this size, objects would be most of the time."""
    return session.connection().execute(statement).fetchall()


def _rules(session: Session, of: Any) -> dict[str, ApplicationRules]:
    statement = _select(Application.name, PolicyRevision.toml).join(
        PolicyRevision,
        (col(PolicyRevision.application) == col(Application.name))
        & (col(PolicyRevision.number) == col(Application.policy_revision)),
    )
    found = {}
    for name, toml in _rows(session, of(Application.name, statement)):
        policy = parsed(toml)
        found[name] = ApplicationRules(policy.metrics.stage, policy.metrics.attribution)
    return found


def _deployments(session: Session, of: Any) -> Sequence[DeploymentEvent]:
    statement = _select(
        Deployment.id,
        Deployment.application,
        Deployment.stage,
        Deployment.bundle_id,
        Deployment.state,
        Deployment.finished_at,
        Deployment.requested_at,
        Deployment.started_at,
        Deployment.declared_kind,
        Deployment.planned,
        Deployment.fixes,
        Deployment.blames,
        Deployment.drill,
        Deployment.writing_since,
        func.coalesce(Deployment.external_id, ""),
    )
    return [DeploymentEvent(*row) for row in _rows(session, of(Deployment.application, statement))]


def _incidents(session: Session, of: Any) -> Sequence[IncidentEvent]:
    statement = _select(
        Incident.id,
        Incident.application,
        Incident.impact_started_at,
        Incident.detected_at,
        Incident.resolved_at,
        Incident.caused_by,
        Incident.cause,
        func.coalesce(Incident.external_id, ""),
        Incident.title,
    )
    return [IncidentEvent(*row) for row in _rows(session, of(Incident.application, statement))]


def _gate_runs(session: Session, of: Any) -> Sequence[GateRunEvent]:
    statement = _select(
        GateRun.id,
        GateRun.application,
        GateRun.stage,
        GateRun.bundle_id,
        GateRun.gate,
        GateRun.started_at,
        GateRun.finished_at,
        GateRun.verdict,
        GateRun.mode,
        GateRun.waived_at,
        GateRun.decision,
    ).where(GateRun.state == RunState.FINISHED)
    return [
        GateRunEvent(
            id=identity,
            application=application,
            stage=stage,
            bundle=bundle,
            gate=gate,
            started_at=started,
            finished_at=finished,
            verdict=verdict,
            enforcing=mode is GateMode.ENFORCE,
            waived_at=waived,
            decision=BlockDecision(decision) if decision else None,
        )
        for identity, application, stage, bundle, gate, started, finished, verdict, mode, waived, decision in _rows(
            session, of(GateRun.application, statement)
        )
    ]


def _approvals(session: Session, of: Any) -> Sequence[ApprovalWait]:
    """A wait ends with the decision that moved the promotion on; one that was withdrawn ends there."""
    decided = (
        _select(Approval.promotion_id, func.max(Approval.at).label("at"))
        .where(col(Approval.decision).in_((Decision.REJECTED, Decision.APPROVED)))
        .group_by(col(Approval.promotion_id))
        .subquery()
    )
    waits = (
        _select(
            Promotion.application,
            Promotion.stage,
            Promotion.bundle_id,
            Promotion.approval_opened_at,
            Promotion.finished_at,
            Promotion.phase,
            decided.c.at,
        )
        .outerjoin(decided, decided.c.promotion_id == col(Promotion.id))
        .where(col(Promotion.approval_opened_at).is_not(None))
    )
    return [
        ApprovalWait(application, stage, bundle, opened, _ended(at, phase, finished))
        for application, stage, bundle, opened, finished, phase, at in _rows(session, of(Promotion.application, waits))
    ]


def _ended(decided: datetime | None, phase: Phase, finished: datetime | None) -> datetime | None:
    return None if phase is Phase.AWAITING_APPROVAL else decided or finished


def _commits(session: Session, of: Any) -> Sequence[CommitEvent]:
    statement = _select(CommitRow.bundle_id, CommitRow.at, CommitRow.sha).join(
        Bundle, col(Bundle.id) == col(CommitRow.bundle_id)
    )
    return [CommitEvent(*row) for row in _rows(session, of(Bundle.application, statement))]


def _trained(session: Session, of: Any) -> Sequence[TrainingFacts]:
    parts: dict[int, dict[str, Any]] = {}
    statement = (
        _select(
            ComponentRow.bundle_id, ComponentRow.kind, ComponentRow.name, ComponentRow.version, ComponentRow.details
        )
        .join(Bundle, col(Bundle.id) == col(ComponentRow.bundle_id))
        .where(col(ComponentRow.kind).in_((ComponentKind.MODEL, ComponentKind.DATASET)))
    )
    for bundle, kind, name, version, details in _rows(session, of(Bundle.application, statement)):
        part = parts.setdefault(bundle, {"model": "", "datasets": []})
        if kind is ComponentKind.MODEL:
            part["model"] = f"{name}/{version}"
        elif cutoff := _cutoff(details.get("cutoff")):
            part["datasets"].append(DatasetFacts(f"{name}/{version}", cutoff))
    bundles = _select(Bundle.id, Bundle.training_ended_at, Bundle.registered_at)
    return [
        TrainingFacts(bundle, parts[bundle]["model"], ended, registered, tuple(parts[bundle]["datasets"]))
        for bundle, ended, registered in _rows(session, of(Bundle.application, bundles))
        if bundle in parts
    ]


def _cutoff(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None

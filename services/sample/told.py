"""What of the story stands in the record already: a teller that was killed is continued from here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from services.clock import Clock
from services.rules.domain import HEADGATE, BundleRef, Cause, DeploymentState, GateMode, Phase, SlotRef, Verdict
from services.sample.steps import Delivery, Promote, RollBack
from services.sample.story import APPLICATIONS
from services.store import audit, lookups
from services.store.database import Store
from services.store.models import Application, AuditEvent, Bundle, Deployment, GateRun, Promotion
from services.store.trouble import Drill, Incident

BEGUN, COMPLETE = "sample.begun", "sample.complete"
BLOCKING = (Verdict.FAILED, Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class Standing:
    """Where a promotion that the story asked for stands."""

    id: int
    bundle: BundleRef
    stage: str
    phase: Phase
    note: str


@dataclass(frozen=True)
class Errored:
    """A gate that could not judge."""

    gate: str
    summary: str


@dataclass(frozen=True)
class KnownIncident:
    """`blames`: a person, and not the rule, said what caused it."""

    id: int
    blames: bool
    resolved: bool


def begun_at(store: Store) -> datetime | None:
    """The story's time at which it was begun. None where it was not."""
    return _time_of(store, BEGUN)


def is_complete(store: Store) -> bool:
    return _time_of(store, COMPLETE) is not None


def mark(store: Store, action: str, clock: Clock) -> None:
    """Record that the story was begun, or is complete."""
    name = APPLICATIONS[0].name
    with store.writing() as session:
        audit.record(session, actor=HEADGATE.name, action=action, clock=clock, application=name, subject=name)


def application_exists(store: Store, name: str) -> bool:
    with store.reading() as session:
        return session.get(Application, name) is not None


def key(delivery: Delivery, step: Promote | RollBack) -> str:
    """What makes a step happen once, however often it is told."""
    return f"sample:{delivery.name}:{type(step).__name__.lower()}:{step.stage}"


def incident_key(name: str) -> str:
    return f"sample: {name}"


def bundle(store: Store, application: str, made_at: datetime) -> BundleRef | None:
    """The bundle that was registered at this moment of the story: there is one such moment a delivery."""
    with store.reading() as session:
        number = session.exec(
            select(Bundle.number).where(Bundle.application == application, Bundle.at == made_at)
        ).one_or_none()
        return BundleRef(application, number) if number else None


def standing(store: Store, by_key: str) -> Standing | None:
    """The promotion that this step made, or None where it was not told yet."""
    with store.reading() as session:
        row = session.exec(select(Promotion).where(Promotion.idempotency_key == by_key)).one_or_none()
        return _standing(session, row) if row else None


def promotion(store: Store, promotion_id: int) -> Standing:
    with store.reading() as session:
        return _standing(session, lookups.promotion(session, promotion_id))


def _standing(session: Session, row: Promotion) -> Standing:
    assert row.id is not None
    number = session.exec(select(Bundle.number).where(Bundle.id == row.bundle_id)).one()
    return Standing(row.id, BundleRef(row.application, number or 0), row.stage, row.phase, row.note)


def entering(store: Store, bundle: BundleRef) -> int | None:
    """The promotion by which this bundle entered its first stage by itself."""
    with store.reading() as session:
        return session.exec(
            select(Promotion.id)
            .join(Bundle, col(Bundle.id) == col(Promotion.bundle_id))
            .where(Bundle.application == bundle.application, Bundle.number == bundle.number)
            .where(col(Promotion.automatic).is_(True))
            .order_by(col(Promotion.id))
        ).first()


def deployment(store: Store, promotion_id: int) -> int | None:
    """What became live by this promotion."""
    with store.reading() as session:
        return session.exec(
            select(Deployment.id).where(
                Deployment.promotion_id == promotion_id, Deployment.state == DeploymentState.SUCCEEDED
            )
        ).one_or_none()


def block(store: Store, bundle: BundleRef, gate: str) -> int | None:
    """The run by which this gate said no to the bundle, where nobody has said yet whether that was right."""
    with store.reading() as session:
        return session.exec(
            select(GateRun.id)
            .join(Bundle, col(Bundle.id) == col(GateRun.bundle_id))
            .where(Bundle.application == bundle.application, Bundle.number == bundle.number)
            .where(GateRun.gate == gate, col(GateRun.verdict).in_(BLOCKING), GateRun.decision == "")
            .order_by(col(GateRun.id).desc())
        ).first()


def incident(store: Store, application: str, name: str) -> KnownIncident | None:
    with store.reading() as session:
        row = session.exec(
            select(Incident).where(Incident.application == application, Incident.external_id == incident_key(name))
        ).one_or_none()
        if row is None or row.id is None:
            return None
        return KnownIncident(row.id, row.cause is Cause.DEPLOYMENT, row.resolved_at is not None)


def drill(store: Store, slot: SlotRef, at: datetime) -> tuple[int, bool] | None:
    """The drill that was begun at this moment of the story, and whether it is over."""
    with store.reading() as session:
        row = session.exec(
            select(Drill).where(Drill.application == slot.application, Drill.stage == slot.stage, Drill.at == at)
        ).one_or_none()
        return (row.id, bool(row.outcome)) if row and row.id is not None else None


def only_errored(store: Store, promotion_id: int) -> list[Errored]:
    """The gates that could not judge, where no gate said no: then nothing but trouble stands in the way."""
    with store.reading() as session:
        runs = session.exec(select(GateRun).where(GateRun.promotion_id == promotion_id).order_by(col(GateRun.id)))
        latest = {run.gate: run for run in runs}.values()
        if any(run.verdict in BLOCKING for run in latest if run.mode is GateMode.ENFORCE):
            return []
        return [Errored(run.gate, run.summary) for run in latest if run.verdict is Verdict.ERRORED]


def _time_of(store: Store, action: str) -> datetime | None:
    with store.reading() as session:
        return session.exec(
            select(AuditEvent.at).where(AuditEvent.action == action).order_by(col(AuditEvent.seq))
        ).first()

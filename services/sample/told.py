"""What of the story stands in the record already: a teller that was killed is continued from here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from services.clock import Clock
from services.rules.domain import HEADGATE, BundleRef, Phase, Verdict
from services.sample.story import APPLICATION, Delivery, Promote, RollBack
from services.store import audit, lookups
from services.store.database import Store
from services.store.models import Application, AuditEvent, Bundle, GateRun, Promotion

BEGUN, COMPLETE = "sample.begun", "sample.complete"


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


def begun_at(store: Store) -> datetime | None:
    """The story's time at which it was begun. None where it was not."""
    return _time_of(store, BEGUN)


def is_complete(store: Store) -> bool:
    return _time_of(store, COMPLETE) is not None


def mark(store: Store, action: str, clock: Clock) -> None:
    """Record that the story was begun, or is complete."""
    with store.writing() as session:
        audit.record(
            session, actor=HEADGATE.name, action=action, clock=clock, application=APPLICATION, subject=APPLICATION
        )


def application_exists(store: Store) -> bool:
    with store.reading() as session:
        return session.get(Application, APPLICATION) is not None


def key(delivery: Delivery, step: Promote | RollBack) -> str:
    """What makes a step happen once, however often it is told."""
    return f"sample:{delivery.name}:{type(step).__name__.lower()}:{step.stage}"


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


def only_errored(store: Store, promotion_id: int) -> list[Errored]:
    """The gates that could not judge, where no gate said no: then nothing but trouble stands in the way."""
    with store.reading() as session:
        runs = session.exec(select(GateRun).where(GateRun.promotion_id == promotion_id).order_by(col(GateRun.id)))
        latest = {run.gate: run for run in runs}.values()
        if any(run.verdict in (Verdict.FAILED, Verdict.INCONCLUSIVE) for run in latest):
            return []
        return [Errored(run.gate, run.summary) for run in latest if run.verdict is Verdict.ERRORED]


def _time_of(store: Store, action: str) -> datetime | None:
    with store.reading() as session:
        return session.exec(
            select(AuditEvent.at).where(AuditEvent.action == action).order_by(col(AuditEvent.seq))
        ).first()

"""What a slot's page needs to know of trouble: strays, an artifact that changed, and preflights of where to go back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from services.rules.domain import BundleRef, DeploymentState, SlotRef
from services.rules.preflight import Answer, Finding, as_of_now, overall
from services.rules.readiness import Live, Marked
from services.store.database import Store
from services.store.models import Bundle, Deployment, Slot
from services.store.trouble import Preflight, Stray

BLAMABLE_SHOWN = 8


@dataclass(frozen=True)
class Looked:
    """What a worker found when it last looked at a bundle, as far as it still holds."""

    answer: Answer
    findings: tuple[Finding, ...]
    looked_at: datetime

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not safe, or not known to be: of several findings those that decide."""
        return tuple(finding.finding for finding in self.findings if finding.answer is self.answer)


@dataclass(frozen=True)
class StrayLine:
    """`choice` is empty until somebody has chosen; with `trouble` they may choose again."""

    id: int
    slot: SlotRef
    alias: str
    says: str
    should_say: str
    finding: str
    found_at: datetime
    choice: str
    chosen_by: str
    trouble: str

    @property
    def under_way(self) -> bool:
        return bool(self.choice) and not self.trouble


@dataclass(frozen=True)
class SlotNow:
    """One stage's row, with all that is the matter with it."""

    stage: str
    live: Live | None
    quarantined: bool
    hold: Marked | None
    freeze: Marked | None
    stray: StrayLine | None
    looked: Looked | None  # of what is live


@dataclass(frozen=True)
class Blamable:
    """A deployment that a rollback may name as its cause."""

    deployment_id: int
    ref: BundleRef
    live_from: datetime | None


def slots(session: Session, application: str) -> dict[str, SlotNow]:
    """Every stage that has a row, by name. Two statements."""
    astray = select(Stray).where(Stray.application == application, col(Stray.closed_at).is_(None))
    strays = {row.stage: _stray(row) for row in session.exec(astray.order_by(col(Stray.id)))}
    rows = session.exec(
        select(Slot, Deployment, Bundle, Preflight)
        .outerjoin(Deployment, col(Deployment.id) == col(Slot.live_deployment_id))
        .outerjoin(Bundle, col(Bundle.id) == col(Deployment.bundle_id))
        .outerjoin(
            Preflight,
            (col(Preflight.bundle_id) == col(Bundle.id))
            & (col(Preflight.application) == col(Slot.application))
            & (col(Preflight.stage) == col(Slot.stage)),
        )
        .where(Slot.application == application)
    )
    return {
        slot.stage: SlotNow(
            stage=slot.stage,
            live=_live(deployment, bundle) if deployment else None,
            quarantined=bool(bundle and bundle.quarantined_at),
            hold=Marked(slot.hold_by, slot.hold_reason, slot.hold_since) if slot.hold_since else None,
            freeze=Marked(slot.freeze_by, slot.freeze_reason, slot.freeze_from, slot.freeze_until)
            if slot.freeze_from
            else None,
            stray=strays.get(slot.stage),
            looked=looked(preflight, preflight.bundle_id) if preflight else None,
        )
        for slot, deployment, bundle, preflight in rows
    }


def settling(store: Store, application: str) -> tuple[StrayLine, ...]:
    """The strays that somebody has chosen about and that are being put right. One statement."""
    with store.reading() as session:
        rows = session.exec(
            select(Stray)
            .where(Stray.application == application, col(Stray.closed_at).is_(None), Stray.choice != "")
            .order_by(col(Stray.id))
        )
        return tuple(line for line in map(_stray, rows) if line.under_way)


def preflights(session: Session, slot: SlotRef, live_bundle_id: int | None) -> dict[int, Looked]:
    """What is known of every bundle that was looked at for this slot, by bundle. One statement."""
    rows = session.exec(
        select(Preflight).where(Preflight.application == slot.application, Preflight.stage == slot.stage)
    )
    return {row.bundle_id: looked(row, live_bundle_id) for row in rows}


def blamable(session: Session, slot: SlotRef) -> tuple[Blamable, ...]:
    """The last deployments into the slot, the newest first, that served or may have. One statement."""
    rows = session.exec(
        select(Deployment.id, Bundle.number, Deployment.finished_at, Deployment.state)
        .join(Bundle, col(Bundle.id) == col(Deployment.bundle_id))
        .where(
            Deployment.application == slot.application,
            Deployment.stage == slot.stage,
            col(Deployment.state).in_([DeploymentState.SUCCEEDED, DeploymentState.STARTED]),
            col(Deployment.external_id).is_(None),
        )
        .order_by(col(Deployment.id).desc())
        .limit(BLAMABLE_SHOWN)
    )
    return tuple(
        Blamable(id_ or 0, BundleRef(slot.application, number or 0), at if state is DeploymentState.SUCCEEDED else None)
        for id_, number, at, state in rows
    )


def looked(row: Preflight, live_bundle_id: int | None) -> Looked:
    findings = [Finding(f["name"], Answer(f["answer"]), f["finding"]) for f in row.findings]
    held = as_of_now(findings, row.against_bundle_id == live_bundle_id)
    return Looked(overall(held), tuple(held), row.looked_at)


def live(session: Session, slot: Slot | None) -> Live | None:
    """What is live in the slot. One statement where something is."""
    if slot is None or slot.live_deployment_id is None:
        return None
    deployment, bundle = session.exec(
        select(Deployment, Bundle)
        .join(Bundle, col(Bundle.id) == col(Deployment.bundle_id))
        .where(Deployment.id == slot.live_deployment_id)
    ).one()
    return _live(deployment, bundle)


def _live(deployment: Deployment, bundle: Bundle) -> Live:
    assert deployment.id is not None
    assert deployment.finished_at is not None
    ref = BundleRef(bundle.application, bundle.number or 0)
    return Live(deployment.bundle_id, ref, bundle.digest, deployment.id, deployment.finished_at)


def _stray(row: Stray) -> StrayLine:
    assert row.id is not None
    return StrayLine(
        id=row.id,
        slot=SlotRef(row.application, row.stage),
        alias=row.alias,
        says=row.says,
        should_say=row.should_say,
        finding=row.finding,
        found_at=row.found_at,
        choice=row.choice,
        chosen_by=row.chosen_by,
        trouble=row.trouble,
    )

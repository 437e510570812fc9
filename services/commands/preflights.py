"""The record of preflights: what stands in the way of going to a bundle, as last looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlmodel import Session, select

from services import clock as clocks
from services.rules.domain import BundleRef, Component, SlotRef
from services.rules.preflight import Finding, overall
from services.store import lookups
from services.store.database import Store
from services.store.models import Bundle, Deployment, Slot
from services.store.trouble import Preflight

KEPT_FRESH = 3  # candidates of each slot that the worker looks at


@dataclass(frozen=True)
class Wanted:
    """One bundle to look at: a candidate to go back to, or what is live itself."""

    slot: SlotRef
    bundle_id: int
    ref: BundleRef
    components: tuple[Component, ...]
    live: tuple[Component, ...]
    live_bundle_id: int
    verified_at: datetime | None
    is_live: bool


def wanted(store: Store, slot: SlotRef) -> list[Wanted]:
    """What is live in the slot, and the last bundles that one would go back to."""
    with store.reading() as session:
        live = session.exec(
            select(Bundle)
            .join(Deployment, Deployment.bundle_id == Bundle.id)  # type: ignore[arg-type]
            .join(Slot, Slot.live_deployment_id == Deployment.id)  # type: ignore[arg-type]
            .where(Slot.application == slot.application, Slot.stage == slot.stage)
        ).one_or_none()
        if live is None or live.id is None:
            return []
        now = lookups.components_of(session, live.id)
        found = [Wanted(slot, live.id, BundleRef(live.application, live.number or 0), now, now, live.id, None, True)]
        for candidate in lookups.rollback_candidates(session, slot, limit=KEPT_FRESH):
            found.append(
                Wanted(
                    slot=slot,
                    bundle_id=candidate.bundle_id,
                    ref=candidate.ref,
                    components=lookups.components_of(session, candidate.bundle_id),
                    live=now,
                    live_bundle_id=live.id,
                    verified_at=candidate.last_live_at if candidate.verified else None,
                    is_live=False,
                )
            )
        return found


def note(store: Store, looked_at: Wanted, findings: Sequence[Finding]) -> None:
    """Remember what was found, in place of what was found before."""
    with store.writing() as session:
        row = _row(session, looked_at) or Preflight(
            application=looked_at.slot.application,
            stage=looked_at.slot.stage,
            bundle_id=looked_at.bundle_id,
            looked_at=clocks.wall(),
        )
        row.against_bundle_id = looked_at.live_bundle_id
        row.answer = overall(findings).value
        row.findings = [{key: str(value) for key, value in asdict(finding).items()} for finding in findings]
        row.looked_at = clocks.wall()
        session.add(row)


def _row(session: Session, looked_at: Wanted) -> Preflight | None:
    return session.exec(
        select(Preflight).where(
            Preflight.application == looked_at.slot.application,
            Preflight.stage == looked_at.slot.stage,
            Preflight.bundle_id == looked_at.bundle_id,
        )
    ).one_or_none()

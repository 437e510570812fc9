"""What several queries share: small frozen dataclasses, and the statements that fill them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from services.rules.domain import ACTIVE_PHASES, BundleRef, Phase
from services.store.models import Bundle, Promotion

SlotKey = tuple[str, str]


@dataclass(frozen=True)
class PromotionLine:
    """A promotion as lists show it. `version` is what travels back with a click."""

    id: int
    application: str
    stage: str
    bundle_id: int
    ref: BundleRef
    phase: Phase
    version: int
    rollback: bool
    automatic: bool
    requested_by: str
    requested_at: datetime
    reason: str
    note: str
    approval_opened_at: datetime | None
    finished_at: datetime | None


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with `Z`, as other programs read it."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def promotion_line(row: Promotion, number: int | None) -> PromotionLine:
    assert row.id is not None
    return PromotionLine(
        id=row.id,
        application=row.application,
        stage=row.stage,
        bundle_id=row.bundle_id,
        ref=BundleRef(row.application, number or 0),
        phase=row.phase,
        version=row.version,
        rollback=row.rollback,
        automatic=row.automatic,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        reason=row.reason,
        note=row.note,
        approval_opened_at=row.approval_opened_at,
        finished_at=row.finished_at,
    )


def standing_promotions(session: Session, applications: Collection[str] | None = None) -> dict[SlotKey, PromotionLine]:
    """For each slot the promotion worth showing: the active one, else the newest, if it is blocked. One statement."""
    newest = select(func.max(Promotion.id)).group_by(col(Promotion.application), col(Promotion.stage))
    statement = (
        select(Promotion, Bundle.number)
        .join(Bundle, col(Bundle.id) == col(Promotion.bundle_id))
        .where(
            or_(
                col(Promotion.phase).in_(ACTIVE_PHASES),
                (col(Promotion.phase) == Phase.BLOCKED) & col(Promotion.id).in_(newest),
            )
        )
        .order_by(col(Promotion.id))
    )
    if applications is not None:
        statement = statement.where(col(Promotion.application).in_(applications))
    found: dict[SlotKey, PromotionLine] = {}
    for row, number in session.exec(statement):
        key = (row.application, row.stage)
        if key not in found or row.phase.active:
            found[key] = promotion_line(row, number)
    return found

"""What serves where, for `headgate status`. Other programs read the shape: a test pins it."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, select

from services.queries.common import SlotKey, iso, standing_promotions
from services.rules.domain import BundleRef
from services.rules.policy import Policy
from services.store.database import Store
from services.store.facts import parsed
from services.store.models import Application, Bundle, Deployment, PolicyRevision, Slot


def status(store: Store) -> dict[str, Any]:
    """Every application with its stages: what is live, since when, and the promotion under way or blocked."""
    with store.reading() as session:
        live = _live(session)
        standing = standing_promotions(session)
        applications = [
            {"name": name, "stages": [_stage(name, stage, live, standing) for stage in _stages(name, policy, live)]}
            for name, policy in _policies(session).items()
        ]
    return {"applications": applications}


def _stage(name: str, stage: str, live: Any, standing: Any) -> dict[str, Any]:
    ref, since = live.get((name, stage), (None, None))
    promotion = standing.get((name, stage))
    return {
        "stage": stage,
        "bundle": str(ref) if ref else None,
        "since": iso(since),
        "promotion": {"id": promotion.id, "phase": promotion.phase.value, "bundle": str(promotion.ref)}
        if promotion
        else None,
    }


def _policies(session: Session) -> dict[str, Policy | None]:
    rows = session.exec(
        select(Application.name, PolicyRevision.toml)
        .outerjoin(
            PolicyRevision,
            (col(PolicyRevision.application) == col(Application.name))
            & (col(PolicyRevision.number) == col(Application.policy_revision)),
        )
        .order_by(col(Application.name))
    )
    return {name: parsed(toml) if toml else None for name, toml in rows}


def _live(session: Session) -> dict[SlotKey, tuple[BundleRef | None, Any]]:
    rows = session.exec(
        select(Slot.application, Slot.stage, Bundle.number, Deployment.finished_at)
        .outerjoin(Deployment, col(Deployment.id) == col(Slot.live_deployment_id))
        .outerjoin(Bundle, col(Bundle.id) == col(Deployment.bundle_id))
    )
    return {
        (application, stage): (BundleRef(application, number) if number else None, since)
        for application, stage, number, since in rows
    }


def _stages(name: str, policy: Policy | None, live: dict[SlotKey, Any]) -> list[str]:
    """The policy's stages in its order, then what serves in a stage that the policy no longer has."""
    ordered = [stage.name for stage in policy.stages] if policy else []
    left = sorted(s for (a, s), (ref, _) in live.items() if a == name and ref and s not in ordered)
    return [*ordered, *left]

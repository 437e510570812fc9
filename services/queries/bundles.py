"""Bundles for the command line: one in full, many in short. Other programs read both shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import col, select

from services import clock as clocks
from services.queries.common import iso
from services.queries.differences import Difference, difference
from services.queries.resolve import pinned
from services.rules import readiness
from services.rules.domain import Action, BundleRef, Condition
from services.store import lookups
from services.store.database import Store
from services.store.facts import load, policy_in_force
from services.store.models import Bundle, Deployment, Slot


def show(store: Store, ref: BundleRef, now: datetime | None = None) -> dict[str, Any]:
    """One bundle with its components, gaps, metrics and, for each stage, how it stands. Raises NotFound."""
    at = now or clocks.wall()
    with store.reading() as session:
        bundle = lookups.bundle(session, ref)
        assert bundle.id is not None
        facts = load(session, [bundle.id])
        return {
            "application": ref.application,
            "bundle": str(ref),
            "digest": bundle.digest,
            "components": [pinned(c) for c in lookups.components_of(session, bundle.id)],
            "provenance_gaps": bundle.gaps,
            "metrics": bundle.metrics,
            "quarantine": {
                "by": bundle.quarantined_by,
                "reason": bundle.quarantine_reason,
                "since": iso(bundle.quarantined_at),
            }
            if bundle.quarantined_at
            else None,
            "stages": [
                {
                    "stage": stage,
                    "conditions": [_condition(c) for c in readiness.conditions(fact, Action.PROMOTE, at)],
                }
                for (_, stage), fact in facts.items()
            ],
        }


def listing(
    store: Store, application: str | None = None, *, limit: int = 50, before: int | None = None
) -> dict[str, Any]:
    """Bundles, the newest first. `next` in the answer is the `before` of the following page, or null.

    Raises NotFound for an unknown application.
    """
    with store.reading() as session:
        if application is not None:
            policy_in_force(session, application)
        statement = select(Bundle).order_by(col(Bundle.id).desc()).limit(limit + 1)
        if application is not None:
            statement = statement.where(Bundle.application == application)
        if before is not None:
            statement = statement.where(col(Bundle.id) < before)
        found = session.exec(statement).all()
        rows, more = found[:limit], len(found) > limit
        ids = [row.id for row in rows if row.id is not None]
        live: dict[int, list[str]] = {}
        for bundle_id, stage in session.exec(
            select(Deployment.bundle_id, Slot.stage)
            .join(Slot, col(Slot.live_deployment_id) == col(Deployment.id))
            .where(col(Deployment.bundle_id).in_(ids))
            .order_by(col(Deployment.id))
        ):
            live.setdefault(bundle_id, []).append(stage)
        return {
            "bundles": [
                {
                    "application": row.application,
                    "bundle": str(BundleRef(row.application, row.number or 0)),
                    "digest": row.digest,
                    "made": iso(row.at),
                    "maker": row.maker or None,
                    "live": live.get(row.id or 0, []),
                    "provenance_gaps": len(row.gaps),
                    "quarantined": row.quarantined_at is not None,
                }
                for row in rows
            ],
            "next": ids[-1] if more else None,
        }


def compare(store: Store, old: BundleRef, new: BundleRef) -> Difference:
    """What changes from one bundle to the other. Raises NotFound."""
    with store.reading() as session:
        before, after = lookups.bundle(session, old), lookups.bundle(session, new)
        assert before.id is not None
        assert after.id is not None
        parts = lookups.components_of_many(session, [before.id, after.id])
        return difference(parts.get(before.id, ()), parts.get(after.id, ()), before.metrics, after.metrics)


def _condition(condition: Condition) -> dict[str, Any]:
    return {
        "name": condition.name,
        "met": condition.met,
        "reason": condition.reason,
        "remedy": condition.remedy,
        "since": iso(condition.since),
    }

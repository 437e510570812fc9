"""From a stage to the pinned addresses of what is live there, for `headgate resolve`. Other programs read the shape."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, select

from services.errors import NotFound
from services.rules.domain import BundleRef, Component, ComponentKind
from services.store import lookups
from services.store.database import Store
from services.store.models import Bundle, Deployment, Slot


def resolve(store: Store, application: str, stage: str) -> dict[str, Any]:
    """What is live in the stage, with every component's pinned address. Raises NotFound where nothing is."""
    with store.reading() as session:
        bundle = _live(session, application, stage)
        assert bundle.id is not None
        components = lookups.components_of(session, bundle.id)
        return {
            "application": application,
            "stage": stage,
            "bundle": str(BundleRef(application, bundle.number or 0)),
            "digest": bundle.digest,
            "model_uri": next((c.uri for c in components if c.kind is ComponentKind.MODEL), None),
            "components": [pinned(component) for component in components],
        }


def pinned(component: Component) -> dict[str, str]:
    return {
        "kind": component.kind.value,
        "name": component.name,
        "version": component.version,
        "uri": component.uri,
        "digest": component.digest,
    }


def _live(session: Session, application: str, stage: str) -> Bundle:
    row = session.exec(
        select(Bundle)
        .join(Deployment, col(Deployment.bundle_id) == col(Bundle.id))
        .join(Slot, col(Slot.live_deployment_id) == col(Deployment.id))
        .where(Slot.application == application, Slot.stage == stage)
    ).one_or_none()
    if row is None:
        lookups.required_stage(lookups.required_policy(session, application), stage)
        raise NotFound(
            f"Nothing is live in {application}@{stage}.",
            f"Promote a bundle there: `headgate promote {application}/1 --to {stage}`.",
        )
    return row

"""Registering bundles, and taking one out of circulation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sqlmodel import Session, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority, promotions
from services.errors import BadInput, Conflict, NotFound
from services.rules.digests import bundle_digest
from services.rules.domain import BundleRef, Person, SlotRef
from services.rules.drafts import BundleDraft
from services.store import audit, lookups
from services.store.database import Store
from services.store.models import Application, Bundle, CommitRow, ComponentRow


@dataclass(frozen=True)
class Registered:
    """`created` is False where the same components are a bundle already. `promotion_id`: it entered a stage."""

    ref: BundleRef
    created: bool
    promotion_id: int | None = None
    not_entered: tuple[str, ...] = ()


def register(store: Store, draft: BundleDraft, *, actor: Person, clock: Clock) -> Registered:
    """Give the draft a number, unless the same components have one. A first stage with `auto` is entered at once."""
    authority.require(actor, authority.MAKERS, "make a bundle")
    _refuse_what_cannot_be_a_bundle(draft)
    digest = bundle_digest(draft.application, draft.components)
    with store.writing() as session:
        application = session.exec(
            select(Application).where(Application.name == draft.application).with_for_update()
        ).one_or_none()
        if application is None:
            raise NotFound(
                f"There is no application {draft.application!r}.", "Apply its policy first: `headgate apply`."
            )
        known = session.exec(
            select(Bundle).where(Bundle.application == draft.application, Bundle.digest == digest)
        ).one_or_none()
        if known is not None:
            return Registered(BundleRef(draft.application, known.number or 0), created=False)
        policy = lookups.required_policy(session, draft.application)
        first = policy.stages[0]
        slot = lookups.locked_slot(session, SlotRef(draft.application, first.name)) if first.auto else None
        bundle = _insert(session, application, draft, digest, clock)
        ref = BundleRef(draft.application, bundle.number or 0)
        audit.record(
            session,
            actor=actor.name,
            action="bundle.registered",
            clock=clock,
            application=draft.application,
            subject=str(ref),
            digest=digest,
            components=[f"{c.kind.value} {c.name} {c.version}".strip() for c in draft.components],
            gaps=[gap.name for gap in draft.gaps],
        )
        if slot is None:
            return Registered(ref, created=True)
        assert bundle.id is not None
        promotion_id, reasons = promotions.enter_automatically(session, slot, bundle.id, first.name, clock)
        return Registered(ref, True, promotion_id, tuple(reasons))


def _refuse_what_cannot_be_a_bundle(draft: BundleDraft) -> None:
    if not draft.components:
        raise BadInput("A bundle needs at least one component.", "Name a model or a prompt.")
    seen = [(component.kind, component.name) for component in draft.components]
    if doubled := [f"{kind.value} {name}" for kind, name in seen if seen.count((kind, name)) > 1]:
        raise BadInput(f"{doubled[0]} stands there twice.", "One version of each component travels in a bundle.")
    if bad := [name for name, value in draft.metrics.items() if not math.isfinite(value)]:
        raise BadInput(f"The metric {bad[0]!r} is not a finite number.", "Log a number, or leave it out.")


def _insert(session: Session, application: Application, draft: BundleDraft, digest: str, clock: Clock) -> Bundle:
    bundle = Bundle(
        application=draft.application,
        number=application.next_bundle,
        digest=digest,
        maker=draft.maker,
        source=draft.source,
        gaps=[{"name": gap.name, "reason": gap.reason} for gap in draft.gaps],
        metrics=draft.metrics,
        parameters=draft.parameters,
        training_started_at=draft.training_started_at,
        training_ended_at=draft.training_ended_at,
        registered_at=draft.registered_at,
        replayed=clock.replayed,
        at=clock.now(),
        recorded_at=clocks.wall(),
    )
    application.next_bundle += 1
    session.add(application)
    session.add(bundle)
    session.flush()
    assert bundle.id is not None
    for component in draft.components:
        session.add(
            ComponentRow(
                bundle_id=bundle.id,
                kind=component.kind,
                name=component.name,
                version=component.version,
                uri=component.uri,
                digest=component.digest,
                details=component.details,
            )
        )
    for commit in draft.commits:
        session.add(CommitRow(bundle_id=bundle.id, sha=commit.sha, at=commit.at))
    session.flush()
    return bundle


def quarantine(store: Store, ref: BundleRef, *, actor: Person, clock: Clock, reason: str) -> None:
    """Nobody may promote this bundle until the quarantine is lifted. What is live stays live."""
    authority.require(actor, authority.LEADS, "quarantine a bundle")
    said = authority.reason_given(reason, "A quarantine")
    with store.writing() as session:
        bundle = lookups.locked_bundle(session, lookups.bundle(session, ref).id or 0)
        if bundle.quarantined_at:
            raise Conflict(
                f"{ref} is quarantined already, by {bundle.quarantined_by}: {bundle.quarantine_reason}",
                "Lift that quarantine first, if it needs another reason.",
            )
        bundle.quarantined_at, bundle.quarantined_by, bundle.quarantine_reason = clock.now(), actor.name, said
        session.add(bundle)
        _record_quarantine(session, "bundle.quarantined", ref, actor, clock, said)


def unquarantine(store: Store, ref: BundleRef, *, actor: Person, clock: Clock, reason: str) -> None:
    """Lift a quarantine, with a reason."""
    authority.require(actor, authority.LEADS, "lift a quarantine")
    said = authority.reason_given(reason, "Lifting a quarantine")
    with store.writing() as session:
        bundle = lookups.locked_bundle(session, lookups.bundle(session, ref).id or 0)
        if not bundle.quarantined_at:
            raise Conflict(f"{ref} is not quarantined.", "Nothing needs to be done.")
        bundle.quarantined_at, bundle.quarantined_by, bundle.quarantine_reason = None, "", ""
        session.add(bundle)
        _record_quarantine(session, "bundle.unquarantined", ref, actor, clock, said)


def _record_quarantine(session: Session, action: str, ref: BundleRef, actor: Person, clock: Clock, reason: str) -> None:
    audit.record(
        session,
        actor=actor.name,
        action=action,
        clock=clock,
        application=ref.application,
        subject=str(ref),
        reason=reason,
    )

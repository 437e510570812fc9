"""The way back: one click, one transaction. It sets a hold, names what it blames, and takes the slot."""

from __future__ import annotations

from sqlmodel import Session

from services import clock as clocks
from services.clock import Clock
from services.commands import authority, progress, promotions
from services.errors import ConditionsNotMet, Conflict, NotFound
from services.rules import readiness
from services.rules.domain import Action, BundleRef, DeploymentState, Person, Phase, SlotRef
from services.rules.readiness import ActivePromotion, Facts
from services.store import audit, lookups
from services.store.database import Store
from services.store.facts import load_one
from services.store.models import Bundle, Deployment, Promotion, Slot

# A mover's lease: three times MLflow's time limit of 3 s with one retry, and a margin.
LEASE_SECONDS = 20.0


class _StillWriting(Exception):
    """Somebody is moving the slot's aliases this moment."""


def roll_back(
    store: Store,
    slot: SlotRef,
    *,
    actor: Person,
    clock: Clock,
    reason: str,
    to: BundleRef | None = None,
    blames: int | None = None,
    quarantine: bool = False,
    key: str | None = None,
    generation: int | None = None,
) -> int:
    """Bring back a bundle that was live here before (None: the last good one). Returns the promotion's id.

    Supersedes whatever is on its way; for a deployment that is writing this moment it waits until its lease ends, at
    most 20 seconds. `generation` is what the page saw: where the slot has moved on since, nothing is done.
    """
    authority.require(actor, authority.LEADS, "roll back")
    said = authority.reason_given(reason, "Rolling back")
    patience = clocks.monotonic() + LEASE_SECONDS + 1
    while True:
        try:
            return _roll_back(store, slot, actor, clock, said, to, blames, quarantine, key, generation)
        except _StillWriting:
            if clocks.monotonic() > patience:
                raise Conflict(
                    f"A deployment to {slot} has been writing for longer than {LEASE_SECONDS:.0f} seconds.",
                    "Nothing was changed. Try again in a moment; `headgate doctor` shows who holds it.",
                ) from None
            clocks.sleep(0.1)


def _roll_back(
    store: Store,
    ref: SlotRef,
    actor: Person,
    clock: Clock,
    reason: str,
    to: BundleRef | None,
    blames: int | None,
    quarantine: bool,
    key: str | None,
    generation: int | None,
) -> int:
    with store.writing() as session:
        if (known := promotions.by_key(session, key)) is not None:
            return known
        lookups.required_stage(lookups.required_policy(session, ref.application), ref.stage)
        slot = lookups.locked_slot(session, ref)
        if generation is not None and generation != slot.generation:
            raise Conflict(f"{ref} has moved on since this page was loaded.", "Look at what is live now, then decide.")
        target = _target(session, ref, to)
        assert target.id is not None
        facts = load_one(session, target.id, ref.stage)
        _refuse(facts, clock)
        if facts.active and facts.active.phase is Phase.DEPLOYING and facts.active.writing:
            raise _StillWriting
        removed = facts.live
        _take_the_slot(session, slot, facts.active, clock, f"Rolled back by {actor.name}: {reason}")
        slot.hold_reason, slot.hold_by, slot.hold_since = f"Rolled back: {reason}", actor.name, clock.now()
        session.add(slot)
        promotion = Promotion(
            application=ref.application,
            stage=ref.stage,
            bundle_id=target.id,
            rollback=True,
            phase=Phase.REQUESTED,
            requested_by=actor.name,
            requested_at=clock.now(),
            policy_revision=progress.revision_in_force(session, ref.application),
            idempotency_key=key,
            reason=reason,
            planned=False,
            blames=blames or (removed.deployment_id if removed else None),
            replayed=clock.replayed,
            recorded_at=clocks.wall(),
        )
        session.add(promotion)
        session.flush()
        if quarantine and removed:
            _quarantine_removed(session, removed.bundle_id, actor, clock, reason)
        facts = load_one(session, target.id, ref.stage)
        progress.start_deployment(session, slot, promotion, facts, clock)
        audit.record(
            session,
            actor=actor.name,
            action="rollback.requested",
            clock=clock,
            application=ref.application,
            subject=str(ref),
            promotion=promotion.id,
            bundle=str(facts.ref),
            removes=str(removed.ref) if removed else None,
            blames=promotion.blames,
            quarantined=quarantine,
            reason=reason,
        )
        assert promotion.id is not None
        return promotion.id


def _target(session: Session, ref: SlotRef, to: BundleRef | None) -> Bundle:
    if to is not None:
        if to.application != ref.application:
            raise NotFound(f"{to} is not a bundle of {ref.application}.", "Choose one that was live here before.")
        return lookups.bundle(session, to)
    candidates = lookups.rollback_candidates(session, ref)
    best = lookups.best_candidate(candidates)
    if best is None:
        if candidates:
            raise Conflict(
                f"No bundle that was live in {ref} before is verified and free of objections.",
                f"Name one yourself: `headgate rollback {ref} --to {candidates[0].ref}`.",
            )
        raise Conflict(
            f"Nothing else was live in {ref} before.", "There is nothing to go back to; promote a better bundle."
        )
    row = session.get(Bundle, best.bundle_id)
    assert row is not None
    return row


def _refuse(facts: Facts, clock: Clock) -> None:
    if facts.is_live and not (facts.active and facts.active.phase is Phase.DEPLOYING):
        raise Conflict(f"{facts.ref} is live in {facts.stage} already.", "Choose another bundle to go back to.")
    if missing := readiness.unmet(readiness.conditions(facts, Action.ROLL_BACK, clock.now())):
        raise ConditionsNotMet(f"{facts.stage} cannot go back to {facts.ref}.", missing)


def _take_the_slot(session: Session, slot: Slot, active: ActivePromotion | None, clock: Clock, note: str) -> None:
    """Whatever is on its way ends here. Its deployment is aborted, and the record says that it may have served."""
    if active is None:
        return
    older = lookups.promotion(session, active.id)
    progress.cancel_queued_gates(session, older, clock, "a rollback took its place")
    progress.move(session, older, Phase.SUPERSEDED, clock, note)
    if slot.pending_deployment_id is None:
        return
    pending = session.get(Deployment, slot.pending_deployment_id)
    assert pending is not None
    pending.state, pending.finished_at = DeploymentState.ABORTED, clock.now()
    served = "It may have served for a while." if pending.writing_since else "It never served."
    pending.note = f"{note} {served}"
    slot.pending_deployment_id = None
    session.add(pending)
    session.flush()


def _quarantine_removed(session: Session, bundle_id: int, actor: Person, clock: Clock, reason: str) -> None:
    bundle = session.get(Bundle, bundle_id)
    assert bundle is not None
    bundle.quarantined_at, bundle.quarantined_by, bundle.quarantine_reason = clock.now(), actor.name, reason
    session.add(bundle)

"""The way back: one click, one transaction. It sets a hold, names what it blames, and takes the slot."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority, progress, promotions
from services.errors import ConditionsNotMet, Conflict, NotFound, Refused
from services.rules import readiness
from services.rules.domain import Action, BundleRef, DeploymentState, Person, Phase, SlotRef
from services.rules.preflight import Answer, Finding, as_of_now
from services.rules.readiness import ActivePromotion, Facts
from services.store import audit, lookups
from services.store.database import Store
from services.store.facts import load_one
from services.store.models import Bundle, Deployment, Promotion, Slot
from services.store.trouble import Preflight

# What one call to MLflow may take: its time limit of 3 s, and one retry. A mover looks at its lease before each call.
CALL_SECONDS = 6.0


class _StillWriting(Exception):
    """Somebody is moving the slot's aliases this moment."""


@dataclass(frozen=True)
class Wish:
    """What a person asks for when rolling back. `drill`: to practise; it sets no hold and blames nothing."""

    slot: SlotRef
    reason: str
    to: BundleRef | None = None
    blames: int | None = None
    quarantine: bool = False
    override: str = ""
    drill: bool = False
    key: str | None = None
    generation: int | None = None


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
    override: str = "",
    key: str | None = None,
    generation: int | None = None,
) -> int:
    """Bring back a bundle that was live here before (None: the last good one). Returns the promotion's id.

    Supersedes whatever is on its way; a deployment that is writing this moment is given the time of one call to MLflow.
    `override` is the reason for going back to a bundle that is quarantined, or that a preflight calls unsafe.
    `generation` is what the page saw: where the slot has moved on since, nothing is done.
    """
    said = authority.reason_given(reason, "Rolling back")
    wish = Wish(slot, said, to, blames, quarantine, override.strip(), key=key, generation=generation)
    return carry_wish(store, wish, actor=actor, clock=clock)


def carry_wish(store: Store, wish: Wish, *, actor: Person, clock: Clock) -> int:
    """`roll_back`, with all that it can be asked."""
    authority.require(actor, authority.LEADS, "roll back")
    patience = clocks.monotonic() + CALL_SECONDS
    while True:
        try:
            return _roll_back(store, wish, actor, clock, waits=clocks.monotonic() < patience)
        except _StillWriting:
            clocks.sleep(0.1)


def _roll_back(store: Store, wish: Wish, actor: Person, clock: Clock, *, waits: bool) -> int:
    ref = wish.slot
    with store.writing() as session:
        lookups.required_stage(lookups.required_policy(session, ref.application), ref.stage)
        slot = lookups.locked_slot(session, ref)
        if (known := promotions.by_key(session, wish.key)) is not None:
            return known
        if wish.generation is not None and wish.generation != slot.generation:
            raise Conflict(f"{ref} has moved on since this page was loaded.", "Look at what is live now, then decide.")
        target = _target(session, ref, wish.to)
        assert target.id is not None
        facts = progress.facts_to_act_on(session, target.id, ref.stage)
        _refuse(session, facts, wish, clock)
        _refuse_strange_blame(session, wish)
        if waits and facts.active and facts.active.phase is Phase.DEPLOYING and facts.active.writing:
            raise _StillWriting
        removed = _removed(session, slot, facts)
        _take_the_slot(session, slot, facts.active, clock, f"Rolled back by {actor.name}: {wish.reason}")
        if not wish.drill:
            slot.hold_reason, slot.hold_by, slot.hold_since = f"Rolled back: {wish.reason}", actor.name, clock.now()
            session.add(slot)
        promotion = _promotion(session, wish, target.id, actor, clock, removed)
        if wish.quarantine and removed:
            _quarantine_removed(session, removed, actor, clock, wish.reason)
        facts = load_one(session, target.id, ref.stage)
        progress.start_deployment(session, slot, promotion, facts, clock)
        _record(session, wish, promotion, facts, removed, actor, clock)
        assert promotion.id is not None
        return promotion.id


@dataclass(frozen=True)
class _Removed:
    deployment_id: int
    bundle_id: int
    ref: BundleRef


def _removed(session: Session, slot: Slot, facts: Facts) -> _Removed | None:
    """What this takes away: what is live, or, going back to just that, what is on its way."""
    if not facts.is_live:
        return _Removed(facts.live.deployment_id, facts.live.bundle_id, facts.live.ref) if facts.live else None
    if slot.pending_deployment_id is None or facts.active is None:
        return None
    return _Removed(slot.pending_deployment_id, facts.active.bundle_id, facts.active.ref)


def _promotion(
    session: Session, wish: Wish, target: int, actor: Person, clock: Clock, removed: _Removed | None
) -> Promotion:
    promotion = Promotion(
        application=wish.slot.application,
        stage=wish.slot.stage,
        bundle_id=target,
        rollback=True,
        phase=Phase.REQUESTED,
        requested_by=actor.name,
        requested_at=clock.now(),
        policy_revision=progress.revision_in_force(session, wish.slot.application),
        idempotency_key=wish.key,
        reason=wish.reason,
        planned=wish.drill,
        blames=None if wish.drill else wish.blames or (removed.deployment_id if removed else None),
        override=wish.override,
        drill=wish.drill,
        replayed=clock.replayed,
        recorded_at=clocks.wall(),
    )
    session.add(promotion)
    session.flush()
    return promotion


def _record(
    session: Session,
    wish: Wish,
    promotion: Promotion,
    facts: Facts,
    removed: _Removed | None,
    actor: Person,
    clock: Clock,
) -> None:
    audit.record(
        session,
        actor=actor.name,
        action="drill.moved" if wish.drill else "rollback.requested",
        clock=clock,
        application=wish.slot.application,
        subject=str(wish.slot),
        promotion=promotion.id,
        bundle=str(facts.ref),
        removes=str(removed.ref) if removed else None,
        blames=promotion.blames,
        quarantined=wish.quarantine,
        override=wish.override,
        reason=wish.reason,
    )


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


def _refuse(session: Session, facts: Facts, wish: Wish, clock: Clock) -> None:
    if facts.is_live and not (facts.active and facts.active.phase is Phase.DEPLOYING):
        raise Conflict(f"{facts.ref} is live in {facts.stage} already.", "Choose another bundle to go back to.")
    found = readiness.conditions(facts, Action.ROLL_BACK, clock.now(), overridden=wish.override)
    if missing := readiness.unmet(found):
        raise ConditionsNotMet(f"{facts.stage} cannot go back to {facts.ref}.", missing)
    unsafe = "" if wish.override else _unsafe(session, facts, wish.slot)
    if unsafe:
        raise Refused(
            f"Going back to {facts.ref} is not safe. {unsafe}",
            "Choose another bundle, or override this with a reason.",
        )


def _unsafe(session: Session, facts: Facts, slot: SlotRef) -> str:
    """Why the last preflight calls it unsafe, as far as that still holds; empty where it does not."""
    row = session.exec(
        select(Preflight).where(
            Preflight.application == slot.application,
            Preflight.stage == slot.stage,
            Preflight.bundle_id == facts.bundle_id,
        )
    ).one_or_none()
    if row is None:
        return ""
    found = [Finding(f["name"], Answer(f["answer"]), f["finding"]) for f in row.findings]
    same_live = facts.live is not None and row.against_bundle_id == facts.live.bundle_id
    return " ".join(f.finding for f in as_of_now(found, same_live) if f.answer is Answer.UNSAFE)


def _refuse_strange_blame(session: Session, wish: Wish) -> None:
    if wish.blames is None:
        return
    blamed = session.get(Deployment, wish.blames)
    if blamed is None or (blamed.application, blamed.stage) != (wish.slot.application, wish.slot.stage):
        raise NotFound(
            f"There is no deployment {wish.blames} of {wish.slot} to blame.",
            "Leave it out: then it is the one that is replaced.",
        )


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


def _quarantine_removed(session: Session, removed: _Removed, actor: Person, clock: Clock, reason: str) -> None:
    bundle = lookups.locked_bundle(session, removed.bundle_id)
    bundle.quarantined_at, bundle.quarantined_by, bundle.quarantine_reason = clock.now(), actor.name, reason
    session.add(bundle)

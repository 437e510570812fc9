"""Asking for a promotion, and taking the question back."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority, progress
from services.errors import BadInput, ConditionsNotMet, Conflict, NotAllowed
from services.rules import readiness
from services.rules.domain import (
    HEADGATE,
    OPEN_PHASES,
    Action,
    BundleRef,
    DeploymentKind,
    Person,
    Phase,
    RunState,
    SlotRef,
)
from services.rules.readiness import ActivePromotion, Facts
from services.store import audit, lookups
from services.store.database import Store
from services.store.models import GateRun, Promotion, Slot

DECLARABLE = (DeploymentKind.HOTFIX, DeploymentKind.RETRAIN)


@dataclass(frozen=True)
class Purpose:
    """What a promotion is for, as whoever asks says it. `key` names the click: the same is the same promotion."""

    key: str | None = None
    reason: str = ""
    planned: bool = True
    kind: DeploymentKind | None = None
    fixes: str = ""


def request(
    store: Store,
    ref: BundleRef,
    stage: str,
    *,
    actor: Person,
    clock: Clock,
    key: str | None = None,
    reason: str = "",
    planned: bool = True,
    kind: DeploymentKind | None = None,
    fixes: str = "",
) -> int:
    """Ask that a bundle goes to a stage. Returns the promotion's id; the same `key` gives the same promotion.

    Its gates are left for the worker; with nothing to wait for, its deployment is. Raises NotFound,
    ConditionsNotMet (what no gate or approval could mend), Conflict, NotAllowed.
    """
    authority.require(actor, authority.MAKERS, "promote")
    if kind is not None and kind not in DECLARABLE:
        raise BadInput(
            f"The kind {kind.value} follows from the order of arrival.", "Declare hotfix or retrain, or leave it out."
        )
    with store.writing() as session:
        bundle = lookups.bundle(session, ref)
        lookups.required_stage(lookups.required_policy(session, ref.application), stage)
        slot = lookups.locked_slot(session, SlotRef(ref.application, stage))
        if (known := by_key(session, key)) is not None:  # under the lock: the same click may be in another process
            return known
        assert bundle.id is not None
        facts = progress.facts_to_act_on(session, bundle.id, stage)
        _refuse_a_repetition(facts)
        purpose = Purpose(key, reason.strip(), planned and kind is not DeploymentKind.HOTFIX, kind, fixes)
        promotion = begin(session, slot, facts, action=Action.PROMOTE, actor=actor, clock=clock, purpose=purpose)
        assert promotion.id is not None
        return promotion.id


def by_key(session: Session, key: str | None) -> int | None:
    """The promotion that this click has already made."""
    if key is None:
        return None
    return session.exec(select(Promotion.id).where(Promotion.idempotency_key == key)).one_or_none()


def _refuse_a_repetition(facts: Facts) -> None:
    if facts.is_live:
        raise Conflict(f"{facts.ref} is live in {facts.stage} already.", "Nothing needs to be done.")
    if own := facts.own_promotion:
        phase = own.phase.value.replace("_", " ")
        raise Conflict(
            f"{facts.ref} is on its way to {facts.stage} already: promotion {own.id}, {phase}.",
            "`headgate status` shows how it stands.",
        )


def begin(
    session: Session,
    slot: Slot,
    facts: Facts,
    *,
    action: Action,
    actor: Person,
    clock: Clock,
    purpose: Purpose = Purpose(),
) -> Promotion:
    """Enter a promotion into its slot and move it as far as it goes. The caller holds the slot's lock."""
    now = clock.now()
    found = readiness.conditions(facts, action, now)
    missing = readiness.unmet(found, ignoring=readiness.ANSWERED_ON_THE_WAY)
    if [condition.name for condition in missing] == ["slot"]:
        raise Conflict(missing[0].reason, missing[0].remedy)
    if missing:
        raise ConditionsNotMet(f"{facts.ref} cannot go to {facts.stage}.", missing)
    if facts.active and facts.active.ref != facts.ref:
        _supersede(session, facts.active, facts, clock)
    promotion = Promotion(
        application=facts.application,
        stage=facts.stage,
        bundle_id=facts.bundle_id,
        automatic=action is Action.AUTO,
        phase=Phase.REQUESTED,
        requested_by=actor.name,
        requested_at=now,
        policy_revision=progress.revision_in_force(session, facts.application),
        idempotency_key=purpose.key,
        reason=purpose.reason,
        planned=purpose.planned,
        declared_kind=purpose.kind,
        fixes=purpose.fixes,
        replayed=clock.replayed,
        recorded_at=clocks.wall(),
    )
    session.add(promotion)
    session.flush()
    progress.supersede_blocked(session, promotion, clock)
    assert facts.rules is not None
    progress.queue_gates(
        session,
        facts,
        clock=clock,
        requested_by=actor.name,
        promotion_id=promotion.id,
        gates=[gate.gate for gate in facts.gates if readiness.needs_run(gate, facts.rules, now)],
    )
    progress.adopt_runs(session, promotion)
    audit.record(
        session,
        actor=actor.name,
        action="promotion.requested",
        clock=clock,
        application=facts.application,
        subject=f"{facts.application}@{facts.stage}",
        promotion=promotion.id,
        bundle=str(facts.ref),
        automatic=promotion.automatic,
        reason=promotion.reason,
    )
    progress.advance(session, slot, promotion, clock)
    return promotion


def _supersede(session: Session, active: ActivePromotion, facts: Facts, clock: Clock) -> None:
    older = lookups.promotion(session, active.id)
    progress.cancel_queued_gates(session, older, clock, f"{facts.ref} took the place of {active.ref}")
    progress.move(session, older, Phase.SUPERSEDED, clock, f"{facts.ref} took its place.")


def withdraw(
    store: Store,
    promotion_id: int,
    *,
    actor: Person,
    clock: Clock,
    reason: str = "",
    version: int | None = None,
) -> None:
    """Take a promotion back before it deploys. Its requester may, and a lead. Raises Conflict when it is too late."""
    authority.still_logged_in(actor)
    with store.writing() as session:
        promotion = lookups.promotion(session, promotion_id)
        lookups.locked_slot(session, SlotRef(promotion.application, promotion.stage))
        session.refresh(promotion)
        if actor.name != promotion.requested_by and not actor.has(*authority.LEADS):
            raise NotAllowed(
                f"{actor.shown} may not withdraw promotion {promotion_id}: {promotion.requested_by} asked for it.",
                "Its requester may, and a lead.",
            )
        refuse_unless_open(promotion, "withdrawn", version)
        progress.cancel_queued_gates(session, promotion, clock, "the promotion was withdrawn")
        progress.move(session, promotion, Phase.WITHDRAWN, clock, reason.strip())
        audit.record(
            session,
            actor=actor.name,
            action="promotion.withdrawn",
            clock=clock,
            application=promotion.application,
            subject=f"{promotion.application}@{promotion.stage}",
            promotion=promotion.id,
            reason=reason.strip(),
        )


def refuse_unless_open(promotion: Promotion, wanted: str, version: int | None) -> None:
    """Raises Conflict where the promotion is over, deploying, or not as the page showed it."""
    phase = promotion.phase.value.replace("_", " ")
    if promotion.phase not in OPEN_PHASES:
        raise Conflict(
            f"Promotion {promotion.id} cannot be {wanted} any more: it is {phase}.",
            "Look at how it stands now; what is live can be rolled back.",
        )
    if version is not None and version != promotion.version:
        raise Conflict(
            f"Promotion {promotion.id} has changed since this page was loaded: it is now {phase}.",
            "Look at it again, then decide.",
        )


def enter_automatically(
    session: Session, slot: Slot, bundle_id: int, stage: str, clock: Clock
) -> tuple[int | None, list[str]]:
    """Let a new bundle into a stage whose policy says `auto`. Returns the promotion, or the reasons why not."""
    facts = progress.facts_to_act_on(session, bundle_id, stage)
    found = readiness.conditions(facts, Action.AUTO, clock.now())
    if missing := readiness.unmet(found, ignoring=readiness.ANSWERED_ON_THE_WAY):
        return None, [condition.reason for condition in missing]
    return begin(session, slot, facts, action=Action.AUTO, actor=HEADGATE, clock=clock).id, []


def left_behind(store: Store) -> list[int]:
    """Promotions that wait for gates none of which is queued or running: whoever should have moved them on died."""
    with store.reading() as session:
        unfinished = select(GateRun.promotion_id).where(
            col(GateRun.promotion_id).is_not(None), GateRun.state != RunState.FINISHED
        )
        rows = session.exec(
            select(Promotion.id).where(
                col(Promotion.phase).in_((Phase.REQUESTED, Phase.GATING)),
                col(Promotion.replayed).is_(False),
                col(Promotion.id).not_in(unfinished),
            )
        )
        return [promotion_id for promotion_id in rows if promotion_id is not None]


def resume(store: Store, promotion_id: int, *, clock: Clock) -> Phase:
    """Move a promotion on that was left behind."""
    with store.writing() as session:
        promotion = lookups.promotion(session, promotion_id)
        slot = lookups.locked_slot(session, SlotRef(promotion.application, promotion.stage))
        session.refresh(promotion)
        return progress.advance(session, slot, promotion, clock)

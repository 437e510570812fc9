"""Deciding on a promotion. An approval signs evidence; the last one needed starts the deployment."""

from __future__ import annotations

import json

from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority, progress, promotions
from services.errors import ConditionsNotMet, Conflict, NotAllowed, StaleEvidence
from services.rules import evidence, readiness
from services.rules.domain import Action, Decision, Person, Phase, Role, SlotRef
from services.rules.policy import Stage
from services.rules.readiness import Facts
from services.store import audit, lookups
from services.store.database import Store
from services.store.facts import load_one
from services.store.models import Approval, AuditEvent, Promotion


def approve(
    store: Store,
    promotion_id: int,
    *,
    actor: Person,
    clock: Clock,
    comment: str = "",
    seen: str | None = None,
    version: int | None = None,
) -> Phase:
    """Approve a promotion on the evidence with the digest `seen` (None: as it is now). Returns where it now stands.

    Raises NotAllowed, Conflict (too late, or approved already), StaleEvidence, ConditionsNotMet.
    """
    with store.writing() as session:
        promotion = lookups.promotion(session, promotion_id)
        slot = lookups.locked_slot(session, SlotRef(promotion.application, promotion.stage))
        session.refresh(promotion)
        _refuse_unless_waiting(promotion)
        facts = progress.facts_to_act_on(session, promotion.bundle_id, promotion.stage)
        rules = facts.rules
        if rules is None:
            raise ConditionsNotMet("Nothing can be approved.", readiness.conditions(facts, Action.PROMOTE, clock.now()))
        own = actor.name in (facts.maker, promotion.requested_by)
        _refuse_unless_eligible(actor, facts, promotion, rules)
        _refuse_stale(session, facts, promotion, seen, version)
        if any(a.person == actor.name and a.evidence_digest == facts.evidence_digest for a in facts.approvals):
            raise Conflict(f"{actor.shown} has approved promotion {promotion_id} already.", _still_needed(facts, rules))
        if missing := readiness.unmet(
            readiness.conditions(facts, Action.PROMOTE, clock.now()), ignoring=frozenset({"approvals"})
        ):
            raise ConditionsNotMet(f"{facts.ref} cannot be approved for {facts.stage} now.", missing)
        _decide(session, promotion, facts, actor, clock, Decision.APPROVED, comment.strip(), rules, own)
        facts = load_one(session, promotion.bundle_id, promotion.stage)
        if len(readiness.counted_approvals(facts, rules)) >= rules.approvals:
            progress.start_deployment(session, slot, promotion, facts, clock)
        else:
            promotion.version += 1
        return promotion.phase


def reject(
    store: Store,
    promotion_id: int,
    *,
    actor: Person,
    clock: Clock,
    comment: str,
    version: int | None = None,
) -> None:
    """Turn a promotion down, with a reason. Whoever could approve it may, and so may a lead."""
    said = authority.reason_given(comment, "Rejecting")
    with store.writing() as session:
        promotion = lookups.promotion(session, promotion_id)
        lookups.locked_slot(session, SlotRef(promotion.application, promotion.stage))
        session.refresh(promotion)
        facts = load_one(session, promotion.bundle_id, promotion.stage)
        rules = facts.rules
        authority.require(actor, (rules.approver_role if rules else Role.LEAD, *authority.LEADS), "reject")
        promotions.refuse_unless_open(promotion, "rejected", version)
        own = actor.name in (facts.maker, promotion.requested_by)
        progress.cancel_queued_gates(session, promotion, clock, "the promotion was rejected")
        progress.move(session, promotion, Phase.REJECTED, clock, said)
        _decide(session, promotion, facts, actor, clock, Decision.REJECTED, said, rules, own)


def _refuse_unless_waiting(promotion: Promotion) -> None:
    if promotion.phase is Phase.AWAITING_APPROVAL:
        return
    phase = promotion.phase.value.replace("_", " ")
    remedy = {
        Phase.GATING: "Wait for its gates.",
        Phase.BLOCKED: "See which gate stopped it.",
        Phase.WITHDRAWN: "Ask its requester why; it can be requested again.",
    }.get(promotion.phase, "Look at how it stands now.")
    raise Conflict(f"Promotion {promotion.id} does not wait for an approval: it is {phase}.", remedy)


def _refuse_unless_eligible(actor: Person, facts: Facts, promotion: Promotion, rules: Stage) -> None:
    authority.require(actor, (rules.approver_role,), f"approve for {facts.stage}")
    if rules.self_approval:
        return
    if actor.name == promotion.requested_by:
        raise NotAllowed(f"{actor.shown} asked for this promotion, and nobody approves their own.", "Ask another lead.")
    if actor.name == facts.maker:
        raise NotAllowed(f"{actor.shown} made {facts.ref}, and nobody approves their own.", "Ask another lead.")


def _refuse_stale(session: Session, facts: Facts, promotion: Promotion, seen: str | None, version: int | None) -> None:
    if seen is not None and seen != facts.evidence_digest:
        reasons = _what_changed(session, promotion, facts)
        told = f" ({'; '.join(reasons)})" if reasons else ""
        raise StaleEvidence(
            f"The evidence for promotion {promotion.id} has changed since you looked at it{told}.",
            reasons,
            "Nothing was approved. Look at it again, then decide.",
        )
    if seen is None and version is not None and version != promotion.version:
        raise Conflict(
            f"Promotion {promotion.id} has changed since this page was loaded.", "Look at it again, then decide."
        )


def _what_changed(session: Session, promotion: Promotion, facts: Facts) -> list[str]:
    """Against the last evidence anybody signed for it, else that on which the approval was asked."""
    signed = session.exec(
        select(Approval.evidence)
        .where(Approval.promotion_id == promotion.id)
        .order_by(col(Approval.id).desc())
        .limit(1)
    ).first()
    before = dict(signed) if signed else _asked_on(session, promotion)
    return evidence.changes(before, evidence.of(facts)) if before else []


def _asked_on(session: Session, promotion: Promotion) -> evidence.Evidence:
    events = session.exec(
        select(AuditEvent.body)
        .where(AuditEvent.action == progress.ASKED, AuditEvent.application == promotion.application)
        .order_by(col(AuditEvent.seq).desc())
        .limit(50)
    )
    found = (json.loads(body)["facts"] for body in events)
    return next((dict(facts["asked_on"]) for facts in found if facts["promotion"] == promotion.id), {})


def _still_needed(facts: Facts, rules: Stage) -> str:
    missing = rules.approvals - len(readiness.counted_approvals(facts, rules))
    return f"It waits for {missing} more from other people." if missing > 0 else ""


def _decide(
    session: Session,
    promotion: Promotion,
    facts: Facts,
    actor: Person,
    clock: Clock,
    decision: Decision,
    comment: str,
    rules: Stage | None,
    own: bool,
) -> None:
    assert promotion.id is not None
    role = rules.approver_role if rules and actor.has(rules.approver_role) else sorted(actor.roles)[0]
    session.add(
        Approval(
            promotion_id=promotion.id,
            person=actor.name,
            role=role.value,
            decision=decision,
            comment=comment,
            self_approved=own and decision is Decision.APPROVED,
            evidence_digest=facts.evidence_digest,
            evidence=evidence.of(facts),
            replayed=clock.replayed,
            at=clock.now(),
            recorded_at=clocks.wall(),
        )
    )
    audit.record(
        session,
        actor=actor.name,
        action=f"promotion.{decision.value}",
        clock=clock,
        application=promotion.application,
        subject=f"{promotion.application}@{promotion.stage}",
        promotion=promotion.id,
        bundle=str(facts.ref),
        comment=comment,
        evidence=facts.evidence_digest,
        self_approved=own and decision is Decision.APPROVED,
    )

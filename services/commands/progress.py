"""How a promotion moves on, inside somebody's transaction. Nothing here commits; every caller holds the slot's lock.

requested -> gating -> awaiting_approval -> deploying -> succeeded, and the ways out of it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.errors import ConditionsNotMet
from services.rules import evidence, readiness
from services.rules.domain import (
    Action,
    Condition,
    DeploymentKind,
    DeploymentState,
    Phase,
    RunState,
    Verdict,
)
from services.rules.readiness import Facts
from services.store import audit, lookups
from services.store.facts import load_one
from services.store.models import Application, Bundle, Deployment, GateRun, Promotion, Slot

ASKED = "promotion.awaiting_approval"  # the event that says on what evidence an approval was asked


def action_of(promotion: Promotion) -> Action:
    if promotion.rollback:
        return Action.ROLL_BACK
    if promotion.adopted:
        return Action.ADOPT
    return Action.AUTO if promotion.automatic else Action.PROMOTE


def move(session: Session, promotion: Promotion, phase: Phase, clock: Clock, note: str = "") -> None:
    """Change the phase. The version goes up with every change, so that a page notices it looked at an older one."""
    promotion.phase = phase
    promotion.note = note
    promotion.version += 1
    if phase in _FINAL:
        promotion.finished_at = clock.now()
    session.add(promotion)
    session.flush()


_FINAL = frozenset(Phase) - {
    Phase.REQUESTED,
    Phase.GATING,
    Phase.AWAITING_APPROVAL,
    Phase.DEPLOYING,
    Phase.BLOCKED,
}


def queue_gates(
    session: Session,
    facts: Facts,
    *,
    clock: Clock,
    requested_by: str,
    promotion_id: int | None,
    gates: Collection[str],
) -> list[GateRun]:
    """Leave the intent that these gates run. The worker finds it; a story carries it out itself."""
    assert facts.policy is not None
    revision = revision_in_force(session, facts.application)
    runs = []
    for name in gates:
        definition = facts.policy.gates[name]
        run = GateRun(
            application=facts.application,
            stage=facts.stage,
            bundle_id=facts.bundle_id,
            promotion_id=promotion_id,
            gate=name,
            kind=definition.kind,
            mode=definition.mode,
            definition_digest=facts.policy.gate_digest(name),
            policy_revision=revision,
            live_bundle_id=facts.live.bundle_id if facts.live else None,
            state=RunState.QUEUED,
            requested_by=requested_by,
            requested_at=clock.now(),
            replayed=clock.replayed,
            recorded_at=clocks.wall(),
        )
        session.add(run)
        runs.append(run)
    session.flush()
    return runs


def facts_to_act_on(session: Session, bundle_id: int, stage: str) -> Facts:
    """Facts that stay true until the commit: the bundle's row is locked too, so that no quarantine slips in between."""
    lookups.locked_bundle(session, bundle_id)
    return load_one(session, bundle_id, stage)


def adopt_runs(session: Session, promotion: Promotion) -> None:
    """Runs of its gates that are under way already decide this promotion, whoever asked for them."""
    for run in session.exec(
        select(GateRun).where(
            GateRun.bundle_id == promotion.bundle_id,
            GateRun.stage == promotion.stage,
            GateRun.state != RunState.FINISHED,
        )
    ):
        run.promotion_id = promotion.id
        session.add(run)
    session.flush()


def revision_in_force(session: Session, application: str) -> int:
    return session.exec(select(Application.policy_revision).where(Application.name == application)).one() or 0


def advance(session: Session, slot: Slot, promotion: Promotion, clock: Clock) -> Phase:
    """Move a promotion as far as the facts allow. Returns where it now stands."""
    if promotion.phase not in (Phase.REQUESTED, Phase.GATING, Phase.AWAITING_APPROVAL) or promotion.rollback:
        return promotion.phase
    facts = facts_to_act_on(session, promotion.bundle_id, promotion.stage)
    if any(gate.state in (RunState.QUEUED, RunState.RUNNING) for gate in facts.gates):
        if promotion.phase is Phase.REQUESTED:
            move(session, promotion, Phase.GATING, clock)
        return promotion.phase
    found = {c.name: c for c in readiness.conditions(facts, action_of(promotion), clock.now())}
    if not found["stage"].met:  # a newer policy no longer has it
        _block(session, promotion, found["stage"], clock)
        return promotion.phase
    if promotion.phase is Phase.AWAITING_APPROVAL and _only_aged(facts, found["gates"]):
        return promotion.phase
    if not found["gates"].met:
        _block(session, promotion, found["gates"], clock)
    elif "approvals" in found and not found["approvals"].met:
        if promotion.phase is not Phase.AWAITING_APPROVAL:
            promotion.approval_opened_at = clock.now()
            move(session, promotion, Phase.AWAITING_APPROVAL, clock)
            _record(session, promotion, ASKED, clock, facts, asked_on=evidence.of(facts))
    elif missing := readiness.unmet(found.values()):
        _block(session, promotion, missing[0], clock)
    else:
        start_deployment(session, slot, promotion, facts, clock)
    return promotion.phase


def _only_aged(facts: Facts, gates: Condition) -> bool:
    """Evidence that merely grew old is run again by whoever wants to approve; it takes nothing back."""
    return not gates.met and all(gate.satisfied for gate in facts.gates if gate.enforcing)


def _block(session: Session, promotion: Promotion, condition: Condition, clock: Clock) -> None:
    move(session, promotion, Phase.BLOCKED, clock, condition.reason)
    _record(session, promotion, "promotion.blocked", clock, None, condition=condition.name, reason=condition.reason)


def start_deployment(session: Session, slot: Slot, promotion: Promotion, facts: Facts, clock: Clock) -> Deployment:
    """The first transaction of a deployment: ask everything again, take the slot's next generation, leave the intent.

    Raises ConditionsNotMet where anything changed in the meantime.
    """
    found = readiness.conditions(facts, action_of(promotion), clock.now(), overridden=promotion.override)
    if missing := readiness.unmet(found):
        raise ConditionsNotMet(f"{facts.ref} cannot go to {facts.stage} now.", missing)
    slot.generation += 1
    deployment = Deployment(
        application=promotion.application,
        stage=promotion.stage,
        bundle_id=promotion.bundle_id,
        promotion_id=promotion.id,
        state=DeploymentState.STARTED,
        kind=_kind(session, facts, promotion),
        declared_kind=promotion.declared_kind,
        planned=None if promotion.planned else False,  # only "unplanned" is ever said of a promotion
        fixes=promotion.fixes,
        blames=promotion.blames,
        drill=promotion.drill,
        adopted=promotion.adopted,
        generation=slot.generation,
        requested_at=promotion.requested_at,
        started_at=clock.now(),
        policy_revision=revision_in_force(session, promotion.application),
        replayed=clock.replayed,
        recorded_at=clocks.wall(),
    )
    session.add(deployment)
    session.flush()
    slot.pending_deployment_id = deployment.id
    session.add(slot)
    move(session, promotion, Phase.DEPLOYING, clock)
    _record(session, promotion, "deployment.started", clock, facts, deployment=deployment.id, kind=deployment.kind)
    return deployment


def _kind(session: Session, facts: Facts, promotion: Promotion) -> DeploymentKind:
    """From the order in which bundles first arrived at this stage, unless declared (METRICS, The events)."""
    if promotion.declared_kind:
        return promotion.declared_kind
    if facts.is_live:
        return DeploymentKind.REDEPLOY
    if not facts.was_live_here or facts.live is None:
        return DeploymentKind.RELEASE
    mine = _first_arrival(session, facts.bundle_id, facts.stage)
    theirs = _first_arrival(session, facts.live.bundle_id, facts.stage)
    return DeploymentKind.ROLLBACK if mine < theirs else DeploymentKind.REPROMOTION


def _first_arrival(session: Session, bundle_id: int, stage: str) -> tuple[datetime, int]:
    at, first = session.exec(
        select(func.min(Deployment.finished_at), func.min(Deployment.id)).where(
            Deployment.bundle_id == bundle_id,
            Deployment.stage == stage,
            Deployment.state == DeploymentState.SUCCEEDED,
        )
    ).one()
    assert at is not None
    assert first is not None
    return at, first


def supersede_blocked(session: Session, promotion: Promotion, clock: Clock) -> None:
    """An earlier try of the same bundle that a gate stopped gives way to the new one."""
    for older in session.exec(
        select(Promotion).where(
            Promotion.bundle_id == promotion.bundle_id,
            Promotion.stage == promotion.stage,
            Promotion.phase == Phase.BLOCKED,
            col(Promotion.id) != promotion.id,
        )
    ):
        move(session, older, Phase.SUPERSEDED, clock, f"Taken over by promotion {promotion.id}. {older.note}".strip())


def cancel_queued_gates(session: Session, promotion: Promotion, clock: Clock, why: str) -> None:
    """What nobody waits for any more is skipped, not run; a run under way still finishes and is kept."""
    for run in session.exec(
        select(GateRun).where(GateRun.promotion_id == promotion.id, GateRun.state == RunState.QUEUED)
    ):
        run.state, run.verdict, run.summary = RunState.FINISHED, Verdict.SKIPPED, f"Not run: {why}."
        run.finished_at = clock.now()
        session.add(run)
    session.flush()


def _record(
    session: Session, promotion: Promotion, action: str, clock: Clock, facts: Facts | None, **more: object
) -> None:
    number = session.exec(select(Bundle.number).where(Bundle.id == promotion.bundle_id)).one()
    audit.record(
        session,
        actor="headgate",
        action=action,
        clock=clock,
        application=promotion.application,
        subject=f"{promotion.application}@{promotion.stage}",
        promotion=promotion.id,
        bundle=f"{promotion.application}/{number}",
        **({"evidence": facts.evidence_digest} if facts else {}),
        **more,
    )

"""Gate runs: asked for by people, claimed and finished by whoever carries them out.

The run's row and its lease are the truth: a queue message may be lost or doubled without harm.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, update
from sqlmodel import Session, col, or_, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority, progress
from services.errors import BadInput, Conflict, Fenced, NotFound
from services.rules.digests import short
from services.rules.domain import (
    BundleRef,
    Component,
    GateOutcome,
    Person,
    Phase,
    RunState,
    SlotRef,
    Verdict,
)
from services.rules.readiness import Facts
from services.store import audit, lookups
from services.store.database import Store
from services.store.facts import load_one
from services.store.models import Bundle, Deployment, GateRun, PolicyRevision, Promotion, Slot

LEASE = timedelta(seconds=15)
ATTEMPTS = 3


def request(
    store: Store,
    ref: BundleRef,
    stage: str,
    *,
    actor: Person,
    clock: Clock,
    gates: Collection[str] | None = None,
) -> list[int]:
    """Ask that a stage's gates (None: all of them) run for a bundle. Returns the ids of the runs to watch.

    Gates that are queued or running already are not asked twice. A promotion that they blocked goes back to gating.
    """
    authority.require(actor, authority.MAKERS, "run gates")
    with store.writing() as session:
        bundle = lookups.bundle(session, ref)
        policy = lookups.required_policy(session, ref.application)
        lookups.required_stage(policy, stage)
        slot = lookups.locked_slot(session, SlotRef(ref.application, stage))
        assert bundle.id is not None
        facts = load_one(session, bundle.id, stage)
        wanted = _wanted(facts, gates)
        going = [g.run_id for g in facts.gates if g.gate in wanted and g.run_id and g.state in _UNDER_WAY]
        fresh = [g.gate for g in facts.gates if g.gate in wanted and g.state not in _UNDER_WAY]
        promotion = _waiting_promotion(session, facts)
        runs = progress.queue_gates(
            session,
            facts,
            clock=clock,
            requested_by=actor.name,
            promotion_id=promotion.id if promotion else None,
            gates=fresh,
        )
        if promotion and promotion.phase is Phase.BLOCKED and not facts.active:
            progress.move(session, promotion, Phase.GATING, clock)
        if runs:
            audit.record(
                session,
                actor=actor.name,
                action="gates.requested",
                clock=clock,
                application=ref.application,
                subject=str(ref),
                stage=stage,
                gates=fresh,
            )
        if promotion:
            progress.advance(session, slot, promotion, clock)
        return [*(run_id for run_id in going if run_id), *(run.id for run in runs if run.id is not None)]


_UNDER_WAY = (RunState.QUEUED, RunState.RUNNING)


def _wanted(facts: Facts, gates: Collection[str] | None) -> set[str]:
    demanded = {gate.gate for gate in facts.gates}
    if not demanded:
        raise BadInput(f"{facts.stage} of {facts.application} demands no gates.", "Add some to the policy's stage.")
    if gates is None:
        return demanded
    if unknown := sorted(set(gates) - demanded):
        raise BadInput(
            f"{facts.stage} of {facts.application} does not demand {', '.join(unknown)}.",
            f"Its gates are {', '.join(sorted(demanded))}.",
        )
    return set(gates)


def _waiting_promotion(session: Session, facts: Facts) -> Promotion | None:
    """The promotion these results decide: the bundle's own active one, else the last that a gate blocked.

    One that the stage has moved on from stays blocked: running gates must not bring an old bundle back by itself.
    """
    if facts.own_promotion:
        return lookups.promotion(session, facts.own_promotion.id)
    last_live = (
        select(func.max(Promotion.id))
        .where(
            Promotion.application == facts.application,
            Promotion.stage == facts.stage,
            Promotion.phase == Phase.SUCCEEDED,
        )
        .scalar_subquery()
    )
    return session.exec(
        select(Promotion)
        .where(
            Promotion.bundle_id == facts.bundle_id,
            Promotion.stage == facts.stage,
            Promotion.phase == Phase.BLOCKED,
            col(Promotion.id) > func.coalesce(last_live, 0),
        )
        .order_by(col(Promotion.id).desc())
    ).first()


@dataclass(frozen=True)
class Live:
    """What is live in the stage while a gate judges against it."""

    ref: BundleRef
    components: tuple[Component, ...]


@dataclass(frozen=True)
class Claim:
    """All that a gate needs to run, read in the claiming transaction. `definition` and `data` are the policy's JSON.

    `live` is None where nothing is live, and for a gate that compares nothing.
    """

    run_id: int
    owner: str
    gate: str
    application: str
    definition: dict[str, Any]
    data: dict[str, Any]
    directory: str
    components: tuple[Component, ...]
    metrics: dict[str, float]
    live: Live | None = None


def claim(store: Store, run_id: int, *, owner: str, clock: Clock) -> Claim | None:
    """Take a run that is queued, or whose worker died. None where somebody else has it, or it is over.

    A run that has lost its worker three times is finished as errored: it may be what kills them.
    """
    with store.writing() as session:
        run = session.get(GateRun, run_id)
        if run is None or run.state is RunState.FINISHED:
            return None
        slot = lookups.locked_slot(session, SlotRef(run.application, run.stage))
        session.refresh(run)
        if run.state is RunState.RUNNING and run.attempt >= ATTEMPTS and _lease_is_out(run):
            lost = f"Its worker was lost {ATTEMPTS} times while this gate ran; it is not tried again by itself."
            _end_unjudged(session, slot, run, GateOutcome(Verdict.ERRORED, lost), clock)
            return None
        taken = session.connection().execute(
            update(GateRun)
            .where(col(GateRun.id) == run_id, col(GateRun.state) != RunState.FINISHED, col(GateRun.attempt) < ATTEMPTS)
            .where(or_(col(GateRun.state) == RunState.QUEUED, col(GateRun.lease_until) < clocks.wall()))
            .values(
                state=RunState.RUNNING,
                attempt=GateRun.attempt + 1,
                lease_owner=owner,
                lease_until=clocks.wall() + LEASE,
                started_at=clock.now(),
                progress="starting",
            )
        )
        if taken.rowcount != 1:
            return None
        return _claimed(session, slot, run, owner, clock)


def _lease_is_out(run: GateRun) -> bool:
    return run.lease_until is None or run.lease_until < clocks.wall()


def _claimed(session: Session, slot: Slot, run: GateRun, owner: str, clock: Clock) -> Claim | None:
    session.refresh(run)
    policy = lookups.required_policy(session, run.application)
    if run.gate not in policy.gates:
        gone = f"The policy in force no longer has the gate {run.gate}."
        _end_unjudged(session, slot, run, GateOutcome(Verdict.SKIPPED, gone), clock)
        return None
    revision = session.exec(
        select(PolicyRevision)
        .where(PolicyRevision.application == run.application)
        .order_by(col(PolicyRevision.number).desc())
    ).first()
    assert revision is not None
    bundle = session.get(Bundle, run.bundle_id)
    assert bundle is not None
    assert run.id is not None
    # What is judged is the definition in force now, against what is live now: both may be newer than the request.
    definition, live = policy.gates[run.gate], _live_bundle(session, run)
    run.definition_digest, run.policy_revision = policy.gate_digest(run.gate), revision.number
    run.mode, run.live_bundle_id = definition.mode, live.id if live else None
    session.add(run)
    return Claim(
        run_id=run.id,
        owner=owner,
        gate=run.gate,
        application=run.application,
        definition=definition.model_dump(mode="json"),
        data=policy.data.model_dump(mode="json"),
        directory=revision.directory,
        components=lookups.components_of(session, run.bundle_id),
        metrics=bundle.metrics,
        live=_live(session, live) if live and definition.compares_with_live else None,
    )


def _live_bundle(session: Session, run: GateRun) -> Bundle | None:
    return session.exec(
        select(Bundle)
        .join(Deployment, col(Deployment.bundle_id) == col(Bundle.id))
        .join(Slot, col(Slot.live_deployment_id) == col(Deployment.id))
        .where(Slot.application == run.application, Slot.stage == run.stage)
    ).first()


def _live(session: Session, bundle: Bundle) -> Live:
    assert bundle.id is not None
    return Live(BundleRef(bundle.application, bundle.number or 0), lookups.components_of(session, bundle.id))


def keep(store: Store, run_id: int, *, owner: str, progress_text: str | None = None) -> bool:
    """Renew the lease, and say how far it is. False where the run is no longer this owner's."""
    values: dict[str, Any] = {"lease_until": clocks.wall() + LEASE}
    if progress_text is not None:
        values["progress"] = progress_text[:200]
    with store.writing() as session:
        done = session.connection().execute(
            update(GateRun)
            .where(col(GateRun.id) == run_id, col(GateRun.state) == RunState.RUNNING, col(GateRun.lease_owner) == owner)
            .values(**values)
        )
        return done.rowcount == 1


def finish(store: Store, run_id: int, outcome: GateOutcome, *, owner: str, clock: Clock) -> Phase | None:
    """Write the result and move its promotion on. Returns where that now stands. Raises Fenced where it was lost."""
    with store.writing() as session:
        run = session.get(GateRun, run_id)
        assert run is not None
        slot = lookups.locked_slot(session, SlotRef(run.application, run.stage))
        session.refresh(run)
        if run.state is not RunState.RUNNING or run.lease_owner != owner:
            raise Fenced(f"Gate run {run_id} was taken over by another worker; its result is the one that counts.")
        _write(session, run, outcome, clock)
        return _move_promotion(session, slot, run, clock)


def _write(session: Session, run: GateRun, outcome: GateOutcome, clock: Clock) -> None:
    run.state, run.verdict, run.summary = RunState.FINISHED, outcome.verdict, outcome.summary
    run.evidence, run.warnings, run.data_digest = outcome.evidence, list(outcome.warnings), outcome.data_digest
    run.finished_at, run.progress, run.lease_owner, run.lease_until = clock.now(), "", "", None
    session.add(run)
    number = session.exec(select(Bundle.number).where(Bundle.id == run.bundle_id)).one()
    audit.record(
        session,
        actor="headgate",
        action="gate.finished",
        clock=clock,
        application=run.application,
        subject=f"{run.application}/{number}",
        stage=run.stage,
        gate=run.gate,
        run=run.id,
        verdict=outcome.verdict.value,
        summary=outcome.summary,
        data=short(outcome.data_digest),
    )


def _move_promotion(session: Session, slot: Slot, run: GateRun, clock: Clock) -> Phase | None:
    if run.promotion_id is None:
        return None
    return progress.advance(session, slot, lookups.promotion(session, run.promotion_id), clock)


def _end_unjudged(session: Session, slot: Slot, run: GateRun, outcome: GateOutcome, clock: Clock) -> None:
    _write(session, run, outcome, clock)
    _move_promotion(session, slot, run, clock)


def waiting(store: Store, *, limit: int = 20) -> list[int]:
    """Runs that a worker should take: queued, or lost by theirs. A replayed story's are its teller's own."""
    with store.reading() as session:
        return list(
            session.exec(
                select(GateRun.id)  # type: ignore[arg-type]
                .where(col(GateRun.replayed).is_(False))
                .where(
                    or_(
                        col(GateRun.state) == RunState.QUEUED,
                        (col(GateRun.state) == RunState.RUNNING) & (col(GateRun.lease_until) < clocks.wall()),
                    )
                )
                .order_by(col(GateRun.id))
                .limit(limit)
            )
        )


def decide(store: Store, run_id: int, *, defect: bool, actor: Person, clock: Clock) -> None:
    """Say of a block whether it was right (`defect`) or a false one: what the catch rate is made of."""
    authority.require(actor, authority.MAKERS, "judge a gate's block")
    with store.writing() as session:
        run = session.get(GateRun, run_id)
        if run is None:
            raise NotFound(f"There is no gate run {run_id}.", "`headgate gate report` shows their numbers.")
        if run.state is not RunState.FINISHED or run.verdict in (Verdict.PASSED, Verdict.SKIPPED, None):
            raise Conflict(f"Gate run {run_id} blocked nothing.", "Only a block can be right or false.")
        run.decision, run.decided_by = ("defect" if defect else "false"), actor.name
        session.add(run)
        audit.record(
            session,
            actor=actor.name,
            action="gate.decided",
            clock=clock,
            application=run.application,
            subject=f"gate run {run_id}",
            gate=run.gate,
            decision=run.decision,
        )

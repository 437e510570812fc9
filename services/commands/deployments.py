"""The record of a deployment: the lease on its slot, and the transaction that ends it.

MLflow has no compare-and-set, so the right to write a slot's aliases is a lease, looked at before every call, and the
last transaction is fenced by the slot's generation. Lease times are the wall's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func
from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.commands.progress import move
from services.errors import Fenced
from services.rules.domain import BundleRef, Component, DeploymentState, Phase, SlotRef
from services.store import audit, lookups
from services.store.database import Store
from services.store.models import AuditEvent, Bundle, Deployment, Mover, Slot

# Three times what a call to MLflow may take (its time limit of 3 s, one retry), and a margin.
LEASE = timedelta(seconds=20)
MADE_AGAIN = "bundle.version_made_again"
LATE_WRITE = timedelta(days=1)  # a process that stalls longer than this has been ended by somebody
LEAST_LEFT = 0.3  # of the lease, before a call to MLflow may begin


@dataclass(frozen=True)
class Target:
    """What a slot's aliases should say, and under which generation."""

    slot: SlotRef
    generation: int
    deployment_id: int
    bundle_id: int
    ref: BundleRef
    digest: str
    registry_version: str | None
    components: tuple[Component, ...]
    pending: bool


def pending(store: Store, *, replayed: bool | None = False, limit: int = 50) -> list[int]:
    """Deployments that are started and that nobody is carrying out. `replayed` None: a story's as well."""
    with store.reading() as session:
        statement = (
            select(Deployment.id, Slot.lease_until)
            .join(Slot, col(Slot.pending_deployment_id) == col(Deployment.id))
            .where(Deployment.state == DeploymentState.STARTED)
            .order_by(col(Deployment.id))
            .limit(limit)
        )
        if replayed is not None:
            statement = statement.where(Deployment.replayed == replayed)
        rows = session.exec(statement).all()
        now = clocks.wall()
        return [id_ for id_, until in rows if id_ is not None and (until is None or until < now)]


def slots(store: Store, *, stories: bool = False) -> list[SlotRef]:
    """All slots in which something is live or on its way, except where a story's deployment is (with `stories`: all).

    What a story left started is its teller's own, and gets the story's time.
    """
    with store.reading() as session:
        rows = session.exec(
            select(Slot.application, Slot.stage, Deployment.replayed)
            .outerjoin(Deployment, col(Deployment.id) == col(Slot.pending_deployment_id))
            .where(col(Slot.live_deployment_id).is_not(None) | col(Slot.pending_deployment_id).is_not(None))
            .order_by(col(Slot.application), col(Slot.stage))
        )
        return [SlotRef(application, stage) for application, stage, told in rows if stories or not told]


def slot_of(store: Store, deployment_id: int) -> SlotRef:
    with store.reading() as session:
        row = session.get(Deployment, deployment_id)
        assert row is not None
        return SlotRef(row.application, row.stage)


def take_lease(store: Store, ref: SlotRef, *, owner: str) -> Target | None:
    """The right to write this slot's aliases, and what they should say. None where somebody else has it.

    The target is the pending deployment, else what is live; with neither there is nothing to write, which is None too.
    """
    with store.writing() as session:
        slot = lookups.locked_slot(session, ref)
        now = clocks.wall()
        if slot.lease_owner and slot.lease_owner != owner and slot.lease_until and slot.lease_until > now:
            return None
        deployment_id = slot.pending_deployment_id or slot.live_deployment_id
        if deployment_id is None:
            return None
        slot.lease_owner, slot.lease_until = owner, now + LEASE
        session.add(slot)
        return _target(session, slot, deployment_id)


def busy(store: Store, ref: SlotRef) -> bool:
    """Whether somebody holds the slot's lease this moment."""
    with store.reading() as session:
        slot = session.get(Slot, (ref.application, ref.stage))
        return bool(slot and slot.lease_owner and slot.lease_until and slot.lease_until > clocks.wall())


def _target(session: Session, slot: Slot, deployment_id: int) -> Target:
    deployment = session.get(Deployment, deployment_id)
    assert deployment is not None
    bundle = session.get(Bundle, deployment.bundle_id)
    assert bundle is not None
    return Target(
        slot=SlotRef(slot.application, slot.stage),
        generation=slot.generation,
        deployment_id=deployment_id,
        bundle_id=deployment.bundle_id,
        ref=BundleRef(bundle.application, bundle.number or 0),
        digest=bundle.digest,
        registry_version=bundle.registry_version,
        components=lookups.components_of(session, deployment.bundle_id),
        pending=slot.pending_deployment_id is not None,
    )


def check_lease(store: Store, target: Target, *, owner: str) -> None:
    """Before each call to MLflow. Renews what is nearly used up. Raises Fenced where the right is lost."""
    with store.reading() as session:
        slot = session.get(Slot, (target.slot.application, target.slot.stage))
        assert slot is not None
        if slot.generation != target.generation or slot.lease_owner != owner or slot.lease_until is None:
            raise _taken_over(target)
        left = slot.lease_until - clocks.wall()
    if left > LEASE * LEAST_LEFT:
        return
    if left <= timedelta(0):
        raise Fenced(f"The lease on {target.slot} ran out while {target.ref} was on its way.")
    with store.writing() as session:
        slot = lookups.locked_slot(session, target.slot)
        if slot.generation != target.generation or slot.lease_owner != owner:
            raise _taken_over(target)
        slot.lease_until = clocks.wall() + LEASE
        session.add(slot)


def release_lease(store: Store, ref: SlotRef, *, owner: str) -> None:
    with store.writing() as session:
        slot = lookups.locked_slot(session, ref)
        if slot.lease_owner == owner:
            slot.lease_owner, slot.lease_until = "", None
            session.add(slot)


def name_registry_version(store: Store, target: Target, version: str, *, clock: Clock) -> None:
    """Remember which version of bundle.<application> this bundle is. The digest stays its identity.

    Where it had one before, MLflow lost that, which explains what the aliases of other slots say. A restored MLflow
    may well give the same number again.
    """
    with store.writing() as session:
        bundle = lookups.locked_bundle(session, target.bundle_id)
        was, bundle.registry_version = bundle.registry_version, version
        session.add(bundle)
        if was is not None:
            audit.record(
                session,
                actor="headgate",
                action=MADE_AGAIN,
                clock=clock,
                application=target.ref.application,
                subject=str(target.ref),
                was=was,
                version=version,
            )


def made_again_since(store: Store, target: Target) -> bool:
    """Whether the bundle's version was made again after this slot's aliases were last written."""
    with store.reading() as session:
        written = session.exec(
            select(func.max(Mover.began_at)).where(Mover.deployment_id == target.deployment_id)
        ).one_or_none()
        made = session.exec(
            select(func.max(AuditEvent.recorded_at)).where(
                AuditEvent.action == MADE_AGAIN, AuditEvent.subject == str(target.ref)
            )
        ).one_or_none()
        return made is not None and (written is None or written < made)


@dataclass(frozen=True)
class _Held:
    """What the holder of a slot's lease may change, in one transaction."""

    session: Session
    slot: Slot
    deployment: Deployment

    def give_back(self) -> None:
        """Nothing is on its way any more, and nobody holds the lease."""
        self.slot.pending_deployment_id, self.slot.lease_owner, self.slot.lease_until = None, "", None


@contextmanager
def _holding(store: Store, target: Target, owner: str) -> Iterator[_Held]:
    """Raises Fenced where the slot, the lease or the deployment is not this owner's any more."""
    with store.writing() as session:
        slot = lookups.locked_slot(session, target.slot)
        deployment = session.get(Deployment, target.deployment_id)
        assert deployment is not None
        mine = slot.generation == target.generation and slot.pending_deployment_id == deployment.id
        if not mine or slot.lease_owner != owner or deployment.state is not DeploymentState.STARTED:
            raise _taken_over(target)
        session.add(slot)
        session.add(deployment)
        yield _Held(session, slot, deployment)


def _taken_over(target: Target) -> Fenced:
    return Fenced(f"{target.slot} was taken over while {target.ref} was on its way.")


def mark_writing(store: Store, target: Target, *, owner: str, clock: Clock) -> None:
    """From here on the deployment may have served, whatever becomes of it. The lease begins anew.

    Raises Fenced where the right to write is lost.
    """
    with _holding(store, target, owner) as held:
        held.slot.lease_until = clocks.wall() + LEASE
        if held.deployment.writing_since is None:
            held.deployment.writing_since = clock.now()
        _begin_moving(held.session, target, owner)


def complete(store: Store, target: Target, *, owner: str, clock: Clock, note: str = "") -> None:
    """The last transaction: the slot moves, by compare-and-set on its generation. Raises Fenced where it was lost."""
    with _holding(store, target, owner) as held:
        session, slot, deployment, now = held.session, held.slot, held.deployment, clock.now()
        _supersede_live(session, slot, now)
        deployment.state, deployment.finished_at, deployment.note = DeploymentState.SUCCEEDED, now, note
        slot.live_deployment_id = deployment.id
        held.give_back()
        lifted = ""
        if deployment.promotion_id:
            promotion = lookups.promotion(session, deployment.promotion_id)
            if slot.hold_since and not promotion.rollback and not promotion.automatic:
                lifted, slot.hold_reason, slot.hold_by, slot.hold_since = slot.hold_reason, "", "", None
            move(session, promotion, Phase.SUCCEEDED, clock, note)
        _end_moving(session, owner)
        _record(session, target, "deployment.succeeded", clock, hold_lifted=lifted or None)


def _supersede_live(session: Session, slot: Slot, now: datetime) -> None:
    if slot.live_deployment_id is not None:
        before = session.get(Deployment, slot.live_deployment_id)
        assert before is not None
        before.superseded_at = now
        session.add(before)
        session.flush()  # the index allows one live deployment: the old one goes first


def fail(store: Store, target: Target, *, owner: str, clock: Clock, reason: str) -> None:
    """The registry said a definite no to the bundle alias: nothing was moved, what was live stays live."""
    with _holding(store, target, owner) as held:
        deployment = held.deployment
        deployment.state, deployment.finished_at, deployment.note = DeploymentState.FAILED, clock.now(), reason
        held.give_back()
        if deployment.promotion_id:
            promotion = lookups.promotion(held.session, deployment.promotion_id)
            move(held.session, promotion, Phase.FAILED, clock, reason)
        _record(held.session, target, "deployment.failed", clock, reason=reason)


def note_trouble(store: Store, target: Target, *, owner: str, note: str) -> None:
    """It stays started and keeps the slot; the page shows why. Tried again by reconcile."""
    with store.writing() as session:
        slot = lookups.locked_slot(session, target.slot)
        deployment = session.get(Deployment, target.deployment_id)
        assert deployment is not None
        if slot.lease_owner == owner:
            slot.lease_owner, slot.lease_until = "", None
            session.add(slot)
        if deployment.state is DeploymentState.STARTED:
            deployment.note = note
            session.add(deployment)


def record_repair(store: Store, target: Target, *, clock: Clock, repaired: list[str], why: str) -> None:
    """Aliases that Headgate put right, with the reason."""
    with store.writing() as session:
        _record(session, target, "aliases.repaired", clock, repaired=repaired, why=why)


def _record(session: Session, target: Target, action: str, clock: Clock, **facts: object) -> None:
    audit.record(
        session,
        actor="headgate",
        action=action,
        clock=clock,
        application=target.slot.application,
        subject=str(target.slot),
        deployment=target.deployment_id,
        bundle=str(target.ref),
        **facts,
    )


def begin_repair(store: Store, target: Target, *, owner: str) -> None:
    """Before writing a slot's aliases again: should this process stall, its late write is known as Headgate's own."""
    with store.writing() as session:
        _begin_moving(session, target, owner)


def end_moving(store: Store, *, owner: str) -> None:
    """This owner writes nothing any more, whatever became of it."""
    with store.writing() as session:
        _end_moving(session, owner)


def _end_moving(session: Session, owner: str) -> None:
    for mover in session.exec(select(Mover).where(Mover.owner == owner, col(Mover.ended_at).is_(None))):
        mover.ended_at = clocks.wall()
        session.add(mover)


def _begin_moving(session: Session, target: Target, owner: str) -> None:
    session.add(
        Mover(
            application=target.slot.application,
            stage=target.slot.stage,
            owner=owner,
            deployment_id=target.deployment_id,
            began_at=clocks.wall(),
        )
    )


def unreported_intents(store: Store, ref: SlotRef) -> set[str]:
    """Registry versions that a mover of ours, which never said that it ended, may still write into this slot."""
    with store.reading() as session:
        rows = session.exec(
            select(Bundle.registry_version)
            .join(Deployment, col(Deployment.bundle_id) == col(Bundle.id))
            .join(Mover, col(Mover.deployment_id) == col(Deployment.id))
            .where(
                Mover.application == ref.application,
                Mover.stage == ref.stage,
                col(Mover.ended_at).is_(None),
                col(Mover.began_at) > clocks.wall() - LATE_WRITE,
                col(Bundle.registry_version).is_not(None),
            )
        )
        return {version for version in rows if version}


def bundle_with_digest(store: Store, application: str, digest: str) -> BundleRef | None:
    with store.reading() as session:
        number = session.exec(
            select(Bundle.number).where(Bundle.application == application, Bundle.digest == digest)
        ).one_or_none()
        return BundleRef(application, number) if number else None

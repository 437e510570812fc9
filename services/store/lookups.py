"""Finding rows by the names people use, with an answer they can act on where there is none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, true
from sqlmodel import Session, col, select

from services.errors import NotFound
from services.rules.domain import BundleRef, Component, DeploymentState, SlotRef
from services.rules.policy import Policy, Stage
from services.store.facts import gate_facts, policy_in_force
from services.store.models import Bundle, ComponentRow, Deployment, Promotion, Slot


def bundle(session: Session, ref: BundleRef) -> Bundle:
    row = session.exec(
        select(Bundle).where(Bundle.application == ref.application, Bundle.number == ref.number)
    ).one_or_none()
    if row is None:
        policy_in_force(session, ref.application)  # says so where it is the application that does not exist
        raise NotFound(f"There is no bundle {ref}.", f"`headgate bundle list {ref.application}` lists those there are.")
    return row


def promotion(session: Session, promotion_id: int) -> Promotion:
    row = session.get(Promotion, promotion_id)
    if row is None:
        raise NotFound(f"There is no promotion {promotion_id}.", "`headgate status` shows those under way.")
    return row


def required_policy(session: Session, application: str) -> Policy:
    policy = policy_in_force(session, application)
    if policy is None:
        raise NotFound(f"{application} has no policy.", "Apply one: `headgate apply policy.toml`.")
    return policy


def required_stage(policy: Policy, stage: str) -> Stage:
    found = policy.stage(stage)
    if found is None:
        names = ", ".join(s.name for s in policy.stages)
        raise NotFound(f"{policy.name} has no stage {stage!r}.", f"Its stages are {names}.")
    return found


def locked_bundle(session: Session, bundle_id: int) -> Bundle:
    """The bundle's row as it is now, which nobody changes until the commit: a quarantine waits, or is seen."""
    return session.exec(
        select(Bundle).where(Bundle.id == bundle_id).with_for_update().execution_options(populate_existing=True)
    ).one()


def locked_slot(session: Session, ref: SlotRef) -> Slot:
    """The slot's row, locked until the commit. Every command that moves something in a slot takes it first."""
    row = session.exec(
        select(Slot)
        .where(Slot.application == ref.application, Slot.stage == ref.stage)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        required_stage(required_policy(session, ref.application), ref.stage)
        raise NotFound(f"{ref} is not prepared.", "Apply the policy again.")
    return row


def generation(session: Session, ref: SlotRef) -> int:
    """The slot's generation now: what a later command compares with."""
    return session.exec(
        select(Slot.generation).where(Slot.application == ref.application, Slot.stage == ref.stage)
    ).one()


@dataclass(frozen=True)
class Candidate:
    """A bundle that was live in a stage before. `blamed`: a rollback took it away, so it is not where to go back to."""

    bundle_id: int
    ref: BundleRef
    last_live_at: datetime
    left_at: datetime | None
    verified: bool
    checked: bool
    quarantined: bool
    blamed: bool

    @property
    def safe_choice(self) -> bool:
        """Verified, or came through a stage that checks nothing; and nobody has said a word against it."""
        return (self.verified or not self.checked) and not self.quarantined and not self.blamed


def rollback_candidates(session: Session, slot: SlotRef, limit: int = 20) -> list[Candidate]:
    """Bundles that were live here, the one that left last first.

    What is live is among them, and first, only while another deployment is on its way: going back then undoes that.
    """
    here = session.get(Slot, (slot.application, slot.stage))
    under_way = here is not None and here.pending_deployment_id is not None
    latest = (
        select(func.max(Deployment.id))
        .where(
            Deployment.application == slot.application,
            Deployment.stage == slot.stage,
            Deployment.state == DeploymentState.SUCCEEDED,
        )
        .group_by(col(Deployment.bundle_id))
    )
    rows = session.exec(
        select(Deployment, Bundle)
        .join(Bundle, col(Bundle.id) == col(Deployment.bundle_id))
        .where(col(Deployment.id).in_(latest), true() if under_way else col(Deployment.superseded_at).is_not(None))
        .order_by(col(Deployment.id).desc())
        .limit(limit)
    ).all()
    policy = policy_in_force(session, slot.application)
    judged = gate_facts(session, policy, [row.bundle_id for row, _ in rows]) if policy and rows else {}
    blamed = _blamed(session, slot)
    found = []
    for deployment, row in rows:
        assert deployment.finished_at is not None
        gates = [gate for gate in judged.get((deployment.bundle_id, slot.stage), ()) if gate.enforcing]
        candidate = Candidate(
            bundle_id=deployment.bundle_id,
            ref=BundleRef(row.application, row.number or 0),
            last_live_at=deployment.finished_at,
            left_at=deployment.superseded_at,
            verified=bool(gates) and all(gate.passed_once for gate in gates),
            checked=bool(gates),
            quarantined=row.quarantined_at is not None,
            blamed=deployment.bundle_id in blamed,
        )
        found.append(candidate)
    return found


def best_candidate(candidates: list[Candidate]) -> Candidate | None:
    """The one to preselect: the last that was live, is verified and has nothing against it."""
    return next((candidate for candidate in candidates if candidate.safe_choice), None)


def _blamed(session: Session, slot: SlotRef) -> set[int]:
    """Bundles whose latest arrival here was taken back by a rollback. One that was promoted again since is forgiven."""
    blames = (
        select(Deployment.blames)
        .where(
            Deployment.application == slot.application,
            Deployment.stage == slot.stage,
            Deployment.state == DeploymentState.SUCCEEDED,
            col(Deployment.blames).is_not(None),
        )
        .scalar_subquery()
    )
    latest = (
        select(func.max(Deployment.id))
        .where(
            Deployment.application == slot.application,
            Deployment.stage == slot.stage,
            Deployment.state == DeploymentState.SUCCEEDED,
        )
        .group_by(col(Deployment.bundle_id))
    )
    rows = session.exec(
        select(Deployment.bundle_id).where(col(Deployment.id).in_(latest), col(Deployment.id).in_(blames))
    )
    return set(rows)


def components_of_many(session: Session, bundle_ids: Collection[int]) -> dict[int, tuple[Component, ...]]:
    """The components of many bundles, in the order of their kinds. One statement."""
    found: dict[int, list[Component]] = defaultdict(list)
    for row in session.exec(
        select(ComponentRow).where(col(ComponentRow.bundle_id).in_(list(bundle_ids))).order_by(col(ComponentRow.id))
    ):
        found[row.bundle_id].append(Component(row.kind, row.name, row.version, row.uri, row.digest, row.details))
    return {bundle_id: tuple(components) for bundle_id, components in found.items()}


def components_of(session: Session, bundle_id: int) -> tuple[Component, ...]:
    return components_of_many(session, [bundle_id]).get(bundle_id, ())

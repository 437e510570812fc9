"""What enters a later stage by itself: the bundle that is live in the stage before, once all that it needs is met.

A first stage with `auto` is entered when a bundle is registered (`bundles.register`). A later one is looked at again
and again, since soaking, a hold and a freeze end with time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from sqlalchemy import exists
from sqlmodel import Session, col, select

from services.clock import Clock
from services.commands import promotions
from services.errors import Refused
from services.rules import readiness
from services.rules.domain import Action, SlotRef
from services.store import lookups
from services.store.database import Store
from services.store.facts import load_one, parsed
from services.store.models import Application, Deployment, PolicyRevision, Promotion, Slot


def enter(store: Store, *, clock: Clock) -> list[int]:
    """Ask for what may enter by itself. Returns the promotions.

    A bundle enters a stage by itself once at most: what somebody took back does not come again.
    """
    with store.reading() as session:
        wanted = [(slot, bundle) for slot, bundle in _candidates(session) if _may_enter(session, slot, bundle, clock)]
    entered = (_entered(store, slot, bundle_id, clock) for slot, bundle_id in wanted)
    return [promotion for promotion in entered if promotion is not None]


def _candidates(session: Session) -> Iterator[tuple[SlotRef, int]]:
    """For every later stage with `auto`, what is live in the stage before and was never asked for in this one."""
    policies = session.exec(
        select(Application.name, PolicyRevision.toml).join(
            PolicyRevision,
            (col(PolicyRevision.application) == col(Application.name))
            & (col(PolicyRevision.number) == col(Application.policy_revision)),
        )
    )
    for application, toml in policies.all():
        policy = parsed(toml)
        for before, stage in pairwise(policy.stages):
            if stage.auto and (bundle_id := _live_and_new(session, application, before.name, stage.name)):
                yield SlotRef(application, stage.name), bundle_id


def _live_and_new(session: Session, application: str, before: str, stage: str) -> int | None:
    asked_for = exists().where(col(Promotion.bundle_id) == col(Deployment.bundle_id), col(Promotion.stage) == stage)
    return session.exec(
        select(Deployment.bundle_id)
        .join(Slot, col(Slot.live_deployment_id) == col(Deployment.id))
        .where(
            Slot.application == application,
            Slot.stage == before,
            col(Deployment.replayed).is_(False),  # a story tells itself what enters when
            ~asked_for,
        )
    ).one_or_none()


def _may_enter(session: Session, slot: SlotRef, bundle_id: int, clock: Clock) -> bool:
    found = readiness.conditions(load_one(session, bundle_id, slot.stage), Action.AUTO, clock.now())
    return not readiness.unmet(found, ignoring=readiness.ANSWERED_ON_THE_WAY)


def _entered(store: Store, slot: SlotRef, bundle_id: int, clock: Clock) -> int | None:
    try:
        with store.writing() as session:
            locked = lookups.locked_slot(session, slot)
            if session.exec(
                select(Promotion.id).where(Promotion.bundle_id == bundle_id, Promotion.stage == slot.stage)
            ).first():
                return None
            promotion, _ = promotions.enter_automatically(session, locked, bundle_id, slot.stage, clock)
            return promotion
    except Refused:
        return None  # somebody was faster; what then stands is looked at the next time

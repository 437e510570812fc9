"""Aliases that somebody moved outside Headgate: noted, and put right or taken over once somebody has chosen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority, progress
from services.errors import BadInput, Conflict
from services.rules.domain import BundleRef, Person, Phase, Role, SlotRef
from services.rules.readiness import Facts
from services.store import audit, lookups
from services.store.database import Store
from services.store.facts import load_one
from services.store.models import Promotion
from services.store.trouble import Stray


class Choice(StrEnum):
    RESTORE = "restore"
    ADOPT = "adopt"


@dataclass(frozen=True)
class Chosen:
    """What somebody chose to do about a stray, for whoever carries it out."""

    stray_id: int
    slot: SlotRef
    says: str
    choice: Choice
    person: str
    reason: str


def note(store: Store, slot: SlotRef, *, alias: str, says: str, should_say: str, finding: str, clock: Clock) -> None:
    """Remember a stray. The same finding again changes nothing; another value of the alias is another stray."""
    with store.writing() as session:
        for row in _open(session, slot):
            if (row.alias, row.says, row.should_say) == (alias, says, should_say):
                return
            row.closed_at = clocks.wall()
            session.add(row)
        session.add(
            Stray(
                application=slot.application,
                stage=slot.stage,
                alias=alias,
                says=says,
                should_say=should_say,
                finding=finding,
                found_at=clock.now(),
                recorded_at=clocks.wall(),
            )
        )
        audit.record(
            session,
            actor="headgate",
            action="alias.moved_outside",
            clock=clock,
            application=slot.application,
            subject=str(slot),
            alias=alias,
            says=says,
            should_say=should_say,
        )


def close(store: Store, slot: SlotRef, *, clock: Clock) -> None:
    """Everything agrees again. Writes nothing where nothing was open."""
    with store.reading() as session:
        if not _open(session, slot):
            return
    with store.writing() as session:
        rows = _open(session, slot)
        for row in rows:
            row.closed_at = clocks.wall()
            session.add(row)
        for row in rows:
            audit.record(
                session,
                actor="headgate",
                action="alias.agrees_again",
                clock=clock,
                application=slot.application,
                subject=str(slot),
                alias=row.alias,
                strayed_to=row.says,
                choice=row.choice or None,
                chosen_by=row.chosen_by or None,
            )


def _open(session: Session, slot: SlotRef) -> list[Stray]:
    return list(
        session.exec(
            select(Stray).where(
                Stray.application == slot.application, Stray.stage == slot.stage, col(Stray.closed_at).is_(None)
            )
        )
    )


def choose(store: Store, slot: SlotRef, choice: Choice, *, actor: Person, clock: Clock, reason: str = "") -> int:
    """Restore what the record says (a lead), or adopt what the alias says (an admin, with a reason).

    Leaves the intent; a worker carries it out. Raises Conflict where nothing strays.
    """
    if choice is Choice.ADOPT:
        authority.require(actor, (Role.ADMIN,), "adopt what was moved outside Headgate")
        reason = authority.reason_given(reason, "Adopting")
    else:
        authority.require(actor, authority.LEADS, "restore an alias")
    with store.writing() as session:
        lookups.locked_slot(session, slot)
        rows = _open(session, slot)
        if not rows:
            raise Conflict(f"No alias of {slot} strays.", "`headgate reconcile` looks at them all again.")
        row = rows[0]
        row.choice, row.chosen_by, row.chosen_at, row.reason = choice.value, actor.name, clock.now(), reason.strip()
        row.trouble = ""
        session.add(row)
        audit.record(
            session,
            actor=actor.name,
            action=f"alias.{choice.value}_chosen",
            clock=clock,
            application=slot.application,
            subject=str(slot),
            alias=row.alias,
            says=row.says,
            reason=row.reason,
        )
        assert row.id is not None
        return row.id


def chosen(store: Store, *, limit: int = 20) -> list[Chosen]:
    """What waits to be carried out. One that ran into trouble waits for somebody to choose again."""
    with store.reading() as session:
        rows = session.exec(
            select(Stray)
            .where(col(Stray.closed_at).is_(None), Stray.choice != "", Stray.trouble == "")
            .order_by(col(Stray.id))
            .limit(limit)
        )
        return [
            Chosen(row.id, SlotRef(row.application, row.stage), row.says, Choice(row.choice), row.chosen_by, row.reason)
            for row in rows
            if row.id is not None
        ]


def tell_trouble(store: Store, stray_id: int, trouble: str) -> None:
    with store.writing() as session:
        row = session.get(Stray, stray_id)
        assert row is not None
        row.trouble = trouble
        session.add(row)


def adopt(store: Store, choice: Chosen, ref: BundleRef, *, clock: Clock) -> int:
    """Record what was moved as a deployment by an unknown hand. Its aliases are then written as after any other.

    Raises Conflict where a promotion is on its way there. Returns the promotion's id.
    """
    with store.writing() as session:
        slot = lookups.locked_slot(session, choice.slot)
        bundle = lookups.bundle(session, ref)
        assert bundle.id is not None
        facts = load_one(session, bundle.id, choice.slot.stage)
        if facts.active:
            raise Conflict(
                f"{facts.active.ref} is on its way to {choice.slot.stage}.", "Decide or withdraw it, then adopt."
            )
        if facts.rules is None:
            raise BadInput(f"The policy has no stage {choice.slot.stage!r} any more.", "Restore the alias instead.")
        promotion = _adoption(session, choice, facts, clock)
        progress.start_deployment(session, slot, promotion, facts, clock)
        row = session.get(Stray, choice.stray_id)
        assert row is not None
        row.closed_at = clocks.wall()
        session.add(row)
        assert promotion.id is not None
        return promotion.id


def _adoption(session: Session, choice: Chosen, facts: Facts, clock: Clock) -> Promotion:
    promotion = Promotion(
        application=facts.application,
        stage=facts.stage,
        bundle_id=facts.bundle_id,
        adopted=True,
        phase=Phase.REQUESTED,
        requested_by=choice.person,
        requested_at=clock.now(),
        policy_revision=progress.revision_in_force(session, facts.application),
        reason=choice.reason,
        planned=False,
        replayed=clock.replayed,
        recorded_at=clocks.wall(),
    )
    session.add(promotion)
    session.flush()
    return promotion

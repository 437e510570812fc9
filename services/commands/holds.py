"""Holding a stage: automation stays out, people may still promote. A rollback sets one by itself."""

from __future__ import annotations

from services.clock import Clock
from services.commands import authority
from services.errors import Conflict
from services.rules.domain import Person, SlotRef
from services.store import audit, lookups
from services.store.database import Store


def set_(store: Store, slot: SlotRef, *, actor: Person, clock: Clock, reason: str) -> None:
    """Keep automation out of the stage. Raises Conflict where it is held already."""
    authority.require(actor, authority.LEADS, "hold a stage")
    said = authority.reason_given(reason, "A hold")
    with store.writing() as session:
        row = lookups.locked_slot(session, slot)
        if row.hold_since is not None:
            raise Conflict(f"{slot} is held already, by {row.hold_by}: {row.hold_reason}", "Nothing needs to be done.")
        row.hold_reason, row.hold_by, row.hold_since = said, actor.name, clock.now()
        session.add(row)
        audit.record(
            session,
            actor=actor.name,
            action="hold.set",
            clock=clock,
            application=slot.application,
            subject=str(slot),
            reason=said,
        )


def lift(store: Store, slot: SlotRef, *, actor: Person, clock: Clock, reason: str = "") -> None:
    """Let automation into the stage again."""
    authority.require(actor, authority.LEADS, "lift a hold")
    with store.writing() as session:
        row = lookups.locked_slot(session, slot)
        if row.hold_since is None:
            raise Conflict(f"There is no hold on {slot}.", "Nothing needs to be done.")
        was = row.hold_reason
        row.hold_reason, row.hold_by, row.hold_since = "", "", None
        session.add(row)
        audit.record(
            session,
            actor=actor.name,
            action="hold.lifted",
            clock=clock,
            application=slot.application,
            subject=str(slot),
            was=was,
            reason=reason.strip(),
        )

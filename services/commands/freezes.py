"""Freezing a stage: nothing is promoted into it for a while. The way back stays open."""

from __future__ import annotations

from datetime import datetime

from services.clock import Clock
from services.commands import authority
from services.errors import BadInput, Conflict
from services.rules.domain import Person, SlotRef
from services.store import audit, lookups
from services.store.database import Store


def set_(
    store: Store,
    slot: SlotRef,
    *,
    actor: Person,
    clock: Clock,
    reason: str,
    begins: datetime | None = None,
    ends: datetime | None = None,
) -> None:
    """Freeze from `begins` (None: now) until `ends` (None: until it is lifted). Replaces an earlier freeze."""
    authority.require(actor, authority.LEADS, "freeze a stage")
    said = authority.reason_given(reason, "A freeze")
    start = begins or clock.now()
    if ends is not None and ends <= start:
        raise BadInput("The freeze would end before it begins.", "Give an end after its beginning.")
    if ends is not None and ends <= clock.now():
        raise BadInput("The freeze would be over already.", "Give an end in the future.")
    with store.writing() as session:
        row = lookups.locked_slot(session, slot)
        row.freeze_reason, row.freeze_by, row.freeze_from, row.freeze_until = said, actor.name, start, ends
        session.add(row)
        audit.record(
            session,
            actor=actor.name,
            action="freeze.set",
            clock=clock,
            application=slot.application,
            subject=str(slot),
            reason=said,
            begins=start.isoformat(),
            ends=ends.isoformat() if ends else None,
        )


def lift(store: Store, slot: SlotRef, *, actor: Person, clock: Clock, reason: str = "") -> None:
    """End a freeze before its time. Raises Conflict where there is none."""
    authority.require(actor, authority.LEADS, "lift a freeze")
    with store.writing() as session:
        row = lookups.locked_slot(session, slot)
        if row.freeze_from is None or (row.freeze_until and row.freeze_until <= clock.now()):
            raise Conflict(f"{slot} is not frozen.", "Nothing needs to be done.")
        was = row.freeze_reason
        row.freeze_reason, row.freeze_by, row.freeze_from, row.freeze_until = "", "", None, None
        session.add(row)
        audit.record(
            session,
            actor=actor.name,
            action="freeze.lifted",
            clock=clock,
            application=slot.application,
            subject=str(slot),
            was=was,
            reason=reason.strip(),
        )

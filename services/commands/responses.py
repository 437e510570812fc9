"""Opening an incident on what is live, with what is done about it at once: roll back, quarantine, hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.clock import Clock
from services.commands import bundles, holds, incidents, rollbacks
from services.commands.incidents import Report
from services.errors import HeadgateError
from services.rules.domain import Blame, BundleRef, Cause, Person, SlotRef
from services.store.database import Store


@dataclass(frozen=True)
class Response:
    """What is done at once. A rollback sets a hold by itself. `generation` is what the page saw of the slot."""

    slot: SlotRef
    back_to: BundleRef | None = None
    generation: int | None = None
    quarantine: BundleRef | None = None
    hold: bool = False


def open_and_respond(
    store: Store,
    response: Response,
    *,
    actor: Person,
    clock: Clock,
    key: str,
    title: str,
    severity: str = "",
    impact_started_at: datetime | None = None,
    detected_at: datetime | None = None,
    caused_by: Blame = Cause.UNKNOWN,
) -> int:
    """Open the incident, then respond, each in its own transaction. Times left out are now. Returns the incident's id.

    Where a response is refused, the incident is open all the same, and the refusal says so; the same `key` again finds
    that incident.
    """
    now = clock.now()
    found = detected_at or now
    began = impact_started_at or min(found, now)
    report = Report(response.slot.application, title, began, found, severity, caused_by)
    incident_id = incidents.open_(store, report, actor=actor, clock=clock, key=key)
    try:
        _respond(store, response, f"Incident {incident_id}: {title.strip()}", actor, clock, key)
    except HeadgateError as error:
        error.message = f"Incident {incident_id} is open. {error.message}"
        raise
    return incident_id


def _respond(store: Store, response: Response, reason: str, actor: Person, clock: Clock, key: str) -> None:
    slot, removed = response.slot, response.quarantine
    if response.back_to is not None:
        rollbacks.roll_back(
            store,
            slot,
            actor=actor,
            clock=clock,
            reason=reason,
            to=response.back_to,
            quarantine=removed is not None,
            key=f"back: {key}",
            generation=response.generation,
        )
        return
    if response.hold:
        holds.set_(store, slot, actor=actor, clock=clock, reason=reason)
    if removed is not None:
        bundles.quarantine(store, removed, actor=actor, clock=clock, reason=reason)

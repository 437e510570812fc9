"""The audit chain: append-only, each event hashed with the one before it.

The hash is over the stored text, not over a re-rendering of it, so that an unchanged record verifies for ever.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.rules.digests import canonical, sha256
from services.store.models import AuditEvent, AuditHead

GENESIS = "sha256:" + "0" * 64


def record(
    session: Session,
    *,
    actor: str,
    action: str,
    clock: Clock,
    application: str = "",
    subject: str = "",
    **facts: Any,
) -> None:
    """Append one event. Call it last in the transaction: it locks the chain's head until the commit."""
    session.flush()
    head = session.exec(select(AuditHead).where(AuditHead.id == 1).with_for_update()).one()
    at, recorded_at = clock.now().astimezone(UTC), clocks.wall()
    body = canonical(
        {
            "seq": head.seq + 1,
            "at": at.isoformat(),
            "recorded_at": recorded_at.isoformat(),
            "actor": actor,
            "action": action,
            "application": application,
            "subject": subject,
            "replayed": clock.replayed,
            "facts": facts,
        }
    )
    event = AuditEvent(
        seq=head.seq + 1,
        at=at,
        recorded_at=recorded_at,
        actor=actor,
        action=action,
        application=application,
        subject=subject,
        body=body,
        previous_hash=head.hash,
        hash=sha256(head.hash + body),
        replayed=clock.replayed,
    )
    head.seq, head.hash = event.seq, event.hash
    session.add(event)
    session.add(head)
    session.flush()


@dataclass(frozen=True)
class Verification:
    """What verifying found. `broken_at` is the first sequence number that does not fit, or None."""

    events: int
    head: str
    broken_at: int | None = None
    reason: str = ""


def verify(session: Session) -> Verification:
    """Walk the whole chain. Finds a changed, missing or reordered event, and a head that does not fit.

    The columns beside the hashed text must say the same as it does: lists and filters read them.
    """
    expected, previous = 1, GENESIS
    for event in session.exec(select(AuditEvent).order_by(col(AuditEvent.seq)).execution_options(yield_per=1000)):
        if event.seq != expected:
            return Verification(expected - 1, previous, expected, f"event {expected} is missing")
        if event.previous_hash != previous or event.hash != sha256(previous + event.body):
            return Verification(
                expected - 1, previous, expected, f"event {expected} does not carry the hash of its text"
            )
        if changed := _unlike_its_text(event):
            return Verification(
                expected - 1, previous, expected, f"the columns of event {expected} were changed: {', '.join(changed)}"
            )
        expected, previous = expected + 1, event.hash
    head = session.exec(select(AuditHead).where(AuditHead.id == 1)).one_or_none()
    if head is None or (head.seq, head.hash) != (expected - 1, previous):
        return Verification(expected - 1, previous, expected, "the newest events are missing")
    return Verification(expected - 1, previous)


def _unlike_its_text(event: AuditEvent) -> list[str]:
    """Names of the columns that no longer say what the hashed text says."""
    body = json.loads(event.body)
    said = {
        **body,
        "at": datetime.fromisoformat(body["at"]),
        "recorded_at": datetime.fromisoformat(body["recorded_at"]),
    }
    columns = ("seq", "at", "recorded_at", "actor", "action", "application", "subject", "replayed")
    return [name for name in columns if getattr(event, name) != said[name]]

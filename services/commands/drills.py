"""Drills: a stage rolled back and brought forward again, measured, and kept apart from real rollbacks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority, rollbacks
from services.commands.rollbacks import Wish
from services.errors import Conflict
from services.rules.domain import BundleRef, Person, Phase, SlotRef
from services.store import audit, lookups
from services.store.database import Store
from services.store.facts import load_one
from services.store.models import Bundle, Deployment, Promotion
from services.store.trouble import Drill

PASSED = "passed"
LEFT_BEHIND = timedelta(minutes=2)  # by then whoever started a drill has finished it, or is gone


@dataclass(frozen=True)
class Step:
    """One half of a drill: the promotion to see through, or None where the drill is over."""

    promotion_id: int | None
    outcome: str = ""


def begin(store: Store, slot: SlotRef, *, actor: Person, clock: Clock) -> int:
    """Announce a drill. Returns its id; `back`, `forward` and `finish` follow, each of which may be repeated.

    Raises Conflict where something is on its way, or there is nothing to go back to.
    """
    authority.require(actor, authority.LEADS, "run a drill")
    with store.writing() as session:
        lookups.required_stage(lookups.required_policy(session, slot.application), slot.stage)
        lookups.locked_slot(session, slot)
        target = lookups.best_candidate(lookups.rollback_candidates(session, slot))
        if target is None:
            raise Conflict(f"{slot} has no verified bundle to go back to.", "A drill needs two that were live here.")
        facts = load_one(session, target.bundle_id, slot.stage)
        if facts.active or facts.live is None:
            raise Conflict(f"Something is on its way to {slot}.", "Wait until it is live, then drill.")
        drill = Drill(
            application=slot.application,
            stage=slot.stage,
            from_bundle_id=facts.live.bundle_id,
            to_bundle_id=target.bundle_id,
            requested_by=actor.name,
            at=clock.now(),
            replayed=clock.replayed,
            recorded_at=clocks.wall(),
        )
        session.add(drill)
        audit.record(
            session,
            actor=actor.name,
            action="drill.started",
            clock=clock,
            application=slot.application,
            subject=str(slot),
            back_to=str(target.ref),
            away_from=str(facts.live.ref),
        )
        assert drill.id is not None
        return drill.id


def back(store: Store, drill_id: int, *, actor: Person, clock: Clock) -> Step:
    """The first half: the stage goes back."""
    with store.reading() as session:
        drill = _drill(session, drill_id)
        target = _ref(session, drill.to_bundle_id)
    return _move(store, drill_id, "back", target, actor, clock)


def forward(store: Store, drill_id: int, *, actor: Person, clock: Clock) -> Step:
    """The second half. Over where the first half did not become live: then nothing was moved."""
    with store.reading() as session:
        drill = _drill(session, drill_id)
        home = _ref(session, drill.from_bundle_id)
        first = session.get(Promotion, drill.back_promotion_id) if drill.back_promotion_id else None
        phase, note = (first.phase, first.note) if first else (Phase.FAILED, "it never began")
    if phase is not Phase.SUCCEEDED:
        return Step(None, _end(store, drill_id, clock, f"The way back was {phase.value}: {note}"))
    return _move(store, drill_id, "forward", home, actor, clock)


def _move(store: Store, drill_id: int, way: str, to: BundleRef, actor: Person, clock: Clock) -> Step:
    with store.reading() as session:
        drill = _drill(session, drill_id)
        slot = SlotRef(drill.application, drill.stage)
    wish = Wish(slot, f"Drill of {slot}", to=to, override="a drill", drill=True, key=f"drill:{drill_id}:{way}")
    promotion_id = rollbacks.carry_wish(store, wish, actor=actor, clock=clock)
    with store.writing() as session:
        drill = _drill(session, drill_id)
        if way == "back":
            drill.back_promotion_id = promotion_id
        else:
            drill.forward_promotion_id = promotion_id
        session.add(drill)
    return Step(promotion_id)


def finish(store: Store, drill_id: int, *, clock: Clock) -> str:
    """Measure both ways and close the drill. Returns its outcome."""
    with store.reading() as session:
        drill = _drill(session, drill_id)
        ways = [_seconds(session, drill.back_promotion_id), _seconds(session, drill.forward_promotion_id)]
    if any(way is None for way in ways):
        return _end(store, drill_id, clock, "The way forward did not become live. Look at what is live now.")
    return _end(store, drill_id, clock, PASSED, ways[0], ways[1])


def unfinished(store: Store) -> list[int]:
    """Drills whose teller went away in the middle. A replayed one is its teller's own."""
    with store.reading() as session:
        rows = session.exec(
            select(Drill.id).where(
                Drill.outcome == "",
                col(Drill.replayed).is_(False),
                col(Drill.recorded_at) < clocks.wall() - LEFT_BEHIND,
            )
        )
        return [drill_id for drill_id in rows if drill_id is not None]


def _seconds(session: Session, promotion_id: int | None) -> float | None:
    if promotion_id is None:
        return None
    row = session.exec(select(Deployment).where(Deployment.promotion_id == promotion_id)).one_or_none()
    if row is None or row.finished_at is None or row.requested_at is None or row.state.value != "succeeded":
        return None
    return (row.finished_at - row.requested_at).total_seconds()


def _end(
    store: Store, drill_id: int, clock: Clock, outcome: str, back: float | None = None, forward: float | None = None
) -> str:
    with store.writing() as session:
        drill = _drill(session, drill_id)
        drill.outcome, drill.finished_at = outcome, clock.now()
        drill.back_seconds, drill.forward_seconds = back, forward
        session.add(drill)
        audit.record(
            session,
            actor="headgate",
            action="drill.finished",
            clock=clock,
            application=drill.application,
            subject=f"{drill.application}@{drill.stage}",
            outcome=outcome,
            back_seconds=back,
            forward_seconds=forward,
        )
    return outcome


def _ref(session: Session, bundle_id: int) -> BundleRef:
    bundle = session.get(Bundle, bundle_id)
    assert bundle is not None
    return BundleRef(bundle.application, bundle.number or 0)


def _drill(session: Session, drill_id: int) -> Drill:
    drill = session.get(Drill, drill_id)
    assert drill is not None
    return drill

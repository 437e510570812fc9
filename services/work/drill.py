"""Running a drill: back, forward, and the measure of both."""

from __future__ import annotations

from collections.abc import Callable

from services.clock import Clock
from services.commands import drills
from services.rules.domain import HEADGATE, Person, Role
from services.settings import Settings
from services.store.database import Store
from services.work import carry
from services.work.tracking import Tracking

# Finishing what somebody began and left: Headgate brings the stage home with the right that they had.
FINISHER = Person(HEADGATE.name, frozenset({Role.LEAD}), HEADGATE.display)
SeeThrough = Callable[[int], object]


def run(store: Store, drill_id: int, see_through: SeeThrough, *, actor: Person, clock: Clock) -> str:
    """Both halves, each seen through by `see_through`. Returns the outcome: `passed`, or why not. May be repeated."""
    for half in (drills.back, drills.forward):
        step = half(store, drill_id, actor=actor, clock=clock)
        if step.promotion_id is None:
            return step.outcome
        see_through(step.promotion_id)
    return drills.finish(store, drill_id, clock=clock)


def resume(store: Store, tracking: Tracking, settings: Settings, *, clock: Clock) -> None:
    """Bring home the stages of drills whose teller went away in the middle."""
    for drill_id in drills.unfinished(store):
        run(
            store,
            drill_id,
            lambda promotion_id: carry.carry_out(store, tracking, settings, promotion_id, clock=clock),
            actor=FINISHER,
            clock=clock,
        )

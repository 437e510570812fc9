"""Bringing the record and MLflow to agreement: what was left started is finished, and every alias is compared.

What Headgate itself wrote late, and what vanished, is put right and recorded as that. What somebody else moved is told,
with two choices, and touched only once somebody has chosen (services.work.strays).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.clock import Clock
from services.commands import deployments, promotions, strays
from services.commands.deployments import Target
from services.errors import HeadgateError
from services.rules.domain import SlotRef
from services.store.database import Store
from services.work import deploy
from services.work.deploy import Ended, Stray
from services.work.tracking import Tracking, bundle_name

WRITING = "Somebody is writing its aliases this moment; look again in a few seconds."


@dataclass(frozen=True)
class Reconciled:
    """One slot. `finished`: how a started deployment ended; `repaired`: aliases put right, and `why`; `moved`: what
    somebody else moved, which waits for a choice; `trouble`: why this slot could not be looked at."""

    slot: SlotRef
    finished: str = ""
    repaired: tuple[str, ...] = ()
    why: str = ""
    moved: tuple[str, ...] = field(default=())
    trouble: str = ""

    @property
    def agrees(self) -> bool:
        return not (self.moved or self.trouble)


def reconcile(store: Store, tracking: Tracking, *, clock: Clock) -> list[Reconciled]:
    """Look at every slot. One slot's trouble never stops the others."""
    for promotion_id in promotions.left_behind(store):
        promotions.resume(store, promotion_id, clock=clock)
    found = []
    for slot in deployments.slots(store, stories=clock.replayed):
        try:
            found.append(reconcile_slot(store, tracking, slot, clock=clock))
        except HeadgateError as error:
            found.append(Reconciled(slot, trouble=str(error)))
    return found


def reconcile_slot(store: Store, tracking: Tracking, slot: SlotRef, *, clock: Clock) -> Reconciled:
    """One slot. Raises what MLflow says where it cannot be looked at."""
    ended = deploy.carry_out(store, tracking, slot, clock=clock)
    if ended is Ended.BUSY:
        return Reconciled(slot, trouble=WRITING)
    if ended is not Ended.NOTHING:
        return Reconciled(slot, finished=ended.value)
    owner = deploy.new_owner()
    target = deployments.take_lease(store, slot, owner=owner)
    if target is None:
        return Reconciled(slot)
    try:
        if target.pending:  # it came in this moment
            return Reconciled(slot)
        wrong = deploy.strays(tracking, target)
        why = _ours(store, tracking, target, wrong)
    finally:
        deployments.release_lease(store, slot, owner=owner)
    if why is not None:
        repaired = deploy.heal(store, tracking, slot, clock=clock, why=why) if wrong else []
        if repaired is None:
            return Reconciled(slot, trouble=WRITING)
        strays.close(store, slot, clock=clock)
        return Reconciled(slot, repaired=tuple(repaired), why=why if repaired else "")
    moved = [_in_words(target, stray) for stray in wrong if stray.is_pointer]
    for stray in (stray for stray in wrong if stray.is_pointer):
        strays.note(
            store,
            slot,
            alias=stray.alias,
            says=stray.says or "",
            should_say=stray.should_say,
            finding=_in_words(target, stray),
            clock=clock,
        )
    return Reconciled(slot, moved=tuple(moved))


def _ours(store: Store, tracking: Tracking, target: Target, wrong: list[Stray]) -> str | None:
    """Why these may be put right without asking anybody, or None where somebody else moved the bundle's alias."""
    pointer = next((stray for stray in wrong if stray.is_pointer), None)
    if pointer is None:
        return "a member's alias is a copy of what is live, and strayed"
    if pointer.says is None:
        return "the bundle's alias was gone"
    known = target.registry_version
    lost = known is None or not tracking.bundle_version_exists(target.slot.application, known, target.digest)
    if lost or deployments.made_again_since(store, target):
        return "MLflow lost the bundle's version, as it does when it is restored from an older backup"
    if pointer.says in deployments.unreported_intents(store, target.slot):
        return "a mover of Headgate's own wrote late"
    return None


def _in_words(target: Target, stray: Stray) -> str:
    pointer = bundle_name(target.slot.application)
    return (
        f"Moved outside Headgate: {pointer}@{target.slot.stage} points at version {stray.says}, and "
        f"{target.ref} (version {stray.should_say}) is what is live here."
    )

"""Bringing the record and MLflow to agreement: what was left started is finished, and every alias is compared."""

from __future__ import annotations

from dataclasses import dataclass

from services.clock import Clock
from services.commands import deployments
from services.errors import HeadgateError
from services.rules.domain import SlotRef
from services.store.database import Store
from services.work import deploy
from services.work.deploy import Ended
from services.work.tracking import Tracking, bundle_name


@dataclass(frozen=True)
class Reconciled:
    """One slot. `finished` says how a started deployment ended; `repaired` are aliases put right; `moved` is what
    somebody else moved, which is reported and left; `trouble` is why this slot could not be looked at."""

    slot: SlotRef
    finished: str = ""
    repaired: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def agrees(self) -> bool:
        return not (self.moved or self.trouble)


def reconcile(store: Store, tracking: Tracking, *, clock: Clock, repair_pointer: bool = False) -> list[Reconciled]:
    """Look at every slot. One slot's trouble never stops the others.

    `repair_pointer` also restores a bundle alias that was moved outside Headgate; without it that is only reported.
    """
    found = []
    for slot in deployments.slots(store):
        try:
            found.append(_reconcile_slot(store, tracking, slot, clock, repair_pointer))
        except HeadgateError as error:
            found.append(Reconciled(slot, trouble=str(error)))
    return found


def _reconcile_slot(store: Store, tracking: Tracking, slot: SlotRef, clock: Clock, repair_pointer: bool) -> Reconciled:
    ended = deploy.carry_out(store, tracking, slot, clock=clock)
    if ended is Ended.BUSY:
        return Reconciled(slot, trouble="Somebody is writing its aliases this moment; look again in a few seconds.")
    if ended is not Ended.NOTHING:
        return Reconciled(slot, finished=ended.value)
    owner = deploy.new_owner()
    target = deployments.take_lease(store, slot, owner=owner)
    if target is None or target.pending:
        return Reconciled(slot)
    try:
        wrong = deploy.strays(tracking, target)
    finally:
        deployments.release_lease(store, slot, owner=owner)
    pointer = f"models:/{bundle_name(slot.application)}@{slot.stage}"
    if not wrong:
        return Reconciled(slot)
    if pointer in wrong and not repair_pointer and not _ours(store, slot, wrong[pointer]):
        says = f"version {wrong[pointer]}" if wrong[pointer] else "nothing"
        return Reconciled(slot, moved=(f"{pointer} points at {says}; {target.ref} is what is live here.",))
    repaired = deploy.heal(store, tracking, slot, clock=clock, why="the aliases did not say what is live")
    return Reconciled(slot, repaired=tuple(repaired))


def _ours(store: Store, slot: SlotRef, version: str | None) -> bool:
    """Whether the alias says what a deployment of ours, aborted or superseded, once meant to write: a late write."""
    return version is not None and version in deployments.earlier_intents(store, slot)

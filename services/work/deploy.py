"""Carrying out a deployment: check every target, move the bundle's alias, then the members' copies, then the record.

Each step may be repeated. After a crash all of it runs again from the start; nothing needs to be read back to know
where it stopped.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from services import clock as clocks
from services.clock import Clock
from services.commands import deployments
from services.commands.deployments import Target
from services.errors import ArtifactUnusable, Fenced, NotFound, RegistryRefused, RegistryUnreachable
from services.rules.domain import Component, ComponentKind, SlotRef
from services.store.database import Store
from services.work.tracking import ModelVersion, Tracking, bundle_name

HEALINGS = 5  # how often a mover that lost its place tries to put right what it wrote
HEAL_AGAIN_SECONDS = 0.2

log = logging.getLogger("headgate.deploy")


class Ended(StrEnum):
    LIVE = "live"
    FAILED = "failed"
    WAITING = "waiting"  # MLflow does not answer; it stays started and is tried again
    BUSY = "busy"  # somebody else is writing
    NOTHING = "nothing to do"


def new_owner() -> str:
    """A name for whoever holds a lease: unique, and telling in a record."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def carry_out(store: Store, tracking: Tracking, slot: SlotRef, *, clock: Clock) -> Ended:
    """Finish what is pending in the slot, if anything is. Never raises for what MLflow says: the record carries it."""
    owner = new_owner()
    target = deployments.take_lease(store, slot, owner=owner)
    if target is None:
        return Ended.BUSY
    if not target.pending:
        deployments.release_lease(store, slot, owner=owner)
        return Ended.NOTHING
    return _deploy(store, tracking, target, owner, clock)


def _deploy(store: Store, tracking: Tracking, target: Target, owner: str, clock: Clock) -> Ended:
    try:
        ended = _attempt(store, tracking, target, owner, clock)
    except Fenced:
        deployments.release_lease(store, target.slot, owner=owner)
        ended = Ended.BUSY
    if ended is Ended.WAITING:
        return ended  # its moving is not ended: a call that timed out may still be carried out by MLflow, later
    if ended is not Ended.LIVE and _healed(store, tracking, target.slot, clock, _LATE[ended]):
        deployments.end_moving(store, owner=owner)
    return ended


_LATE = {
    Ended.BUSY: "a deployment that had lost its place may have written late",
    Ended.FAILED: "a deployment failed after an earlier try of it may have written",
}


def _attempt(store: Store, tracking: Tracking, target: Target, owner: str, clock: Clock) -> Ended:
    """Raises Fenced where the right to write was lost."""
    began = clocks.monotonic()
    try:
        note = _move(store, tracking, target, owner, clock)
    except RegistryUnreachable as error:
        deployments.note_trouble(store, target, owner=owner, note=str(error))
        return Ended.WAITING
    except (RegistryRefused, NotFound, ArtifactUnusable) as error:
        deployments.fail(store, target, owner=owner, clock=clock, reason=str(error))
        return Ended.FAILED
    clock.elapse(clocks.monotonic() - began)
    deployments.complete(store, target, owner=owner, clock=clock, note=note)
    return Ended.LIVE


def _healed(store: Store, tracking: Tracking, slot: SlotRef, clock: Clock, why: str) -> bool:
    """Whether the aliases are known to say what the slot says. Where not, reconcile takes them for a late write."""
    try:
        for _ in range(HEALINGS):
            if heal(store, tracking, slot, clock=clock, why=why) is not None:
                return True
            clocks.sleep(HEAL_AGAIN_SECONDS)
    except (RegistryUnreachable, RegistryRefused, NotFound, ArtifactUnusable) as error:
        log.warning("the aliases of %s are left to reconcile: %s", slot, error)
    return False


def _move(store: Store, tracking: Tracking, target: Target, owner: str, clock: Clock) -> str:
    """Write the aliases. Returns a note about copies that MLflow refused, which do not stop the bundle."""
    version = registry_version(store, tracking, target, clock=clock)
    deployments.mark_writing(store, target, owner=owner, clock=clock)
    tracking.set_model_alias(bundle_name(target.slot.application), target.slot.stage, version)
    return " ".join(_write_members(store, tracking, target, owner))


def _write_members(store: Store, tracking: Tracking, target: Target, owner: str) -> list[str]:
    """Move the members' own aliases. Returns what MLflow refused of it; raises where it does not answer."""

    def move(component: Component, write: Callable[[], None]) -> str:
        deployments.check_lease(store, target, owner=owner)
        try:
            write()
        except (RegistryRefused, NotFound) as error:
            return f"The alias of {component.name} could not be moved: {error}"
        return ""

    moves = [partial(move, component, write) for component, write in _member_writes(tracking, target)]
    return [refused for refused in tracking.together(moves) if refused]


def registry_version(store: Store, tracking: Tracking, target: Target, *, clock: Clock) -> str:
    """The bundle's version of bundle.<application>, checked or made. Raises where one of its parts is gone."""
    model, known = _checked(tracking, target)
    if known is not None:
        return known
    version = tracking.ensure_bundle_version(
        target.slot.application,
        digest=target.digest,
        ref=str(target.ref),
        manifest=manifest(target.components),
        model=model,
    )
    deployments.name_registry_version(store, target, version, clock=clock)
    return version


def _checked(tracking: Tracking, target: Target) -> tuple[ModelVersion | None, str | None]:
    """The bundle's model, and the version that the store knows, if MLflow still has it. Raises where a part is gone."""
    prompts = [partial(_require_prompt, tracking, prompt) for prompt in _of(target.components, ComponentKind.PROMPT)]
    checks: list[Callable[[], Any]] = [
        partial(_whole_model, tracking, target.components),
        *prompts,
        partial(_known_version, tracking, target),
    ]
    model, *_, known = tracking.together(checks)
    return model, known


def _known_version(tracking: Tracking, target: Target) -> str | None:
    known = target.registry_version
    exists = known and tracking.bundle_version_exists(target.slot.application, known, target.digest)
    return known if exists else None


def _whole_model(tracking: Tracking, components: tuple[Component, ...]) -> ModelVersion | None:
    models = _of(components, ComponentKind.MODEL)
    if not models:
        return None
    model = tracking.version(models[0].name, models[0].version)
    tracking.require_artifact(model)
    return model


def _require_prompt(tracking: Tracking, prompt: Component) -> None:
    if tracking.prompt(prompt.name, prompt.version) is None:
        raise NotFound(
            f"Version {prompt.version} of the prompt {prompt.name} is not in MLflow any more.",
            "It cannot be served; promote a bundle whose parts exist.",
        )


def manifest(components: tuple[Component, ...]) -> dict[str, Any]:
    """What a server reads beside the model: every pinned part."""
    return {
        "components": [
            {"kind": c.kind.value, "name": c.name, "version": c.version, "uri": c.uri, "digest": c.digest}
            for c in components
        ]
    }


def _of(components: tuple[Component, ...], kind: ComponentKind) -> list[Component]:
    return [component for component in components if component.kind is kind]


def _member_writes(tracking: Tracking, target: Target) -> list[tuple[Component, Callable[[], None]]]:
    stage = target.slot.stage
    found: list[tuple[Component, Callable[[], None]]] = []
    for component in target.components:
        if component.kind is ComponentKind.MODEL:
            found.append((component, _writer(tracking.set_model_alias, component, stage)))
        elif component.kind is ComponentKind.PROMPT:
            found.append((component, _writer(tracking.set_prompt_alias, component, stage)))
    return found


def _writer(write: Callable[[str, str, str], None], component: Component, stage: str) -> Callable[[], None]:
    return lambda: write(component.name, stage, component.version)


@dataclass(frozen=True)
class Stray:
    """One alias that does not say what the slot says. `says` is None where it is gone."""

    alias: str
    says: str | None
    should_say: str

    @property
    def is_pointer(self) -> bool:
        return self.alias.startswith("models:/bundle.")


def strays(tracking: Tracking, target: Target) -> list[Stray]:
    """Every alias of the slot that strays, the bundle's own first. Call it under the lease."""
    stage, found = target.slot.stage, []
    pointer = bundle_name(target.slot.application)
    wanted = target.registry_version or ""
    found.append(Stray(f"models:/{pointer}@{stage}", tracking.model_aliases(pointer).get(stage), wanted))
    for component in target.components:
        if component.kind is ComponentKind.MODEL and component.name != pointer:
            says = tracking.model_aliases(component.name).get(stage)
            found.append(Stray(f"models:/{component.name}@{stage}", says, component.version))
        elif component.kind is ComponentKind.PROMPT:
            says = tracking.prompt_aliases(component.name).get(stage)
            found.append(Stray(f"prompts:/{component.name}@{stage}", says, component.version))
    return [stray for stray in found if stray.says != stray.should_say]


def heal(store: Store, tracking: Tracking, slot: SlotRef, *, clock: Clock, why: str) -> list[str] | None:
    """Finish what is pending, or else write the aliases that the slot says. Returns the aliases that were put right.

    Takes the lease. None where somebody else has it, or takes the place of this one: nothing is known to be right then.
    """
    owner = new_owner()
    target = deployments.take_lease(store, slot, owner=owner)
    if target is None:
        return None if deployments.busy(store, slot) else []
    if target.pending:
        _deploy(store, tracking, target, owner, clock)
        return []
    try:
        wrong = [stray.alias for stray in strays(tracking, target)]
        if wrong:
            _write_again(store, tracking, target, owner, clock)
            deployments.record_repair(store, target, clock=clock, repaired=wrong, why=why)
        return wrong
    except Fenced:
        return None  # what was just written may be late in its turn
    finally:
        deployments.release_lease(store, slot, owner=owner)


def _write_again(store: Store, tracking: Tracking, target: Target, owner: str, clock: Clock) -> None:
    version = registry_version(store, tracking, target, clock=clock)
    deployments.begin_repair(store, target, owner=owner)
    deployments.check_lease(store, target, owner=owner)
    tracking.set_model_alias(bundle_name(target.slot.application), target.slot.stage, version)
    for _component, write in _member_writes(tracking, target):
        deployments.check_lease(store, target, owner=owner)
        write()
    deployments.end_moving(store, owner=owner)

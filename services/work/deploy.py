"""Carrying out a deployment: check every target, move the bundle's alias, then the members' copies, then the record.

Each step may be repeated. After a crash all of it runs again from the start; nothing needs to be read back to know
where it stopped.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from services.clock import Clock
from services.commands import deployments
from services.commands.deployments import Target
from services.errors import ArtifactUnusable, Fenced, NotFound, RegistryRefused, RegistryUnreachable
from services.rules.domain import Component, ComponentKind, SlotRef
from services.store.database import Store
from services.work.tracking import ModelVersion, Tracking, bundle_name


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
        note = _move(store, tracking, target, owner, clock)
        deployments.complete(store, target, owner=owner, clock=clock, note=note)
        return Ended.LIVE
    except RegistryUnreachable as error:
        deployments.note_trouble(store, target, owner=owner, note=str(error))
        return Ended.WAITING
    except (RegistryRefused, NotFound, ArtifactUnusable) as error:
        deployments.fail(store, target, owner=owner, clock=clock, reason=str(error))
        return Ended.FAILED
    except Fenced:
        heal(
            store, tracking, target.slot, clock=clock, why="a deployment that had lost its place may have written late"
        )
        return Ended.BUSY


def _move(store: Store, tracking: Tracking, target: Target, owner: str, clock: Clock) -> str:
    """Write the aliases. Returns a note about copies that MLflow refused, which do not stop the bundle."""
    version = registry_version(store, tracking, target)
    deployments.mark_writing(store, target, owner=owner, clock=clock)
    deployments.check_lease(store, target, owner=owner)
    tracking.set_model_alias(bundle_name(target.slot.application), target.slot.stage, version)
    refused = []
    for component, write in _member_writes(tracking, target):
        deployments.check_lease(store, target, owner=owner)
        try:
            write()
        except (RegistryRefused, NotFound) as error:
            refused.append(f"The alias of {component.name} could not be moved: {error}")
    return " ".join(refused)


def registry_version(store: Store, tracking: Tracking, target: Target) -> str:
    """The bundle's version of bundle.<application>, checked or made. Raises where one of its parts is gone."""
    model = _model(tracking, target.components)
    if model is not None:
        tracking.require_artifact(model)
    for prompt in _of(target.components, ComponentKind.PROMPT):
        if tracking.prompt(prompt.name, prompt.version) is None:
            raise NotFound(
                f"Version {prompt.version} of the prompt {prompt.name} is not in MLflow any more.",
                "It cannot be served; promote a bundle whose parts exist.",
            )
    known = target.registry_version
    if known and tracking.bundle_version_exists(target.slot.application, known, target.digest):
        return known
    version = tracking.ensure_bundle_version(
        target.slot.application,
        digest=target.digest,
        ref=str(target.ref),
        manifest=manifest(target.components),
        model=model,
    )
    deployments.name_registry_version(store, target.bundle_id, version)
    return version


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


def _model(tracking: Tracking, components: tuple[Component, ...]) -> ModelVersion | None:
    models = _of(components, ComponentKind.MODEL)
    return tracking.version(models[0].name, models[0].version) if models else None


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


def strays(tracking: Tracking, target: Target) -> dict[str, str | None]:
    """Aliases that do not say what the slot says: what is named, and what it says now (None: nothing)."""
    stage, found = target.slot.stage, {}
    pointer = bundle_name(target.slot.application)
    says = tracking.model_aliases(pointer).get(stage)
    if says != target.registry_version:
        found[f"models:/{pointer}@{stage}"] = says
    for component in target.components:
        if component.kind is ComponentKind.MODEL:
            says = tracking.model_aliases(component.name).get(stage)
        elif component.kind is ComponentKind.PROMPT:
            says = tracking.prompt_aliases(component.name).get(stage)
        else:
            continue
        if says != component.version:
            prefix = "models" if component.kind is ComponentKind.MODEL else "prompts"
            found[f"{prefix}:/{component.name}@{stage}"] = says
    return found


def heal(store: Store, tracking: Tracking, slot: SlotRef, *, clock: Clock, why: str) -> list[str]:
    """Under the lease: finish what is pending, or else write what the slot says. Returns what was repaired."""
    owner = new_owner()
    target = deployments.take_lease(store, slot, owner=owner)
    if target is None:
        return []  # whoever has it is putting it right this moment
    if target.pending:
        _deploy(store, tracking, target, owner, clock)
        return []
    try:
        wrong = strays(tracking, target)
        if wrong:
            version = registry_version(store, tracking, target)
            tracking.set_model_alias(bundle_name(slot.application), slot.stage, version)
            for _component, write in _member_writes(tracking, target):
                deployments.check_lease(store, target, owner=owner)
                write()
            deployments.record_repair(store, target, clock=clock, repaired=sorted(wrong), why=why)
        return sorted(wrong)
    finally:
        deployments.release_lease(store, slot, owner=owner)

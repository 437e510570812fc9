"""Looking, ahead of time, at what one would go back to: so that at three in the morning the answer is there."""

from __future__ import annotations

from collections.abc import Iterator

from services.commands import preflights
from services.commands.preflights import Wanted
from services.errors import ArtifactUnusable, HeadgateError, NotFound, RegistryRefused, RegistryUnreachable
from services.rules import preflight
from services.rules.domain import Component, ComponentKind, SlotRef
from services.rules.preflight import Answer, Finding
from services.store.database import Store
from services.work.tracking import Tracking


def refresh(store: Store, tracking: Tracking, slot: SlotRef) -> None:
    """Look at what is live in the slot and at the last candidates, and remember the answers."""
    for wanted in preflights.wanted(store, slot):
        preflights.note(store, wanted, list(_findings(tracking, wanted)))


def _findings(tracking: Tracking, wanted: Wanted) -> Iterator[Finding]:
    for component in wanted.components:
        if component.kind is ComponentKind.MODEL:
            yield _looked_at(f"model {component.name} {component.version}", lambda c=component: _model(tracking, c))
        elif component.kind is ComponentKind.PROMPT:
            yield _looked_at(f"prompt {component.name} {component.version}", lambda c=component: _prompt(tracking, c))
    if wanted.is_live:
        return
    yield preflight.inputs(wanted.components, wanted.live)
    yield preflight.prompts(wanted.components, wanted.live)
    if wanted.verified_at is None:
        yield Finding("verified", Answer.UNKNOWN, "Its gates did not all pass, or the stage has none.")
    else:
        yield Finding("verified", Answer.SAFE, f"Its gates passed; last live here since {wanted.verified_at:%d %b %Y}.")


def _looked_at(name: str, look) -> Finding:  # type: ignore[no-untyped-def]
    try:
        return Finding(name, Answer.SAFE, str(look()))
    except RegistryUnreachable:
        return Finding(name, Answer.UNKNOWN, "MLflow did not answer when this was looked at.")
    except (NotFound, RegistryRefused, ArtifactUnusable) as error:
        return Finding(name, Answer.UNSAFE, error.message)
    except HeadgateError as error:
        return Finding(name, Answer.UNKNOWN, error.message)


def _model(tracking: Tracking, component: Component) -> str:
    files = tracking.files(tracking.version(component.name, component.version))
    if component.digest and files.digest != component.digest:
        raise ArtifactUnusable("The artifact is not the one that was approved: its digest has changed.")
    return "The artifact is there, and its digest is the recorded one."


def _prompt(tracking: Tracking, component: Component) -> str:
    found = tracking.prompt(component.name, component.version)
    if found is None:
        raise NotFound("The prompt's version is gone from MLflow.")
    return "The wording is there."

"""Carrying out what somebody chose about an alias that was moved outside Headgate."""

from __future__ import annotations

from services.clock import Clock
from services.commands import bundles, deployments, strays
from services.commands.strays import Choice, Chosen
from services.errors import HeadgateError, RegistryUnreachable
from services.rules.domain import HEADGATE, BundleRef
from services.settings import Settings
from services.store.database import Store
from services.work import collect, deploy
from services.work.sync import policy_and_directory
from services.work.tracking import DIGEST_TAG, ModelVersion, Tracking, bundle_name


def carry_out(store: Store, tracking: Tracking, settings: Settings, chosen: Chosen, *, clock: Clock) -> None:
    """Restore or adopt. What MLflow refuses is told on the stray.

    Where MLflow does not answer, or somebody else is writing there, the choice stands and is tried again.
    """
    try:
        if chosen.choice is Choice.RESTORE:
            healed = deploy.heal(store, tracking, chosen.slot, clock=clock, why=f"restored by {chosen.person}")
            if healed is not None:
                strays.close(store, chosen.slot, clock=clock)
        else:
            ref = _bundle_of(store, tracking, settings, chosen, clock)
            strays.adopt(store, chosen, ref, clock=clock)
            deploy.carry_out(store, tracking, chosen.slot, clock=clock)
    except RegistryUnreachable:
        raise
    except HeadgateError as error:
        strays.tell_trouble(store, chosen.stray_id, str(error))
        raise


def _bundle_of(store: Store, tracking: Tracking, settings: Settings, chosen: Chosen, clock: Clock) -> BundleRef:
    """The bundle that the alias's version is, made (with its gaps) where Headgate has never seen it."""
    pointed = tracking.version(bundle_name(chosen.slot.application), chosen.says)
    known = deployments.bundle_with_digest(store, chosen.slot.application, pointed.tags.get(DIGEST_TAG, ""))
    if known is not None:
        return known
    policy, directory = policy_and_directory(store, chosen.slot.application)
    version = _member(tracking, policy.components.model, pointed)
    draft = collect.collect(tracking, policy, version, settings=settings, directory=directory, source="adopted")
    return bundles.register(store, draft, actor=HEADGATE, clock=clock).ref


def _member(tracking: Tracking, model: str, pointed: ModelVersion) -> ModelVersion:
    """The version of the policy's own model that is the same artifact; else the pointer's version itself."""
    if model:
        for version in reversed(tracking.versions(model)):
            if version.model_id is not None and version.model_id == pointed.model_id:
                return version
    return pointed

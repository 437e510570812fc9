"""A bundle whose parts a person names: collected as a sync does, from the versions given."""

from __future__ import annotations

from services.errors import BadInput, NotFound
from services.rules.drafts import BundleDraft
from services.settings import Settings
from services.store.database import Store
from services.work import collect
from services.work.sync import policy_and_directory
from services.work.tracking import PromptVersion, Tracking


def draft(
    store: Store,
    tracking: Tracking,
    settings: Settings,
    application: str,
    model: str | None,
    prompts: list[tuple[str, str]],
) -> BundleDraft:
    """`model` is a version of the policy's model; `prompts` are names with versions (none: those that belong to it).

    Raises NotFound for what MLflow does not have, and BadInput where nothing is named.
    """
    policy, directory = policy_and_directory(store, application)
    if model is None and not prompts:
        raise BadInput("A bundle needs at least one component.", "Name --model VERSION, or --prompt NAME/VERSION.")
    if model is not None and not policy.components.model:
        raise BadInput(f"The policy of {application} names no model.", "Add components.model, or name prompts only.")
    version = tracking.version(policy.components.model, model) if model is not None else None
    named = tuple(_prompt(tracking, name, number) for name, number in prompts) or None
    return collect.collect(tracking, policy, version, named, settings=settings, directory=directory, source="added")


def _prompt(tracking: Tracking, name: str, number: str) -> PromptVersion:
    found = tracking.prompt(name, number)
    if found is None:
        raise NotFound(f"MLflow has no version {number} of the prompt {name!r}.", "Look at its versions in MLflow.")
    return found

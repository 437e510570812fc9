"""Looking into MLflow for new bundles. Writes nothing there; one new bundle an application, unless asked for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlmodel import Session, col, select

from services.clock import Clock
from services.commands import bundles
from services.commands.bundles import Registered
from services.errors import HeadgateError, NotFound
from services.rules.domain import ComponentKind, Person
from services.rules.drafts import BundleDraft
from services.rules.policy import Policy
from services.settings import Settings
from services.store import lookups
from services.store.database import Store
from services.store.models import Application, Bundle, ComponentRow, PolicyRevision
from services.work import collect
from services.work.tracking import Tracking


@dataclass(frozen=True)
class Synced:
    """One application. `registered` is empty where MLflow has nothing new; `trouble` is why nobody could look."""

    application: str
    registered: tuple[Registered, ...] = ()
    note: str = ""
    trouble: HeadgateError | None = None


def sync(
    store: Store,
    tracking: Tracking,
    settings: Settings,
    *,
    actor: Person,
    clock: Clock,
    application: str | None = None,
    history: bool = False,
    only_if_changed: bool = False,
) -> list[Synced]:
    """Make a bundle of the newest READY version of each application's model. One's trouble never stops the others.

    `only_if_changed` opens no artifact where the newest bundle has the same parts: what a timer wants.
    """
    names = [application] if application else _applications(store)
    found = []
    for name in names:
        try:
            found.append(_sync_one(store, tracking, settings, name, actor, clock, history, only_if_changed))
        except HeadgateError as error:
            found.append(Synced(name, trouble=error))
    return found


def _sync_one(
    store: Store,
    tracking: Tracking,
    settings: Settings,
    application: str,
    actor: Person,
    clock: Clock,
    history: bool,
    only_if_changed: bool,
) -> Synced:
    policy, directory = policy_and_directory(store, application)
    require_sources(tracking, policy)
    if only_if_changed and _is_newest(store, tracking, policy):
        return Synced(application)
    missing: list[str] = []
    drafts = list(_drafts(tracking, policy, settings, directory, history, missing))
    registered = tuple(bundles.register(store, draft, actor=actor, clock=clock) for draft in drafts)
    note = "; ".join(missing)
    if not drafts and not note:
        note = f"MLflow has no READY version of {policy.components.model or ', '.join(policy.components.prompts)} yet."
    return Synced(application, tuple(found for found in registered if found.created), note)


def _drafts(
    tracking: Tracking, policy: Policy, settings: Settings, directory: str, history: bool, missing: list[str]
) -> Iterator[BundleDraft]:
    if history:
        yield from collect.history(
            tracking,
            policy,
            settings,
            directory,
            unusable=lambda parts, error: missing.append(f"{', '.join(parts.uris)} left out: {error.message}"),
        )
    elif draft := collect.candidate(tracking, policy, settings, directory):
        yield draft


def require_sources(tracking: Tracking, policy: Policy) -> None:
    """Raises NotFound where the policy names a model or a prompt that MLflow does not have."""
    model = policy.components.model
    if model and not tracking.model_exists(model):
        raise NotFound(
            f"MLflow has no registered model {model!r} (policy: components.model).",
            "Register a version of it, or correct the name in the policy and apply it again.",
        )
    for prompt in policy.components.prompts:
        if not tracking.prompt_exists(prompt):
            raise NotFound(
                f"MLflow has no prompt {prompt!r} (policy: components.prompts).",
                "Register it, or correct the name in the policy and apply it again.",
            )


def policy_and_directory(store: Store, application: str) -> tuple[Policy, str]:
    """The policy in force, and the folder in which its relative paths start."""
    with store.reading() as session:
        policy = lookups.required_policy(session, application)
        directory = session.exec(
            select(PolicyRevision.directory)
            .where(PolicyRevision.application == application)
            .order_by(col(PolicyRevision.number).desc())
            .limit(1)
        ).one()
        return policy, directory


def _applications(store: Store) -> list[str]:
    with store.reading() as session:
        return list(
            session.exec(
                select(Application.name)
                .where(col(Application.policy_revision).is_not(None))
                .order_by(col(Application.name))
            )
        )


def _is_newest(store: Store, tracking: Tracking, policy: Policy) -> bool:
    parts = collect.newest_parts(tracking, policy)
    if parts is None:
        return True
    with store.reading() as session:
        return set(parts.uris) == _uris_of_newest(session, policy.name)


def _uris_of_newest(session: Session, application: str) -> set[str]:
    newest = (
        select(Bundle.id).where(Bundle.application == application).order_by(col(Bundle.number).desc()).limit(1)
    ).scalar_subquery()
    return set(
        session.exec(
            select(ComponentRow.uri).where(
                ComponentRow.bundle_id == newest,
                col(ComponentRow.kind).in_((ComponentKind.MODEL, ComponentKind.PROMPT)),
            )
        )
    )

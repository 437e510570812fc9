"""Applying a policy: checked, compared with what is in force, stored as a new revision."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import Session, col, select

from services import clock as clocks
from services.clock import Clock
from services.commands import authority
from services.errors import NotFound, PolicyInvalid
from services.rules.domain import Person, Role
from services.rules.policy import Policy, difference, parse
from services.store import audit
from services.store.database import Store
from services.store.facts import policy_in_force
from services.store.models import Application, Known, PolicyRevision, Slot


@dataclass(frozen=True)
class Applied:
    """`revision` is 0 for a dry run; `changes` is empty where the same rules are in force already."""

    application: str
    revision: int
    changes: tuple[str, ...]


def apply(
    store: Store, text: str, *, actor: Person, clock: Clock, directory: str = "", dry_run: bool = False
) -> Applied:
    """Put a policy in force. `directory` is where its relative paths start.

    Raises PolicyInvalid with every mistake; then, and after a dry run, nothing is stored.
    """
    authority.require(actor, authority.MAKERS, "apply a policy")
    policy = parse(text)
    if dry_run:
        with store.reading() as session:
            _refuse_what_nobody_can_satisfy(session, policy, actor)
            return Applied(policy.name, 0, tuple(difference(_in_force(session, policy.name), policy)))
    with store.writing() as session:
        _refuse_what_nobody_can_satisfy(session, policy, actor)
        row = session.exec(select(Application).where(Application.name == policy.name).with_for_update()).one_or_none()
        before = _in_force(session, policy.name)
        if before and before.digest == policy.digest and row and row.policy_revision:
            return Applied(policy.name, row.policy_revision, ())
        now, recorded_at = clock.now(), clocks.wall()
        if row is None:
            row = Application(name=policy.name, at=now, recorded_at=recorded_at)
        newest = session.exec(
            select(func.max(PolicyRevision.number)).where(PolicyRevision.application == policy.name)
        ).one()
        row.description, row.owner = policy.application.description, policy.application.owner
        row.policy_revision = (newest or 0) + 1
        session.add(row)
        session.flush()
        session.add(
            PolicyRevision(
                application=policy.name,
                number=row.policy_revision,
                digest=policy.digest,
                toml=text,
                directory=directory,
                actor=actor.name,
                at=now,
                recorded_at=recorded_at,
            )
        )
        for stage in policy.stages:
            if session.get(Slot, (policy.name, stage.name)) is None:
                session.add(Slot(application=policy.name, stage=stage.name))
        changes = difference(before, policy)
        audit.record(
            session,
            actor=actor.name,
            action="policy.applied",
            clock=clock,
            application=policy.name,
            subject=f"revision {row.policy_revision}",
            digest=policy.digest,
            changes=changes,
        )
        return Applied(policy.name, row.policy_revision, tuple(changes))


def _in_force(session: Session, application: str) -> Policy | None:
    try:
        return policy_in_force(session, application)
    except NotFound:
        return None


def _refuse_what_nobody_can_satisfy(session: Session, policy: Policy, actor: Person) -> None:
    people = {row.name: set(row.roles) for row in session.exec(select(Known).where(col(Known.name) != "headgate"))}
    people[actor.name] = {role.value for role in actor.roles}
    mistakes = []
    for index, stage in enumerate(policy.stages):
        eligible = sorted(name for name, roles in people.items() if stage.approver_role.value in roles)
        if stage.approvals > len(eligible):
            mistakes.append(
                f"stages.{index}.approvals: {stage.approvals} different people with the role {stage.approver_role} are "
                f"asked for, and {_named(eligible)}; write approvals = {len(eligible)}, or let the others log in first"
            )
        elif stage.approvals and not stage.self_approval and len(_active_people(people)) == 1:
            mistakes.append(
                f"stages.{index}.self_approval: {actor.name} is the only person here, and nobody may approve what they "
                f"made or requested; write self_approval = true (it will then read “self-approved” wherever it shows)"
            )
    if mistakes:
        raise PolicyInvalid(mistakes)


def _named(names: list[str]) -> str:
    return f"only {', '.join(names)} {'has' if len(names) == 1 else 'have'} it" if names else "nobody has it"


def _active_people(people: dict[str, set[str]]) -> set[str]:
    """Those who can do more than look."""
    return {name for name, roles in people.items() if roles - {Role.VIEWER.value}}

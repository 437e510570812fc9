"""The whole in one look: what waits, what serves where, and how delivery goes. Ten statements.

The delivery metrics are shown as they were last read; the page reads them in a run of its own, after the words.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from services.queries import measures
from services.queries.common import PromotionLine, SlotKey, standing_promotions
from services.queries.inbox import barred
from services.queries.measures import Measured
from services.rules.domain import Person, Phase
from services.rules.metrics import last_days
from services.rules.policy import Policy
from services.rules.readiness import Facts, Live
from services.store.database import Store
from services.store.facts import StageKey, load, parsed
from services.store.models import Application, Deployment, PolicyRevision, Slot

PAGE = 12


@dataclass(frozen=True)
class Cell:
    """One application's one stage. `checked`: the stage has enforcing gates, so that a bundle can be verified there."""

    stage: str
    live: Live | None
    verified: bool
    checked: bool
    quarantined: bool
    held: bool
    frozen: bool
    promotion: PromotionLine | None


@dataclass(frozen=True)
class ApplicationRow:
    name: str
    description: str
    owner: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Overview:
    """`mine` are the promotions this person can decide, `others` those that wait for somebody else."""

    applications: tuple[ApplicationRow, ...]
    total: int
    after: str | None
    mine: tuple[PromotionLine, ...]
    others: tuple[PromotionLine, ...]
    blocked: tuple[PromotionLine, ...]
    measured: Measured | None


def overview(
    store: Store, person: Person, now: datetime, *, after: str = "", size: int = PAGE, zone: str = "UTC"
) -> Overview:
    """What waits, over all applications; and the matrix of those whose names follow `after`."""
    with store.reading() as session:
        policies = _policies(session)
        names = [name for name in policies if name > after]
        shown, more = names[:size], len(names) > size
        live = _live_bundles(session, shown)
        standing = standing_promotions(session)
        waiting = [line for line in standing.values() if line.phase is Phase.AWAITING_APPROVAL]
        ids = {*live.values(), *(line.bundle_id for line in waiting)}
        facts = load(session, ids) if ids else {}
        mine = [line for line in waiting if _decides(facts.get((line.bundle_id, line.stage)), line, person)]
        return Overview(
            applications=tuple(_row(name, policies[name], live, facts, standing) for name in shown),
            total=len(policies),
            after=shown[-1] if more else None,
            mine=tuple(mine),
            others=tuple(line for line in waiting if line not in mine),
            blocked=tuple(line for line in standing.values() if line.phase is Phase.BLOCKED),
            measured=measures.of_all_if_read(
                store.url, list(policies), last_days(measures.DEFAULT_DAYS, now, zone), now
            ),
        )


@dataclass(frozen=True)
class _Known:
    application: Application
    policy: Policy | None


def _policies(session: Session) -> dict[str, _Known]:
    """By application."""
    rows = session.exec(
        select(Application, PolicyRevision.toml)
        .outerjoin(
            PolicyRevision,
            (col(PolicyRevision.application) == col(Application.name))
            & (col(PolicyRevision.number) == col(Application.policy_revision)),
        )
        .order_by(col(Application.name))
    )
    return {row.name: _Known(row, parsed(toml) if toml else None) for row, toml in rows}


def _live_bundles(session: Session, applications: Collection[str]) -> dict[SlotKey, int]:
    rows = session.exec(
        select(Slot.application, Slot.stage, Deployment.bundle_id)
        .join(Deployment, col(Deployment.id) == col(Slot.live_deployment_id))
        .where(col(Slot.application).in_(applications))
    )
    return {(application, stage): bundle_id for application, stage, bundle_id in rows}


def _decides(facts: Facts | None, line: PromotionLine, person: Person) -> bool:
    return facts is not None and not barred(facts, line.requested_by, person)


def _row(
    name: str,
    known: _Known,
    live: dict[SlotKey, int],
    facts: dict[StageKey, Facts],
    standing: dict[SlotKey, PromotionLine],
) -> ApplicationRow:
    cells = []
    for stage in known.policy.stages if known.policy else ():
        bundle_id = live.get((name, stage.name))
        fact = facts.get((bundle_id, stage.name)) if bundle_id is not None else None
        gates = [gate for gate in fact.gates if gate.enforcing] if fact else []
        cell = Cell(
            stage=stage.name,
            live=fact.live if fact else None,
            verified=bool(gates) and all(gate.passed_once for gate in gates),
            checked=bool(known.policy and known.policy.enforcing_gates_of(stage.name)),
            quarantined=bool(fact and fact.quarantine),
            held=bool(fact and fact.hold),
            frozen=bool(fact and fact.freeze),
            promotion=standing.get((name, stage.name)),
        )
        cells.append(cell)
    return ApplicationRow(name, known.application.description, known.application.owner, tuple(cells))

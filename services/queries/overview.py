"""The whole in one look: what waits, what serves where, and how delivery goes. Eleven statements.

The delivery metrics are shown as they were last read; the page reads them in a run of its own, after the words.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from sqlalchemy import exists
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from services.queries import measures
from services.queries.common import PromotionLine, SlotKey, standing_promotions
from services.queries.inbox import barred
from services.queries.measures import Measured
from services.rules.domain import BundleRef, ComponentKind, DeploymentKind, DeploymentState, Person, Phase
from services.rules.metrics import last_days
from services.rules.policy import Policy
from services.rules.readiness import Facts, Live
from services.store.database import Store
from services.store.facts import StageKey, load, parsed
from services.store.models import Application, Bundle, ComponentRow, Deployment, PolicyRevision, Slot

PAGE = 12
WINDOW = timedelta(days=90)
ROWS_SHOWN = 100
FORWARD = tuple(kind for kind in DeploymentKind if kind not in (DeploymentKind.REDEPLOY, DeploymentKind.ROLLBACK))


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
class DeploymentRow:
    """`lead` is from the end of training to live, for the first arrival of a model version; None for all others."""

    application: str
    ref: BundleRef
    stage: str
    kind: DeploymentKind
    finished_at: datetime
    lead: timedelta | None


@dataclass(frozen=True)
class Delivery:
    """Forward deployments to the stages that count, in the window that begins at `since`, the newest first.

    `left_out` counts model versions whose training seems to end after they went live: their clocks disagree.
    """

    since: datetime
    as_of: datetime
    count: int
    rows: tuple[DeploymentRow, ...]
    leads: tuple[timedelta, ...]
    left_out: int

    @property
    def median_lead(self) -> timedelta | None:
        return timedelta(seconds=median(lead.total_seconds() for lead in self.leads)) if self.leads else None


@dataclass(frozen=True)
class Overview:
    """`mine` are the promotions this person can decide, `others` those that wait for somebody else."""

    applications: tuple[ApplicationRow, ...]
    total: int
    after: str | None
    mine: tuple[PromotionLine, ...]
    others: tuple[PromotionLine, ...]
    blocked: tuple[PromotionLine, ...]
    delivery: Delivery
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
            delivery=_delivery(session, policies, now),
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


def _delivery(session: Session, policies: dict[str, _Known], now: datetime) -> Delivery:
    since = (now - WINDOW).replace(hour=0, minute=0, second=0, microsecond=0)
    counts = {name: known.policy.metrics.stage for name, known in policies.items() if known.policy}
    rows, leads, left_out = [], [], 0
    for deployment, number, trained, seen in _forward(session, set(counts.values()), since, now):
        if counts.get(deployment.application) != deployment.stage:
            continue
        assert deployment.finished_at is not None
        lead = deployment.finished_at - trained if trained and not seen else None
        if lead is not None and lead < timedelta(0):
            lead, left_out = None, left_out + 1
        if lead is not None:
            leads.append(lead)
        ref = BundleRef(deployment.application, number or 0)
        rows.append(
            DeploymentRow(deployment.application, ref, deployment.stage, deployment.kind, deployment.finished_at, lead)
        )
    return Delivery(since, now, len(rows), tuple(rows[:ROWS_SHOWN]), tuple(leads), left_out)


def _forward(
    session: Session, stages: Collection[str], since: datetime, now: datetime
) -> list[tuple[Deployment, int | None, datetime | None, bool]]:
    """Each with whether an earlier deployment of this stage already brought its model version."""
    earlier, earlier_part = aliased(Deployment), aliased(ComponentRow)
    seen = (
        exists()
        .where(
            col(earlier_part.bundle_id) == col(earlier.bundle_id),
            col(earlier_part.kind) == ComponentKind.MODEL,
            col(earlier_part.name) == col(ComponentRow.name),
            col(earlier_part.version) == col(ComponentRow.version),
            col(earlier.application) == col(Deployment.application),
            col(earlier.stage) == col(Deployment.stage),
            col(earlier.state) == DeploymentState.SUCCEEDED,
            col(earlier.id) < col(Deployment.id),
        )
        .correlate(Deployment, ComponentRow)
    )
    rows = session.exec(
        select(Deployment, Bundle.number, Bundle.training_ended_at, seen)
        .join(Bundle, col(Bundle.id) == col(Deployment.bundle_id))
        .outerjoin(
            ComponentRow,
            (col(ComponentRow.bundle_id) == col(Bundle.id)) & (col(ComponentRow.kind) == ComponentKind.MODEL),
        )
        .where(
            col(Deployment.stage).in_(stages),
            Deployment.state == DeploymentState.SUCCEEDED,
            col(Deployment.kind).in_(FORWARD),
            col(Deployment.finished_at) >= since,
            col(Deployment.finished_at) < now,
        )
        .order_by(col(Deployment.finished_at).desc(), col(Deployment.id).desc())
    )
    found: dict[int | None, tuple[Deployment, int | None, datetime | None, bool]] = {}
    for deployment, number, trained, repeated in rows:
        found.setdefault(deployment.id, (deployment, number, trained, bool(repeated)))
    return list(found.values())

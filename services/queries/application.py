"""One application, for its page: the pipeline now, what was live where, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from services.errors import NotFound
from services.queries.common import PromotionLine, SlotKey, components_of, standing_promotions
from services.queries.differences import changed_words, difference
from services.rules.domain import BundleRef, DeploymentKind, DeploymentState, SlotRef
from services.rules.policy import Policy
from services.rules.readiness import Facts, Live, Marked
from services.store import lookups
from services.store.database import Store
from services.store.facts import load, parsed
from services.store.lookups import Candidate
from services.store.models import Application, Bundle, Deployment, PolicyRevision, Slot

TIMELINE_SHOWN = 120
REVISIONS_SHOWN = 20


@dataclass(frozen=True)
class StageNow:
    stage: str
    live: Live | None
    live_kind: DeploymentKind | None
    verified: bool
    checked: bool
    quarantined: bool
    hold: Marked | None
    freeze: Marked | None
    promotion: PromotionLine | None
    note: str
    auto: bool
    gates: tuple[str, ...]
    approvals: int


@dataclass(frozen=True)
class TimelineRow:
    """One deployment: in that stage from `live_from` until `live_until` (None: still)."""

    deployment_id: int
    bundle_id: int
    stage: str
    ref: BundleRef
    kind: DeploymentKind
    state: DeploymentState
    started_at: datetime
    live_from: datetime | None
    live_until: datetime | None
    rolled_back: bool
    note: str


@dataclass(frozen=True)
class Revision:
    number: int
    digest: str
    actor: str
    at: datetime
    toml: str
    in_force: bool


@dataclass(frozen=True)
class ApplicationView:
    name: str
    description: str
    owner: str
    metrics_stage: str
    stages: tuple[StageNow, ...]
    timeline: tuple[TimelineRow, ...]
    revisions: tuple[Revision, ...]

    def stage(self, name: str) -> StageNow | None:
        return next((stage for stage in self.stages if stage.stage == name), None)


@dataclass(frozen=True)
class WayBack:
    """One bundle to go back to. `changes` says in words what changes against what is live."""

    candidate: Candidate
    changes: tuple[str, ...]


@dataclass(frozen=True)
class RollbackOffer:
    """What can be gone back to in one stage, the one that left last first; `best` is the one to preselect, if any."""

    slot: SlotRef
    live: Live | None
    generation: int
    ways: tuple[WayBack, ...]
    best: BundleRef | None


def names(store: Store) -> tuple[str, ...]:
    """All applications, in the order of their names."""
    with store.reading() as session:
        return tuple(session.exec(select(Application.name).order_by(col(Application.name))))


def detail(store: Store, name: str, now: datetime) -> ApplicationView:
    """The whole page but the way back, in ten statements. Raises NotFound."""
    with store.reading() as session:
        application, revisions = _application(session, name)
        current = next((revision for revision in revisions if revision.in_force), None)
        policy = parsed(current.toml) if current else None
        standing = standing_promotions(session, [name])
        timeline = _timeline(session, name)
        live = {row.stage: row for row in timeline if row.live_from and not row.live_until}
        facts = load(session, {row.bundle_id for row in live.values()}) if live else {}
        pending = {row.stage: row.note for row in timeline if row.state is DeploymentState.STARTED}
        return ApplicationView(
            name=name,
            description=application.description,
            owner=application.owner,
            metrics_stage=policy.metrics.stage if policy else "",
            stages=tuple(
                _stage_now(stage.name, policy, live, facts, standing, pending)
                for stage in (policy.stages if policy else ())
            ),
            timeline=timeline,
            revisions=tuple(revisions),
        )


def rollback_offer(store: Store, slot: SlotRef) -> RollbackOffer:
    """What the roll-back dialog asks about. Raises NotFound for an unknown stage."""
    with store.reading() as session:
        row = session.get(Slot, (slot.application, slot.stage))
        if row is None:
            lookups.required_stage(lookups.required_policy(session, slot.application), slot.stage)
        candidates = lookups.rollback_candidates(session, slot)
        live = _live(session, row)
        best = lookups.best_candidate(candidates)
        wanted = [candidate.bundle_id for candidate in candidates] + ([live.bundle_id] if live else [])
        components = components_of(session, wanted) if wanted else {}
        now = components.get(live.bundle_id, ()) if live else ()
        ways = tuple(
            WayBack(c, tuple(changed_words(difference(now, components.get(c.bundle_id, ()))))) for c in candidates
        )
        return RollbackOffer(slot, live, row.generation if row else 0, ways, best.ref if best else None)


def _application(session: Session, name: str) -> tuple[Application, list[Revision]]:
    rows = session.exec(
        select(Application, PolicyRevision)
        .outerjoin(PolicyRevision, col(PolicyRevision.application) == col(Application.name))
        .where(Application.name == name)
        .order_by(col(PolicyRevision.number).desc())
        .limit(REVISIONS_SHOWN)
    ).all()
    if not rows:
        shown = name if len(name) <= 60 else name[:60] + "…"
        raise NotFound(f"There is no application {shown!r}.", "Choose one on the Overview.")
    application = rows[0][0]
    revisions = [
        Revision(r.number, r.digest, r.actor, r.at, r.toml, r.number == application.policy_revision)
        for _, r in rows
        if r is not None
    ]
    return application, revisions


def _stage_now(
    stage: str,
    policy: Policy | None,
    live: dict[str, TimelineRow],
    facts: dict[tuple[int, str], Facts],
    standing: dict[SlotKey, PromotionLine],
    pending: dict[str, str],
) -> StageNow:
    assert policy is not None
    rules = policy.stage(stage)
    assert rules is not None
    row = live.get(stage)
    fact = facts.get((row.bundle_id, stage)) if row else None
    # Hold and freeze belong to the slot: any bundle's facts know them.
    marks = fact or next((other for (_, where), other in facts.items() if where == stage), None)
    gates = [gate for gate in fact.gates if gate.enforcing] if fact else []
    return StageNow(
        stage=stage,
        live=fact.live if fact else None,
        live_kind=row.kind if row else None,
        verified=bool(gates) and all(gate.passed_once for gate in gates),
        checked=bool(policy.enforcing_gates_of(stage)),
        quarantined=bool(fact and fact.quarantine),
        hold=marks.hold if marks else None,
        freeze=marks.freeze if marks else None,
        promotion=standing.get((policy.name, stage)),
        note=pending.get(stage, ""),
        auto=rules.auto,
        gates=rules.gates,
        approvals=rules.approvals,
    )


def _timeline(session: Session, name: str) -> tuple[TimelineRow, ...]:
    """The newest first, and whatever is live, however long ago it came."""
    newest = (
        select(Deployment.id)
        .where(Deployment.application == name)
        .order_by(col(Deployment.id).desc())
        .limit(TIMELINE_SHOWN)
    )
    live = (col(Deployment.state) == DeploymentState.SUCCEEDED) & col(Deployment.superseded_at).is_(None)
    rows = session.exec(
        select(Deployment, Bundle.number)
        .join(Bundle, col(Bundle.id) == col(Deployment.bundle_id))
        .where(Deployment.application == name, col(Deployment.id).in_(newest) | live)
        .order_by(col(Deployment.id).desc())
    ).all()
    blamed = {row.blames for row, _ in rows if row.state is DeploymentState.SUCCEEDED and row.blames is not None}
    return tuple(
        TimelineRow(
            deployment_id=row.id or 0,
            bundle_id=row.bundle_id,
            stage=row.stage,
            ref=BundleRef(name, number or 0),
            kind=row.kind,
            state=row.state,
            started_at=row.started_at or row.recorded_at,
            live_from=row.finished_at if row.state is DeploymentState.SUCCEEDED else None,
            live_until=row.superseded_at,
            rolled_back=row.id in blamed,
            note=row.note,
        )
        for row, number in rows
    )


def _live(session: Session, slot: Slot | None) -> Live | None:
    if slot is None or slot.live_deployment_id is None:
        return None
    deployment, bundle = session.exec(
        select(Deployment, Bundle)
        .join(Bundle, col(Bundle.id) == col(Deployment.bundle_id))
        .where(Deployment.id == slot.live_deployment_id)
    ).one()
    assert deployment.id is not None
    assert deployment.finished_at is not None
    ref = BundleRef(bundle.application, bundle.number or 0)
    return Live(deployment.bundle_id, ref, bundle.digest, deployment.id, deployment.finished_at)

"""One application, for its page: the pipeline now, what was live where, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from services.errors import NotFound
from services.queries import drills, wayback
from services.queries.common import PromotionLine, standing_promotions
from services.queries.differences import changed_words, difference
from services.queries.drills import DrillLine
from services.queries.wayback import Blamable, Looked, SlotNow, StrayLine
from services.rules.domain import BundleRef, DeploymentKind, DeploymentState, SlotRef
from services.rules.policy import Policy, Stage
from services.rules.preflight import Answer
from services.rules.readiness import GateFact, Live, Marked
from services.store import lookups
from services.store.database import Store
from services.store.facts import gate_facts, parsed
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
    stray: StrayLine | None
    looked: Looked | None
    drill: DrillLine | None


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
    """One bundle to go back to. `changes` says in words what changes against what is live.

    `looked` is the preflight, or None where no worker has looked at it yet, which never prevents a rollback.
    """

    candidate: Candidate
    changes: tuple[str, ...]
    looked: Looked | None

    @property
    def unsafe(self) -> bool:
        return self.looked is not None and self.looked.answer is Answer.UNSAFE

    @property
    def needs_override(self) -> bool:
        return self.candidate.quarantined or self.unsafe


@dataclass(frozen=True)
class RollbackOffer:
    """What can be gone back to in one stage, the one that left last first; `best` is the one to preselect, if any."""

    slot: SlotRef
    live: Live | None
    generation: int
    ways: tuple[WayBack, ...]
    best: BundleRef | None
    blamable: tuple[Blamable, ...] = ()


def names(store: Store) -> tuple[str, ...]:
    """All applications, in the order of their names."""
    with store.reading() as session:
        return tuple(session.exec(select(Application.name).order_by(col(Application.name))))


def detail(store: Store, name: str, now: datetime) -> ApplicationView:
    """The whole page but the way back, in seven statements. Raises NotFound."""
    with store.reading() as session:
        application, revisions = _application(session, name)
        current = next((revision for revision in revisions if revision.in_force), None)
        policy = parsed(current.toml) if current else None
        standing = standing_promotions(session, [name])
        timeline = _timeline(session, name)
        slots = wayback.slots(session, name)
        bundles = {slot.live.bundle_id for slot in slots.values() if slot.live}
        gates = gate_facts(session, policy, bundles) if policy and bundles else {}
        last = drills.last_of(session, name)
        pending = {row.stage: row.note for row in timeline if row.state is DeploymentState.STARTED}
        return ApplicationView(
            name=name,
            description=application.description,
            owner=application.owner,
            metrics_stage=policy.metrics.stage if policy else "",
            stages=tuple(
                _stage_now(
                    policy,
                    stage,
                    slots.get(stage.name),
                    timeline,
                    gates,
                    standing.get((name, stage.name)),
                    pending,
                    last,
                )
                for stage in (policy.stages if policy else ())
                if policy is not None
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
        live = wayback.live(session, row)
        best = lookups.best_candidate(candidates)
        wanted = [candidate.bundle_id for candidate in candidates] + ([live.bundle_id] if live else [])
        components = lookups.components_of_many(session, wanted) if wanted else {}
        now = components.get(live.bundle_id, ()) if live else ()
        looked = wayback.preflights(session, slot, live.bundle_id if live else None)
        ways = tuple(
            WayBack(c, tuple(changed_words(difference(now, components.get(c.bundle_id, ())))), looked.get(c.bundle_id))
            for c in candidates
        )
        generation = row.generation if row else 0
        return RollbackOffer(slot, live, generation, ways, best.ref if best else None, wayback.blamable(session, slot))


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
    policy: Policy,
    rules: Stage,
    slot: SlotNow | None,
    timeline: tuple[TimelineRow, ...],
    gates: dict[tuple[int, str], tuple[GateFact, ...]],
    promotion: PromotionLine | None,
    pending: dict[str, str],
    last: dict[str, DrillLine],
) -> StageNow:
    live = slot.live if slot else None
    judged = [gate for gate in gates.get((live.bundle_id, rules.name), ()) if gate.enforcing] if live else []
    return StageNow(
        stage=rules.name,
        live=live,
        live_kind=next((row.kind for row in timeline if live and row.deployment_id == live.deployment_id), None),
        verified=bool(judged) and all(gate.passed_once for gate in judged),
        checked=bool(policy.enforcing_gates_of(rules.name)),
        quarantined=bool(slot and slot.quarantined),
        hold=slot.hold if slot else None,
        freeze=slot.freeze if slot else None,
        promotion=promotion,
        note=pending.get(rules.name, ""),
        auto=rules.auto,
        gates=rules.gates,
        approvals=rules.approvals,
        stray=slot.stray if slot else None,
        looked=slot.looked if slot else None,
        drill=last.get(rules.name),
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

"""One bundle, for its page: what is in it, how it stands before each stage, what the gates found, its history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from services.queries import gateruns
from services.queries.common import PromotionLine, promotion_line
from services.queries.differences import Difference, difference
from services.queries.gateruns import GateLine
from services.queries.standing import Standing, next_stage, standing
from services.rules import readiness
from services.rules.domain import (
    BundleRef,
    Component,
    DeploymentKind,
    DeploymentState,
    Gap,
    Person,
    Role,
)
from services.rules.readiness import Facts, Marked
from services.store import lookups
from services.store.database import Store
from services.store.facts import load
from services.store.models import Bundle, ComponentRow, Deployment, GateRun, Promotion

RUNS_SHOWN = 60
HISTORY_SHOWN = 40


@dataclass(frozen=True)
class Arrival:
    """What became of a promotion: the deployment it started."""

    state: DeploymentState
    kind: DeploymentKind
    started_at: datetime | None
    finished_at: datetime | None
    superseded_at: datetime | None
    note: str


@dataclass(frozen=True)
class HistoryLine:
    promotion: PromotionLine
    arrival: Arrival | None


@dataclass(frozen=True)
class StageView:
    """`offer_key` names what a click on this page asks for: the same offer, clicked twice, is one promotion."""

    standing: Standing
    facts: Facts
    gates: tuple[GateLine, ...]
    offer_key: str

    @property
    def can_be_asked_for(self) -> bool:
        """Nothing is missing that a gate or an approval would not answer on the way."""
        return not readiness.unmet(self.standing.conditions, ignoring=readiness.ANSWERED_ON_THE_WAY)


@dataclass(frozen=True)
class BundleView:
    ref: BundleRef
    digest: str
    maker: str
    made_at: datetime
    replayed: bool
    source: str
    components: tuple[Component, ...]
    gaps: tuple[Gap, ...]
    metrics: dict[str, float]
    parameters: dict[str, str]
    training_ended_at: datetime | None
    registered_at: datetime | None
    registry_version: str | None
    quarantine: Marked | None
    stages: tuple[StageView, ...]
    next_stage: str | None
    compared_with: BundleRef | None
    compared_in: str
    difference: Difference
    earlier_runs: tuple[GateLine, ...]
    history: tuple[HistoryLine, ...]

    def stage(self, name: str | None) -> StageView | None:
        return next((view for view in self.stages if view.facts.stage == name), None)

    @property
    def live_in(self) -> tuple[str, ...]:
        return tuple(view.facts.stage for view in self.stages if view.facts.is_live)


def detail(store: Store, ref: BundleRef, person: Person, now: datetime) -> BundleView:
    """Everything the page shows, in at most eleven statements. Raises NotFound."""
    with store.reading() as session:
        bundle = lookups.bundle(session, ref)
        assert bundle.id is not None
        facts = {stage: fact for (_, stage), fact in load(session, [bundle.id]).items()}
        following = next_stage(facts)
        other, where = _compare_with(bundle, facts, following)
        components, metrics = _contents(session, [ref, *([other] if other else [])])
        runs = _runs(session, bundle.id, facts)
        history = _history(session, bundle)
        return BundleView(
            ref=ref,
            digest=bundle.digest,
            maker=bundle.maker,
            made_at=bundle.at,
            replayed=bundle.replayed,
            source=bundle.source,
            components=components.get(ref, ()),
            gaps=tuple(Gap(gap["name"], gap["reason"]) for gap in bundle.gaps),
            metrics=bundle.metrics,
            parameters=bundle.parameters,
            training_ended_at=bundle.training_ended_at,
            registered_at=bundle.registered_at,
            registry_version=bundle.registry_version,
            quarantine=Marked(bundle.quarantined_by, bundle.quarantine_reason, bundle.quarantined_at)
            if bundle.quarantined_at
            else None,
            stages=tuple(_stage(fact, runs, history, person, now) for fact in facts.values()),
            next_stage=following,
            compared_with=other,
            compared_in=where,
            difference=difference(
                components.get(other, ()) if other else (),
                components.get(ref, ()),
                metrics.get(other, {}) if other else {},
                bundle.metrics,
            ),
            earlier_runs=_earlier(facts, runs),
            history=history,
        )


def may_promote(person: Person) -> bool:
    """Courtesy for the page: the command decides."""
    return person.has(Role.MAKER, Role.LEAD, Role.ADMIN)


def may_lead(person: Person) -> bool:
    return person.has(Role.LEAD, Role.ADMIN)


def _compare_with(bundle: Bundle, facts: dict[str, Facts], following: str | None) -> tuple[BundleRef | None, str]:
    """What is live where this bundle would go next. One that is live at the end of its way: the bundle before it.

    One that came through and is live nowhere: what is live in the last stage. With the stage, where there is one.
    """
    live_somewhere = any(fact.is_live for fact in facts.values())
    for stage in [following, *([] if live_somewhere else reversed(facts))]:
        if stage is not None and (live := facts[stage].live) and not facts[stage].is_live:
            return live.ref, stage
    number = bundle.number or 0
    return (BundleRef(bundle.application, number - 1), "") if number > 1 else (None, "")


def _contents(
    session: Session, refs: list[BundleRef]
) -> tuple[dict[BundleRef, tuple[Component, ...]], dict[BundleRef, dict[str, float]]]:
    components: dict[BundleRef, tuple[Component, ...]] = {}
    metrics: dict[BundleRef, dict[str, float]] = {}
    for row, number, measured in session.exec(
        select(ComponentRow, Bundle.number, Bundle.metrics)
        .join(Bundle, col(Bundle.id) == col(ComponentRow.bundle_id))
        .where(
            Bundle.application == refs[0].application,  # all of one application
            col(Bundle.number).in_([ref.number for ref in refs]),
        )
        .order_by(col(ComponentRow.id))
    ):
        ref = BundleRef(refs[0].application, number or 0)
        part = Component(row.kind, row.name, row.version, row.uri, row.digest, row.details)
        components[ref] = (*components.get(ref, ()), part)
        metrics[ref] = dict(measured)
    return components, metrics


def _runs(session: Session, bundle_id: int, facts: dict[str, Facts]) -> dict[int, GateLine]:
    """The newest first."""
    policy = next((fact.policy for fact in facts.values()), None)
    rows = session.exec(
        select(GateRun).where(GateRun.bundle_id == bundle_id).order_by(col(GateRun.id).desc()).limit(RUNS_SHOWN)
    )
    return {row.id: gateruns.from_row(row, policy) for row in rows if row.id is not None}


def _earlier(facts: dict[str, Facts], runs: dict[int, GateLine]) -> tuple[GateLine, ...]:
    latest = {gate.run_id for fact in facts.values() for gate in fact.gates}
    return tuple(line for run_id, line in runs.items() if run_id not in latest)


def _history(session: Session, bundle: Bundle) -> tuple[HistoryLine, ...]:
    rows = session.exec(
        select(Promotion, Deployment)
        .outerjoin(Deployment, col(Deployment.promotion_id) == col(Promotion.id))
        .where(Promotion.bundle_id == bundle.id)
        .order_by(col(Promotion.id).desc(), col(Deployment.id).desc())
        .limit(HISTORY_SHOWN)
    )
    return tuple(
        HistoryLine(promotion_line(promotion, bundle.number), _arrival(deployment)) for promotion, deployment in rows
    )


def _arrival(row: Deployment | None) -> Arrival | None:
    if row is None:
        return None
    return Arrival(row.state, row.kind, row.started_at, row.finished_at, row.superseded_at, row.note)


def _stage(
    facts: Facts, runs: dict[int, GateLine], history: tuple[HistoryLine, ...], person: Person, now: datetime
) -> StageView:
    last = max((line.promotion.id for line in history if line.promotion.stage == facts.stage), default=0)
    live = facts.live.deployment_id if facts.live else 0
    key = f"promote {facts.ref} to {facts.stage} after {last} over {live} by {person.name}"
    return StageView(standing(facts, now), facts, gateruns.of_facts(facts, runs), key)

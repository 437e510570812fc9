"""Loading the facts of readiness: any bundles, every stage of their policies, in seven statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_
from sqlmodel import Session, col, select

from services import clock as clocks
from services.errors import NotFound, PolicyInvalid
from services.rules import evidence
from services.rules.domain import (
    ACTIVE_PHASES,
    BundleRef,
    ComponentKind,
    Decision,
    DeploymentState,
    Gap,
    Role,
    RunState,
)
from services.rules.policy import Policy, parse
from services.rules.readiness import ActivePromotion, ApprovalFact, Facts, GateFact, Live, Marked, Passage
from services.store.models import (
    Application,
    Approval,
    Bundle,
    ComponentRow,
    Deployment,
    GateRun,
    PolicyRevision,
    Promotion,
    Slot,
)

# (application, stage) and (bundle id, stage)
SlotKey = tuple[str, str]
StageKey = tuple[int, str]


def policy_in_force(session: Session, application: str) -> Policy | None:
    """The policy now, or None where the application has none. Raises NotFound for an unknown application."""
    found = session.exec(
        select(Application.name, PolicyRevision.toml)
        .outerjoin(PolicyRevision, _in_force())
        .where(Application.name == application)
    ).first()
    if found is None:
        shown = application if len(application) <= 60 else application[:60] + "…"
        raise NotFound(
            f"There is no application {shown!r}.", "`headgate status` lists those there are; `headgate apply` adds one."
        )
    return parsed(found[1]) if found[1] else None


def parsed(toml: str) -> Policy:
    """Parse once per text: revisions never change, and a page would otherwise parse the same one for every row."""
    if toml not in _parsed_policies:
        if len(_parsed_policies) > 500:
            _parsed_policies.clear()
        try:
            _parsed_policies[toml] = parse(toml)
        except PolicyInvalid as error:
            raise PolicyInvalid([f"(stored revision): {mistake}" for mistake in error.mistakes]) from error
    return _parsed_policies[toml]


_parsed_policies: dict[str, Policy] = {}


def load_one(session: Session, bundle_id: int, stage: str) -> Facts:
    """For one bundle and one stage, which need not exist: readiness then says so."""
    loaded = load(session, [bundle_id], also=stage)
    return loaded[bundle_id, stage]


def load(session: Session, bundle_ids: Collection[int], *, also: str = "") -> dict[StageKey, Facts]:
    """Facts by bundle id and stage, for each stage of the policy (and `also`). Seven statements at the most."""
    ids = list(bundle_ids)
    bundles = [
        (bundle, parsed(toml) if toml else None)
        for bundle, toml in session.exec(
            select(Bundle, PolicyRevision.toml)
            .join(Application, col(Application.name) == col(Bundle.application))
            .outerjoin(PolicyRevision, _in_force())
            .where(col(Bundle.id).in_(ids))
        )
    ]
    applications = {bundle.application for bundle, _ in bundles}
    slots = _slots(session, applications)
    active = _active(session, applications, slots)
    approvals = _approvals(session, [a.id for a in active.values() if a.bundle_id in set(ids)])
    kinds = _kinds(session, ids)
    arrivals = _arrivals(session, ids)
    runs = _latest_runs(session, ids)

    found = {}
    for bundle, policy in bundles:
        assert bundle.id is not None
        stages = [stage.name for stage in policy.stages] if policy else []
        for stage in dict.fromkeys([*stages, also] if also else stages):
            slot = slots.get((bundle.application, stage), _NO_SLOT)
            promotion = active.get((bundle.application, stage))
            facts = Facts(
                policy=policy,
                application=bundle.application,
                stage=stage,
                bundle_id=bundle.id,
                ref=BundleRef(bundle.application, bundle.number or 0),
                digest=bundle.digest,
                maker=bundle.maker,
                components=frozenset(kinds[bundle.id]),
                gaps=tuple(Gap(gap["name"], gap["reason"]) for gap in bundle.gaps),
                quarantine=_marked(bundle.quarantined_by, bundle.quarantine_reason, bundle.quarantined_at),
                before=_passage(policy, bundle.id, stage, arrivals, runs),
                gates=_against_live(_gates(policy, bundle.id, stage, runs), policy, bundle.id, slot.live),
                approvals=approvals[promotion.id] if promotion and promotion.bundle_id == bundle.id else (),
                hold=slot.hold,
                freeze=slot.freeze,
                active=promotion,
                live=slot.live,
                was_live_here=(bundle.id, stage) in arrivals,
            )
            found[bundle.id, stage] = replace(facts, evidence_digest=evidence.digest_of(evidence.of(facts)))
    return found


@dataclass(frozen=True)
class _SlotFacts:
    live: Live | None = None
    hold: Marked | None = None
    freeze: Marked | None = None
    writing: bool = False


_NO_SLOT = _SlotFacts()


def _in_force() -> ColumnElement[bool]:
    """Joins the revision in force to a statement that already has the application."""
    return (col(PolicyRevision.application) == col(Application.name)) & (
        col(PolicyRevision.number) == col(Application.policy_revision)
    )


def _slots(session: Session, applications: Collection[str]) -> dict[SlotKey, _SlotFacts]:
    rows = session.exec(
        select(Slot, Deployment, Bundle)
        .outerjoin(Deployment, col(Deployment.id) == col(Slot.live_deployment_id))
        .outerjoin(Bundle, col(Bundle.id) == col(Deployment.bundle_id))
        .where(col(Slot.application).in_(applications))
    )
    return {
        (slot.application, slot.stage): _SlotFacts(
            live=_live(deployment, bundle) if deployment else None,
            hold=_marked(slot.hold_by, slot.hold_reason, slot.hold_since),
            freeze=_marked(slot.freeze_by, slot.freeze_reason, slot.freeze_from, slot.freeze_until),
            writing=bool(slot.lease_owner and slot.lease_until and slot.lease_until > clocks.wall()),
        )
        for slot, deployment, bundle in rows
    }


def _live(deployment: Deployment, bundle: Bundle) -> Live:
    assert deployment.id is not None
    assert deployment.finished_at is not None
    ref = BundleRef(bundle.application, bundle.number or 0)
    return Live(deployment.bundle_id, ref, bundle.digest, deployment.id, deployment.finished_at)


def _marked(by: str, reason: str, since: datetime | None, until: datetime | None = None) -> Marked | None:
    return Marked(by, reason, since, until) if since else None


def _active(
    session: Session, applications: Collection[str], slots: dict[SlotKey, _SlotFacts]
) -> dict[SlotKey, ActivePromotion]:
    rows = session.exec(
        select(Promotion, Bundle.number)
        .join(Bundle, col(Bundle.id) == col(Promotion.bundle_id))
        .where(col(Promotion.application).in_(applications), col(Promotion.phase).in_(ACTIVE_PHASES))
    )
    found = {}
    for promotion, number in rows:
        assert promotion.id is not None
        key = (promotion.application, promotion.stage)
        found[key] = ActivePromotion(
            id=promotion.id,
            bundle_id=promotion.bundle_id,
            ref=BundleRef(promotion.application, number or 0),
            phase=promotion.phase,
            automatic=promotion.automatic,
            rollback=promotion.rollback,
            requested_by=promotion.requested_by,
            writing=slots.get(key, _NO_SLOT).writing,
        )
    return found


def _approvals(session: Session, promotion_ids: Sequence[int]) -> dict[int, tuple[ApprovalFact, ...]]:
    found: dict[int, tuple[ApprovalFact, ...]] = defaultdict(tuple)
    if not promotion_ids:
        return found
    for row in session.exec(
        select(Approval)
        .where(col(Approval.promotion_id).in_(promotion_ids), Approval.decision == Decision.APPROVED)
        .order_by(col(Approval.id))
    ):
        fact = ApprovalFact(row.person, Role(row.role), row.evidence_digest, row.at, row.self_approved)
        found[row.promotion_id] += (fact,)
    return found


def _kinds(session: Session, ids: Sequence[int]) -> dict[int, set[ComponentKind]]:
    found: dict[int, set[ComponentKind]] = defaultdict(set)
    for bundle_id, kind in session.exec(
        select(ComponentRow.bundle_id, ComponentRow.kind).where(col(ComponentRow.bundle_id).in_(ids)).distinct()
    ):
        found[bundle_id].add(ComponentKind(kind))
    return found


def _arrivals(session: Session, ids: Sequence[int]) -> dict[StageKey, datetime]:
    """When each bundle first became live in each stage."""
    rows = session.exec(
        select(Deployment.bundle_id, Deployment.stage, func.min(Deployment.finished_at))
        .where(col(Deployment.bundle_id).in_(ids), Deployment.state == DeploymentState.SUCCEEDED)
        .group_by(col(Deployment.bundle_id), col(Deployment.stage))
    )
    return {(bundle_id, stage): first for bundle_id, stage, first in rows if first}


def _latest_runs(session: Session, ids: Sequence[int]) -> dict[tuple[int, str, str], GateRun]:
    """The latest run of each gate. One still going hides the earlier result, which it may take back.

    One that was cancelled before it began is no result, and takes nothing back.
    """
    newest = (
        select(func.max(GateRun.id))
        .where(
            col(GateRun.bundle_id).in_(ids),
            or_(col(GateRun.state) != RunState.FINISHED, col(GateRun.started_at).is_not(None)),
        )
        .group_by(col(GateRun.bundle_id), col(GateRun.stage), col(GateRun.gate))
    )
    rows = session.exec(select(GateRun).where(col(GateRun.id).in_(newest)))
    return {(run.bundle_id, run.stage, run.gate): run for run in rows}


def gate_facts(session: Session, policy: Policy, bundle_ids: Collection[int]) -> dict[StageKey, tuple[GateFact, ...]]:
    """What the gates of each stage last said of these bundles, and nothing else of readiness. One statement."""
    runs = _latest_runs(session, list(bundle_ids))
    stages = [stage.name for stage in policy.stages]
    return {(id_, stage): _gates(policy, id_, stage, runs) for id_ in bundle_ids for stage in stages}


def _gates(
    policy: Policy | None, bundle_id: int, stage: str, runs: dict[tuple[int, str, str], GateRun]
) -> tuple[GateFact, ...]:
    if policy is None:
        return ()
    return tuple(_gate_fact(policy, name, runs.get((bundle_id, stage, name))) for name in policy.gates_of(stage))


def _against_live(
    gates: tuple[GateFact, ...], policy: Policy | None, bundle_id: int, live: Live | None
) -> tuple[GateFact, ...]:
    """Comparisons hold against what is live now; that of a bundle which is live itself stays as it was.

    Not asked of the stage before: what a bundle was compared with when it came through is past.
    """
    if policy is None or (live and live.bundle_id == bundle_id):
        return gates
    now = live.bundle_id if live else None
    return tuple(
        replace(gate, compares_with_live=policy.gates[gate.gate].compares_with_live, to_judge_against=now)
        for gate in gates
    )


def _gate_fact(policy: Policy, name: str, run: GateRun | None) -> GateFact:
    gate = policy.gates[name]
    never = GateFact(name, gate.enforcing, gate.inconclusive == "warn", policy.gate_digest(name))
    if run is None:
        return never
    return replace(
        never,
        run_id=run.id,
        state=run.state,
        verdict=run.verdict if run.state is RunState.FINISHED else None,
        summary=run.summary,
        definition=run.definition_digest,
        data_digest=run.data_digest,
        finished_at=run.finished_at,
        waived_by=run.waived_by,
        judged_against=run.live_bundle_id,
    )


def _passage(
    policy: Policy | None,
    bundle_id: int,
    stage: str,
    arrivals: dict[StageKey, datetime],
    runs: dict[tuple[int, str, str], GateRun],
) -> Passage | None:
    before = policy.before(stage) if policy and policy.stage(stage) else None
    if before is None:
        return None
    enforcing = [gate for gate in _gates(policy, bundle_id, before.name, runs) if gate.enforcing]
    verified = bool(enforcing) and all(gate.satisfied for gate in enforcing)
    return Passage(before.name, arrivals.get((bundle_id, before.name)), verified)

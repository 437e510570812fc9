"""Gate runs as pages show them: the verdict with the evidence behind it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from services.rules.domain import GateMode, RunState, Verdict
from services.rules.policy import Policy
from services.rules.readiness import COMPARED_BEFORE, OTHER_RULES, Facts, GateFact
from services.store.models import GateRun


@dataclass(frozen=True)
class GateLine:
    """One gate of a stage, with its latest run; `run_id` is None where it never ran.

    `outdated` says why a result no longer counts (other rules, something else is live); empty where it does.
    """

    gate: str
    kind: str
    mode: GateMode
    description: str
    outdated: str = ""
    run_id: int | None = None
    bundle_id: int | None = None
    stage: str = ""
    state: RunState | None = None
    progress: str = ""
    verdict: Verdict | None = None
    summary: str = ""
    evidence: tuple[tuple[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    requested_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    waived_by: str = ""
    waive_reason: str = ""
    decision: str = ""  # defect or false: what a person said of its block
    decided_by: str = ""

    @property
    def blocked(self) -> bool:
        """It kept the bundle out, whether or not somebody waived it later."""
        letting_through = (None, Verdict.PASSED, Verdict.SKIPPED)
        return self.verdict not in letting_through and self.mode is GateMode.ENFORCE


def from_row(run: GateRun, policy: Policy | None) -> GateLine:
    definition = policy.gates.get(run.gate) if policy else None
    return GateLine(
        gate=run.gate,
        kind=run.kind,
        mode=run.mode,
        description=definition.description if definition else "",
        outdated="" if policy and definition and policy.gate_digest(run.gate) == run.definition_digest else OTHER_RULES,
        run_id=run.id,
        bundle_id=run.bundle_id,
        stage=run.stage,
        state=run.state,
        progress=run.progress,
        verdict=run.verdict if run.state is RunState.FINISHED else None,
        summary=run.summary,
        evidence=tuple(run.evidence.items()),
        warnings=tuple(run.warnings),
        requested_at=run.requested_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        waived_by=run.waived_by,
        waive_reason=run.waive_reason,
        decision=run.decision,
        decided_by=run.decided_by,
    )


def never_run(fact: GateFact, policy: Policy, stage: str) -> GateLine:
    definition = policy.gates[fact.gate]
    return GateLine(fact.gate, definition.kind, definition.mode, definition.description, stage=stage)


def of_facts(facts: Facts, lines: dict[int, GateLine]) -> tuple[GateLine, ...]:
    """The gates a stage demands, in the policy's order, each with its latest run out of `lines` (by run id)."""
    if facts.policy is None:
        return ()
    return tuple(
        replace(
            lines[fact.run_id], outdated=lines[fact.run_id].outdated if fact.against_what_is_live else COMPARED_BEFORE
        )
        if fact.run_id in lines
        else never_run(fact, facts.policy, facts.stage)
        for fact in facts.gates
    )


def by_id(session: Session, wanted: Collection[Facts]) -> dict[int, GateLine]:
    """The latest runs that these facts name, with their evidence. One statement."""
    policies = {fact.application: fact.policy for fact in wanted}
    ids = [gate.run_id for fact in wanted for gate in fact.gates if gate.run_id is not None]
    rows = session.exec(select(GateRun).where(col(GateRun.id).in_(ids))) if ids else ()
    return {row.id: from_row(row, policies[row.application]) for row in rows if row.id is not None}

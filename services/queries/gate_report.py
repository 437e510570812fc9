"""What gates found, for the command line: the results of some runs, or the latest of a stage."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import func
from sqlmodel import col, select

from services.queries.common import iso
from services.rules.domain import BundleRef, RunState
from services.store import lookups
from services.store.database import Store
from services.store.models import GateRun


def unfinished(store: Store, run_ids: Collection[int]) -> list[int]:
    with store.reading() as session:
        rows = session.exec(
            select(GateRun.id)
            .where(col(GateRun.id).in_(run_ids), GateRun.state != RunState.FINISHED)
            .order_by(col(GateRun.id))
        )
        return [run_id for run_id in rows if run_id is not None]


def of_runs(store: Store, run_ids: Collection[int]) -> list[dict[str, Any]]:
    with store.reading() as session:
        rows = session.exec(select(GateRun).where(col(GateRun.id).in_(run_ids)).order_by(col(GateRun.id)))
        return [_result(row) for row in rows]


def latest(store: Store, ref: BundleRef, stage: str) -> list[dict[str, Any]]:
    """The latest run of each gate. Raises NotFound for an unknown bundle or stage."""
    with store.reading() as session:
        bundle = lookups.bundle(session, ref)
        lookups.required_stage(lookups.required_policy(session, ref.application), stage)
        newest = (
            select(func.max(GateRun.id))
            .where(GateRun.bundle_id == bundle.id, GateRun.stage == stage)
            .group_by(col(GateRun.gate))
        )
        rows = session.exec(select(GateRun).where(col(GateRun.id).in_(newest)).order_by(col(GateRun.gate)))
        return [_result(row) for row in rows]


def _result(run: GateRun) -> dict[str, Any]:
    return {
        "run": run.id,
        "gate": run.gate,
        "kind": run.kind,
        "mode": run.mode.value,
        "state": run.state.value,
        "verdict": run.verdict.value if run.verdict else None,
        "summary": run.summary,
        "warnings": run.warnings,
        "evidence": run.evidence,
        "data_digest": run.data_digest,
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
    }

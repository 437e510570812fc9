"""Carrying out one's own intents, where no worker lives or a story is told: the gates, then the deployment."""

from __future__ import annotations

from sqlmodel import col, select

from services.clock import Clock
from services.rules.domain import Phase, RunState, SlotRef
from services.settings import Settings
from services.store import lookups
from services.store.database import Store
from services.store.models import GateRun
from services.work import deploy, runs
from services.work.tracking import Tracking


def carry_out(store: Store, tracking: Tracking, settings: Settings, promotion_id: int, *, clock: Clock) -> Phase:
    """Run its gates, move it on, deploy. Returns where it now stands; `deploying` means MLflow does not answer."""
    for run_id in _open_runs(store, promotion_id):
        runs.carry_out(store, settings, run_id, owner=deploy.new_owner(), clock=clock)
    slot, phase = _where(store, promotion_id)
    if phase is Phase.DEPLOYING:
        deploy.carry_out(store, tracking, slot, clock=clock)
        _, phase = _where(store, promotion_id)
    return phase


def _open_runs(store: Store, promotion_id: int) -> list[int]:
    with store.reading() as session:
        rows = session.exec(
            select(GateRun.id)
            .where(GateRun.promotion_id == promotion_id, GateRun.state != RunState.FINISHED)
            .order_by(col(GateRun.id))
        )
        return [run_id for run_id in rows if run_id is not None]


def _where(store: Store, promotion_id: int) -> tuple[SlotRef, Phase]:
    with store.reading() as session:
        promotion = lookups.promotion(session, promotion_id)
        return SlotRef(promotion.application, promotion.stage), promotion.phase

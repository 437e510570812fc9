"""How a promotion comes along, for a page that watches it. Five statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func
from sqlmodel import col, select

from services import clock as clocks
from services.queries.common import PromotionLine, promotion_line
from services.rules.domain import DeploymentState, Phase, RunState, Verdict
from services.store import lookups
from services.store.database import Store
from services.store.models import Bundle, Deployment, GateRun, Worker

# A worker reports every few seconds.
SILENCE = timedelta(seconds=20)


@dataclass(frozen=True)
class GateProgress:
    gate: str
    state: RunState
    progress: str
    verdict: Verdict | None


@dataclass(frozen=True)
class Watched:
    promotion: PromotionLine
    gates: tuple[GateProgress, ...]
    deployment: DeploymentState | None
    note: str
    unattended: bool

    @property
    def moving(self) -> bool:
        """Whether it is worth looking again by itself."""
        return self.promotion.phase in (Phase.REQUESTED, Phase.GATING, Phase.DEPLOYING)


def promotion(store: Store, promotion_id: int) -> Watched:
    """`unattended` where no worker has reported for a while, so that nobody would carry it out. Raises NotFound."""
    with store.reading() as session:
        row = lookups.promotion(session, promotion_id)
        number = session.exec(select(Bundle.number).where(Bundle.id == row.bundle_id)).one()
        runs = session.exec(select(GateRun).where(GateRun.promotion_id == promotion_id).order_by(col(GateRun.id))).all()
        deployment = session.exec(
            select(Deployment).where(Deployment.promotion_id == promotion_id).order_by(col(Deployment.id).desc())
        ).first()
        beat = session.exec(select(func.max(Worker.beat_at))).one()
        latest = {run.gate: run for run in runs}
        return Watched(
            promotion=promotion_line(row, number),
            gates=tuple(GateProgress(r.gate, r.state, r.progress, r.verdict) for r in latest.values()),
            deployment=deployment.state if deployment else None,
            note=deployment.note if deployment else "",
            unattended=beat is None or clocks.wall() - beat > SILENCE,
        )

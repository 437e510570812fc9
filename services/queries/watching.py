"""How a promotion comes along, for a page that watches it. Four statements."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import col, select

from services.queries.common import PromotionLine, promotion_line
from services.rules.domain import DeploymentState, Phase, RunState, Verdict
from services.store import lookups
from services.store.database import Store
from services.store.models import Bundle, Deployment, GateRun


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

    @property
    def moving(self) -> bool:
        """Whether it is worth looking again by itself."""
        return self.promotion.phase in (Phase.REQUESTED, Phase.GATING, Phase.DEPLOYING)


def promotion(store: Store, promotion_id: int) -> Watched:
    """Raises NotFound."""
    with store.reading() as session:
        row = lookups.promotion(session, promotion_id)
        number = session.exec(select(Bundle.number).where(Bundle.id == row.bundle_id)).one()
        runs = session.exec(select(GateRun).where(GateRun.promotion_id == promotion_id).order_by(col(GateRun.id))).all()
        deployment = session.exec(
            select(Deployment).where(Deployment.promotion_id == promotion_id).order_by(col(Deployment.id).desc())
        ).first()
        latest = {run.gate: run for run in runs}
        return Watched(
            promotion=promotion_line(row, number),
            gates=tuple(GateProgress(r.gate, r.state, r.progress, r.verdict) for r in latest.values()),
            deployment=deployment.state if deployment else None,
            note=deployment.note if deployment else "",
        )

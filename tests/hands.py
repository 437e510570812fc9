"""The hands of a worker, without MLflow: gate runs are answered and deployments completed through their commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import example
from sqlmodel import select

from services.clock import StoryClock
from services.commands import approvals, deployments, gates, promotions, rollbacks
from services.rules.domain import BundleRef, GateOutcome, Person, Phase, RunState, SlotRef, Verdict
from services.store.database import Store
from services.store.models import Deployment, GateRun, Promotion, Slot

OWNER = "hands"


def judge(store: Store, clock: StoryClock, *, data: str = "sha256:rows", **verdicts: Verdict) -> None:
    """Answer every open gate run: passed, unless the gate's name says otherwise (`accuracy=Verdict.FAILED`)."""
    with store.reading() as session:
        open_runs = session.exec(
            select(GateRun.id).where(GateRun.state != RunState.FINISHED).order_by(GateRun.id)
        ).all()  # type: ignore[arg-type]
    for run_id in open_runs:
        assert run_id is not None
        claim = gates.claim(store, run_id, owner=OWNER, clock=clock)
        if claim is not None:
            verdict = verdicts.get(claim.gate, Verdict.PASSED)
            outcome = GateOutcome(verdict, f"{claim.gate} {verdict.value}", data_digest=data)
            gates.finish(store, run_id, outcome, owner=OWNER, clock=clock)


def deploy(store: Store, slot: SlotRef, clock: StoryClock) -> None:
    """Complete what is pending in the slot, as a mover whose every call to MLflow succeeds."""
    target = deployments.take_lease(store, slot, owner=OWNER)
    assert target is not None
    assert target.pending
    deployments.mark_writing(store, target, owner=OWNER, clock=clock)
    deployments.complete(store, target, owner=OWNER, clock=clock)


@dataclass
class Team:
    """One application, its people, and short words for what they do all day."""

    store: Store
    clock: StoryClock
    maker: Person
    lead: Person
    text: str = example.POLICY

    def __post_init__(self) -> None:
        example.apply(self.store, self.maker, self.clock, self.lead, text=self.text)

    def wait(self, **span: float) -> None:
        self.clock.at += timedelta(**span)

    def make(self, version: int) -> BundleRef:
        """A new bundle, live in development."""
        made = example.register(self.store, self.maker, self.clock, version)
        deploy(self.store, SlotRef("delays", "development"), self.clock)
        return made.ref

    def ask(self, ref: BundleRef, stage: str = "production", **verdicts: Verdict) -> int:
        """A promotion whose gates have answered."""
        self.wait(minutes=1)
        promotion = promotions.request(self.store, ref, stage, actor=self.maker, clock=self.clock)
        judge(self.store, self.clock, **verdicts)
        return promotion

    def stage(self, version: int) -> BundleRef:
        """A new bundle, live in staging."""
        ref = self.make(version)
        self.ask(ref, "staging")
        deploy(self.store, SlotRef("delays", "staging"), self.clock)
        return ref

    def waiting(self, version: int = 1) -> tuple[BundleRef, int]:
        """A bundle that waits for an approval for production."""
        ref = self.stage(version)
        return ref, self.ask(ref)

    def live(self, version: int) -> BundleRef:
        """A new bundle, live in production."""
        ref, promotion = self.waiting(version)
        self.approve(promotion)
        self.deploy()
        return ref

    def approve(self, promotion: int, by: Person | None = None, **seen: str) -> Phase:
        self.wait(minutes=1)
        return approvals.approve(self.store, promotion, actor=by or self.lead, clock=self.clock, **seen)  # type: ignore[arg-type]

    def deploy(self, stage: str = "production") -> None:
        self.wait(minutes=1)
        deploy(self.store, SlotRef("delays", stage), self.clock)

    def roll_back(self, to: BundleRef | None = None, **more: object) -> int:
        self.wait(minutes=1)
        slot = SlotRef("delays", "production")
        return rollbacks.roll_back(
            self.store,
            slot,
            actor=self.lead,
            clock=self.clock,
            reason="Complaints",
            to=to,
            **more,  # type: ignore[arg-type]
        )

    def promotion(self, promotion_id: int) -> Promotion:
        with self.store.reading() as session:
            found = session.get(Promotion, promotion_id)
            assert found is not None
            session.expunge(found)
            return found

    def phase(self, promotion_id: int) -> Phase:
        return self.promotion(promotion_id).phase

    def deployments(self, stage: str = "production") -> list[Deployment]:
        with self.store.reading() as session:
            rows = session.exec(select(Deployment).where(Deployment.stage == stage).order_by(Deployment.id)).all()  # type: ignore[arg-type]
            session.expunge_all()
            return list(rows)

    def slot(self, stage: str = "production") -> Slot:
        with self.store.reading() as session:
            found = session.get(Slot, ("delays", stage))
            assert found is not None
            session.expunge(found)
            return found

    def live_number(self, stage: str = "production") -> int | None:
        """The number of the bundle that is live."""
        live = self.slot(stage).live_deployment_id
        return next((row.bundle_id for row in self.deployments(stage) if row.id == live), None)

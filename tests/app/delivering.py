"""A team that delivers without MLflow, and how to read a page: for the tests of the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import example
from sqlmodel import col, select
from streamlit.testing.v1 import AppTest

from services import clock as clocks
from services.clock import StoryClock
from services.commands import approvals, deployments, gates, people, promotions
from services.rules.domain import BundleRef, GateOutcome, Person, Phase, Role, SlotRef, Verdict
from services.store.database import Store
from services.store.models import Promotion

MIA = Person("mia", frozenset({Role.MAKER}), "Mia Chen")
LOU = Person("lou", frozenset({Role.LEAD, Role.ADMIN}), "Lou Martins")
VIC = Person("vic", frozenset({Role.VIEWER}), "Vic Okafor")
MACHINE = "the machine"
Open = Callable[..., AppTest]


class Delivery:
    """A team that delivers, and the machine that carries out what it asks for, with the verdicts it is told."""

    def __init__(self, store: Store, policy: str = example.POLICY, application: str = "delays") -> None:
        self.store, self.application = store, application
        self.clock = StoryClock(clocks.wall() - timedelta(days=2), replayed=False)
        self.made = 0
        self.found: dict[str, dict[str, Any]] = {}  # evidence by gate; others find the same rows
        for person in (LOU, VIC):
            people.meet(store, person, clock=self.clock, sample=True)
        example.apply(store, MIA, self.clock, text=policy)
        people.meet(store, MIA, clock=self.clock, sample=True)

    def make(self, **kwargs: str) -> BundleRef:
        """A new bundle, which is live in development by itself."""
        self.made += 1
        self.clock.elapse(60)
        found = example.register(self.store, MIA, self.clock, self.made, **{"application": self.application, **kwargs})
        self.carry("development")
        return found.ref

    def ask(self, ref: BundleRef, stage: str) -> int:
        self.clock.elapse(60)
        return promotions.request(
            self.store, ref, stage, actor=MIA, clock=self.clock, reason="Retrained with one month more."
        )

    def judge(self, **verdicts: Verdict) -> None:
        """Every gate that waits is run; it passes unless told otherwise."""
        for run_id in gates.waiting(self.store):
            claim = gates.claim(self.store, run_id, owner=MACHINE, clock=self.clock)
            assert claim is not None
            verdict = verdicts.get(claim.gate, Verdict.PASSED)
            self.clock.elapse(5)
            found = self.found.get(claim.gate, {"rows": 600, "interval": [0.71, 0.78]})
            outcome = GateOutcome(verdict, f"{claim.gate} {verdict.value}.", found)
            gates.finish(self.store, run_id, outcome, owner=MACHINE, clock=self.clock)

    def carry(self, stage: str) -> None:
        """Finish the deployment that waits in this stage."""
        target = deployments.take_lease(self.store, SlotRef(self.application, stage), owner=MACHINE)
        assert target is not None
        deployments.mark_writing(self.store, target, owner=MACHINE, clock=self.clock)
        self.clock.elapse(2)
        deployments.complete(self.store, target, owner=MACHINE, clock=self.clock)

    def to_staging(self, ref: BundleRef) -> None:
        self.ask(ref, "staging")
        self.judge()
        self.carry("staging")

    def waiting(self, ref: BundleRef) -> int:
        """The bundle came through staging and waits for an approval for production."""
        self.to_staging(ref)
        promotion = self.ask(ref, "production")
        self.judge()
        return promotion

    def bring_live(self, ref: BundleRef) -> None:
        promotion = self.waiting(ref)
        assert approvals.approve(self.store, promotion, actor=LOU, clock=self.clock, comment="Good") is Phase.DEPLOYING
        self.carry("production")


def words(at: AppTest) -> str:
    """Everything the page says, without the marks that keep names from being markup."""
    parts = [
        element.value
        for kind in ("title", "header", "markdown", "caption", "error", "code")
        for element in getattr(at, kind)
    ]
    parts += [str(table.value.to_dict("records")) for table in at.table]
    return "\n".join(parts).replace("\\", "").replace("\u2060", "")


def sentence(at: AppTest) -> str:
    """The page's one large sentence."""
    (title,) = at.title
    return str(title.value).replace("\\", "").replace("\u2060", "")


def press(at: AppTest, label: str) -> AppTest:
    """Press the button with this label."""
    found = [button for button in at.button if button.label.replace("\\", "") == label]
    assert found, [button.label for button in at.button]
    return found[0].click().run()


def newest(team: Delivery) -> Promotion:
    """The promotion that was asked for last."""
    with team.store.reading() as session:
        row = session.exec(select(Promotion).order_by(col(Promotion.id).desc())).first()
        assert row is not None
        session.expunge(row)
        return row

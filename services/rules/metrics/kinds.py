"""Kinds of deployment: they follow from the order in which bundles first arrived at a stage, unless declared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.rules.domain import DeploymentKind, DeploymentState
from services.rules.metrics.events import DeploymentEvent, Events, Id, id_order

REFINEMENTS = (DeploymentKind.HOTFIX, DeploymentKind.RETRAIN)
NEW = frozenset({DeploymentKind.RELEASE, *REFINEMENTS})
UNPLANNED = frozenset({DeploymentKind.ROLLBACK, DeploymentKind.HOTFIX})


@dataclass(frozen=True, slots=True, eq=False)
class Delivered:
    """A succeeded deployment to the stage whose deployments count, with what its place in the order makes of it.

    `repeats` is the deployment that a redeploy repeats: what is said of the one is meant of the other. `returned_from`
    is the first forward deployment after the bundle last arrived: what a rollback to it takes back.
    """

    event: DeploymentEvent
    at: datetime
    kind: DeploymentKind
    derived: DeploymentKind
    planned: bool
    repeats: Delivered | None = None
    returned_from: Delivered | None = None

    @property
    def id(self) -> Id:
        return self.event.id

    @property
    def counts(self) -> bool:
        """In D_all."""
        return self.kind is not DeploymentKind.REDEPLOY and not self.event.drill

    @property
    def forward(self) -> bool:
        """In D_fwd."""
        return self.counts and self.kind is not DeploymentKind.ROLLBACK

    @property
    def contradicts(self) -> bool:
        """The declared kind is not what the order says. The declared one stands, and a person is told."""
        as_declared = self.derived is DeploymentKind.RELEASE if self.kind in REFINEMENTS else self.kind is self.derived
        return not as_declared


class Order:
    """One stage of one application, as bundles arrive in it one after another."""

    def __init__(self) -> None:
        self.serving: Delivered | None = None
        self._first_arrivals: dict[Id, int] = {}
        self._forward: list[Delivered] = []
        self._forward_when_last_here: dict[Id, int] = {}

    def kind_of(self, bundle: Id) -> DeploymentKind:
        """What a deployment of this bundle would be now."""
        mine = self._first_arrivals.get(bundle)
        if mine is None or self.serving is None:
            return DeploymentKind.RELEASE
        if self.serving.event.bundle == bundle:
            return DeploymentKind.REDEPLOY
        later = mine > self._first_arrivals[self.serving.event.bundle]
        return DeploymentKind.REPROMOTION if later else DeploymentKind.ROLLBACK

    def arrive(self, event: DeploymentEvent, at: datetime) -> Delivered:
        """Take the next deployment; they come in the order of their finish."""
        derived = self.kind_of(event.bundle)
        kind = event.declared_kind or derived
        delivered = Delivered(
            event=event,
            at=at,
            kind=kind,
            derived=derived,
            planned=kind not in UNPLANNED if event.planned is None else event.planned,
            repeats=self._repeated(kind),
            returned_from=self._next_after(event.bundle) if kind is DeploymentKind.ROLLBACK else None,
        )
        self._first_arrivals.setdefault(event.bundle, len(self._first_arrivals))
        self.serving = delivered
        if not event.drill:  # a drill brings back what it took away, so it ends nobody's turn
            if delivered.forward:
                self._forward.append(delivered)
            self._forward_when_last_here[event.bundle] = len(self._forward)
        return delivered

    def _repeated(self, kind: DeploymentKind) -> Delivered | None:
        if kind is not DeploymentKind.REDEPLOY or self.serving is None:
            return None
        return self.serving.repeats or self.serving

    def _next_after(self, bundle: Id) -> Delivered | None:
        position = self._forward_when_last_here.get(bundle, len(self._forward))
        return self._forward[position] if position < len(self._forward) else None


@dataclass(frozen=True)
class Arrivals:
    """All that succeeded, in order, and the kind of each that failed."""

    delivered: Sequence[Delivered]
    failed: Sequence[tuple[DeploymentEvent, DeploymentKind]]


def arrivals(events: Events, deployments: Iterable[DeploymentEvent], as_of: datetime) -> Arrivals:
    """Walk through the deployments to the counting stages that had finished at `as_of`, in that order."""
    stages: dict[str, str] = {}
    orders: dict[str, Order] = {}
    delivered: list[Delivered] = []
    failed: list[tuple[DeploymentEvent, DeploymentKind]] = []
    for event in in_order(deployments, as_of):
        application = event.application
        if application not in orders:
            orders[application], stages[application] = Order(), events.rules_of(application).stage
        if event.stage != stages[application] or event.finished_at is None:
            continue
        if event.state is DeploymentState.SUCCEEDED:
            delivered.append(orders[application].arrive(event, event.finished_at))
        elif event.state is DeploymentState.FAILED:
            failed.append((event, event.declared_kind or orders[application].kind_of(event.bundle)))
    return Arrivals(delivered, failed)


def in_order(deployments: Iterable[DeploymentEvent], as_of: datetime) -> list[DeploymentEvent]:
    """Those that had finished, by the instant they did; equal instants by id, so that storage order decides nothing."""
    finished = [(d.finished_at, id_order(d.id), d) for d in deployments if d.finished_at and d.finished_at <= as_of]
    return [event for _, _, event in sorted(finished, key=lambda row: row[:2])]

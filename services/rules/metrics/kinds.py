"""Kinds of deployment: they follow from the order in which bundles first arrived at a stage, unless declared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from services.rules.domain import DeploymentKind, DeploymentState
from services.rules.metrics.events import DeploymentEvent, Events, Id, by_id

REFINEMENTS = frozenset({DeploymentKind.HOTFIX, DeploymentKind.RETRAIN})
NEW = frozenset({DeploymentKind.RELEASE, *REFINEMENTS})
UNPLANNED = frozenset({DeploymentKind.ROLLBACK, DeploymentKind.HOTFIX})


class Delivered(NamedTuple):
    """A succeeded deployment to the stage whose deployments count, with what its place in the order makes of it.

    `second` is `at` in seconds since 1970. `counts`: it is in D_all. `forward`: in D_fwd. `repeats` is the deployment
    that a redeploy repeats: what is said of the one is meant of the other. `returned_from` is what a rollback takes
    back where nobody says it: the first forward deployment after the bundle it returns to was last delivered.
    """

    id: Id
    at: datetime
    second: float
    event: DeploymentEvent
    kind: DeploymentKind
    derived: DeploymentKind
    planned: bool
    counts: bool
    forward: bool
    repeats: Delivered | None
    returned_from: Delivered | None

    @property
    def contradicts(self) -> bool:
        """The declared kind is not what the order says. The declared one stands, and a person is told."""
        return not (self.kind is self.derived or (self.kind in REFINEMENTS and self.derived is DeploymentKind.RELEASE))


class Order:
    """One stage of one application, as bundles arrive in it one after another."""

    def __init__(self) -> None:
        self._serving: Delivered | None = None
        self._first_arrivals: dict[Id, int] = {}
        self._forward: list[Delivered] = []
        self._forward_when_last_here: dict[Id, int] = {}

    def kind_of(self, bundle: Id) -> DeploymentKind:
        """What a deployment of this bundle would be now."""
        mine = self._first_arrivals.get(bundle)
        if mine is None or self._serving is None:
            return DeploymentKind.RELEASE
        if self._serving.event.bundle == bundle:
            return DeploymentKind.REDEPLOY
        later = mine > self._first_arrivals[self._serving.event.bundle]
        return DeploymentKind.REPROMOTION if later else DeploymentKind.ROLLBACK

    def arrive(self, event: DeploymentEvent, at: datetime) -> Delivered:
        """Take the next deployment; they come in the order of their finish."""
        bundle, derived = event.bundle, self.kind_of(event.bundle)
        kind = event.declared_kind or derived
        planned = kind not in UNPLANNED if event.planned is None else event.planned
        repeats = returned_from = None
        counts = forward = not event.drill
        if kind is DeploymentKind.REDEPLOY:
            counts = forward = False
            repeats = self._serving and (self._serving.repeats or self._serving)
        elif kind is DeploymentKind.ROLLBACK:
            forward = False
            returned_from = self._next_after(bundle)
        delivered = Delivered(
            event.id, at, at.timestamp(), event, kind, derived, planned, counts, forward, repeats, returned_from
        )
        self._first_arrivals.setdefault(bundle, len(self._first_arrivals))
        self._serving = delivered
        if forward:
            self._forward.append(delivered)
        if not event.drill:  # a drill brings back what it took away, so it ends nobody's turn
            self._forward_when_last_here[bundle] = len(self._forward)
        return delivered

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
    slots: dict[str, tuple[str, Order]] = {}
    delivered: list[Delivered] = []
    failed: list[tuple[DeploymentEvent, DeploymentKind]] = []
    for event in in_order(deployments, as_of):
        slot = slots.get(event.application)
        if slot is None:
            slot = slots[event.application] = (events.rules_of(event.application).stage, Order())
        stage, order = slot
        if event.stage != stage or event.finished_at is None:
            continue
        if event.state is DeploymentState.SUCCEEDED:
            delivered.append(order.arrive(event, event.finished_at))
        elif event.state is DeploymentState.FAILED:
            failed.append((event, event.declared_kind or order.kind_of(event.bundle)))
    return Arrivals(delivered, failed)


def in_order(deployments: Iterable[DeploymentEvent], as_of: datetime) -> list[DeploymentEvent]:
    """Those that had finished, by the instant they did; equal instants by id, so that storage order decides nothing."""
    finished = [d for d in deployments if d.finished_at is not None and d.finished_at <= as_of]
    by_id(finished)
    finished.sort(key=lambda d: d.finished_at.timestamp() if d.finished_at else 0.0)  # stable: ids break ties
    return finished

"""Where the time went: one deployment from request to finish, and one release from training to production.

The parts are disjoint and leave nothing out, so that they always sum to the whole, to the microsecond.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.rules.metrics.events import ApprovalWait, DeploymentEvent, GateRunEvent, Id, TrainingFacts
from services.rules.metrics.values import hours

Span = tuple[datetime, datetime]
Place = tuple[str, str, Id]  # application, stage, bundle
ZERO = timedelta(0)


@dataclass(frozen=True, slots=True)
class Waits:
    """Four parts of the time from request to finish."""

    gates: timedelta
    approval: timedelta
    queue: timedelta
    deploy: timedelta

    @property
    def total(self) -> timedelta:
        return self.gates + self.approval + self.queue + self.deploy

    @property
    def efficiency(self) -> float | None:
        """(gates + deploy) / total, or none where it took no time."""
        return (self.gates + self.deploy) / self.total if self.total else None


def split(
    requested: datetime, started: datetime, finished: datetime, gates: Iterable[Span], approvals: Iterable[Span]
) -> Waits:
    """Gates go before approval, and both before deploying, where they overlap; the queue is what is left.

    Raises ValueError where it finished before it was requested: such a duration is for the data-quality tile.
    """
    if finished < requested:
        raise ValueError("finished before it was requested")
    whole = (requested, finished)
    in_gates = clipped(gates, whole)
    in_approval = clipped(approvals, whole)
    in_deploy = clipped([(started, finished)], whole)
    gated = union(in_gates)
    decided = union([*in_gates, *in_approval])
    busy = union([*in_gates, *in_approval, *in_deploy])
    return Waits(gated, decided - gated, finished - requested - busy, busy - decided)


def clipped(spans: Iterable[Span], whole: Span) -> list[Span]:
    """What of the spans lies within the whole."""
    start, end = whole
    cut = ((max(s, start), min(e, end)) for s, e in spans)
    return [(s, e) for s, e in cut if s < e]


def union(spans: Sequence[Span]) -> timedelta:
    """The length of what at least one of them covers."""
    covered, reached = ZERO, None
    for start, end in sorted(spans):
        if reached is None or start > reached:
            covered += end - start
            reached = end
        elif end > reached:
            covered += end - reached
            reached = end
    return covered


class Activity:
    """When gates ran and approvals were awaited, by bundle and stage."""

    def __init__(self, gate_runs: Iterable[GateRunEvent], approvals: Iterable[ApprovalWait], as_of: datetime) -> None:
        self._gates: dict[Place, list[Span]] = defaultdict(list)
        self._approvals: dict[Place, list[Span]] = defaultdict(list)
        for run in gate_runs:
            if run.started_at is not None:
                span = (run.started_at, run.finished_at or as_of)
                self._gates[run.application, run.stage, run.bundle].append(span)
        for wait in approvals:
            span = (wait.opened_at, wait.decided_at or as_of)
            self._approvals[wait.application, wait.stage, wait.bundle].append(span)

    def waits(self, event: DeploymentEvent) -> Waits | None:
        """Of a finished deployment, or none where its request or start is not known, or its times are out of order."""
        requested, started, finished = event.requested_at, event.started_at, event.finished_at
        if requested is None or started is None or finished is None or not requested <= started <= finished:
            return None
        return self._between(event, requested, started, finished)

    def _between(self, event: DeploymentEvent, requested: datetime, started: datetime, finished: datetime) -> Waits:
        place = (event.application, event.stage, event.bundle)
        return split(requested, started, finished, self._gates.get(place, ()), self._approvals.get(place, ()))

    def after(self, event: DeploymentEvent, cursor: datetime) -> tuple[timedelta, Waits]:
        """How long nothing was asked for after `cursor`, and the waits from then on until the deployment finished."""
        finished = max(event.finished_at or cursor, cursor)
        asked = event.requested_at or event.started_at or finished
        requested = min(max(asked, cursor), finished)
        started = min(max(event.started_at or requested, requested), finished)
        return requested - cursor, self._between(event, requested, started, finished)


class PartName(StrEnum):
    REGISTRATION = "registration"  # from the end of training
    REQUEST = "waiting to be requested"
    GATES = "gates"
    APPROVAL = "approval"
    QUEUE = "queue"
    DEPLOY = "deploying"


@dataclass(frozen=True, slots=True)
class LedgerPart:
    """`stage` is empty for the registration, which belongs to none."""

    name: PartName
    stage: str
    duration: timedelta

    @property
    def hours(self) -> float:
        return hours(self.duration)

    @property
    def title(self) -> str:
        return f"{self.stage}: {self.name.value}" if self.stage else self.name.value


@dataclass(frozen=True, slots=True)
class Ledger:
    """One release from `started` to its arrival. `from_training` is false where the training's end is not known."""

    deployment: Id
    bundle: Id
    started: datetime
    finished: datetime
    from_training: bool
    parts: tuple[LedgerPart, ...]

    @property
    def total(self) -> timedelta:
        return self.finished - self.started

    @property
    def largest(self) -> LedgerPart | None:
        """The first of the longest, or none where nothing took any time."""
        longest = max(self.parts, key=lambda part: part.duration, default=None)
        return longest if longest and longest.duration else None


def ledger(
    arrival: DeploymentEvent, earlier: Sequence[DeploymentEvent], training: TrainingFacts | None, activity: Activity
) -> Ledger | None:
    """The ledger of a release that arrived in production.

    `earlier` are the first deployments of its bundle in the stages before, in the order of their finish. None where it
    arrived before its training had ended.
    """
    steps = [*earlier, arrival]
    finished = arrival.finished_at
    if finished is None:
        return None
    trained = training.ended_at if training else None
    registered = training.registered_at if training else None
    started = trained or registered or steps[0].requested_at or steps[0].started_at or finished
    if started > finished:
        return None
    parts: list[LedgerPart] = []
    cursor = started
    if registered is not None and trained is not None:
        cursor = min(max(registered, started), finished)
        parts.append(LedgerPart(PartName.REGISTRATION, "", cursor - started))
    for step in steps:
        idle, waits = activity.after(step, cursor)
        for name, duration in (
            (PartName.REQUEST, idle),
            (PartName.GATES, waits.gates),
            (PartName.APPROVAL, waits.approval),
            (PartName.QUEUE, waits.queue),
            (PartName.DEPLOY, waits.deploy),
        ):
            parts.append(LedgerPart(name, step.stage, duration))
        cursor += idle + waits.total
    return Ledger(arrival.id, arrival.bundle, started, finished, trained is not None, tuple(parts))


def combined(ledgers: Iterable[Ledger]) -> tuple[LedgerPart, ...]:
    """The parts of several releases added up, in the order in which they first appear."""
    sums: dict[tuple[PartName, str], timedelta] = defaultdict(lambda: ZERO)
    for one in ledgers:
        for part in one.parts:
            sums[part.name, part.stage] += part.duration
    return tuple(LedgerPart(name, stage, duration) for (name, stage), duration in sums.items())

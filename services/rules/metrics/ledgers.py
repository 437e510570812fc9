"""The ledger of a release, from the end of its training to its arrival in production; its parts sum to the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.rules.metrics.events import DeploymentEvent, Id, TrainingFacts
from services.rules.metrics.samples import hours
from services.rules.metrics.waits import ZERO, Activity


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

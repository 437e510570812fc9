"""Where the time of a deployment went, from request to finish.

The parts are disjoint and leave nothing out, so that they always sum to the whole, to the microsecond.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from services.rules.metrics.events import ApprovalWait, DeploymentEvent, GateRunEvent, Id
from services.rules.metrics.samples import seconds

Integers = NDArray[np.int64]
Span = tuple[datetime, datetime]
Place = tuple[str, str, Id]  # application, stage, bundle
ZERO = timedelta(0)
MICROSECONDS = 3600e6  # in an hour


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


@dataclass(frozen=True)
class WaitColumns:
    """The waits of many deployments at once, in whole microseconds: what `split` says of each."""

    gates: Integers
    approval: Integers
    queue: Integers
    deploy: Integers

    @property
    def total(self) -> Integers:
        return self.gates + self.approval + self.queue + self.deploy


def wait_columns(
    deployments: Sequence[DeploymentEvent],
    gate_runs: Iterable[GateRunEvent],
    approvals: Iterable[ApprovalWait],
    as_of: datetime,
) -> WaitColumns:
    """The waits of deployments whose times are all known and in order."""
    n = len(deployments)
    requested, started, finished = (
        microseconds(map(attrgetter(name), deployments)) for name in ("requested_at", "started_at", "finished_at")
    )
    gates, awaited, deploys = _Spans(deployments), _Spans(deployments), (np.arange(n), started, finished)
    for run in gate_runs:
        if run.started_at is not None:
            gates.add(run.stage, run.bundle, run.started_at, run.finished_at or as_of)
    for wait in approvals:
        awaited.add(wait.stage, wait.bundle, wait.opened_at, wait.decided_at or as_of)
    in_gates, in_approval = gates.clipped(requested, finished), awaited.clipped(requested, finished)
    gated = covered(*in_gates, n)
    decided = covered(*_joined(in_gates, in_approval), n)
    busy = covered(*_joined(in_gates, in_approval, deploys), n)
    return WaitColumns(gated, decided - gated, finished - requested - busy, busy - decided)


Spans = tuple[Integers, Integers, Integers]  # rows, starts, ends


class _Spans:
    """Spans of time and the deployments they may lie in, by row."""

    def __init__(self, deployments: Sequence[DeploymentEvent]) -> None:
        self._deployments = deployments
        self._row_of: dict[Id, int] = {}
        self._further: dict[Id, list[int]] = defaultdict(list)  # of the few bundles that were deployed again
        for row, event in enumerate(deployments):
            if self._row_of.setdefault(event.bundle, row) != row:
                self._further[event.bundle].append(row)
        self._rows: list[int] = []
        self._starts: list[datetime] = []
        self._ends: list[datetime] = []

    def add(self, stage: str, bundle: Id, start: datetime, end: datetime) -> None:
        row = self._row_of.get(bundle)
        if row is None or self._deployments[row].stage != stage:
            return
        for each in (row, *self._further.get(bundle, ())):
            self._rows.append(each)
            self._starts.append(start)
            self._ends.append(end)

    def clipped(self, begins: Integers, ends: Integers) -> Spans:
        """What lies within each deployment's own time."""
        rows = np.array(self._rows, dtype=np.int64)
        starts = np.maximum(microseconds(self._starts), begins[rows])
        stops = np.minimum(microseconds(self._ends), ends[rows])
        kept = starts < stops
        return rows[kept], starts[kept], stops[kept]


def _joined(*spans: Spans) -> Spans:
    owners, starts, ends = (np.concatenate(column) for column in zip(*spans, strict=True))
    return owners, starts, ends


def microseconds(instants: Iterable[datetime]) -> Integers:
    return np.rint(seconds(instants) * 1e6).astype(np.int64)


def covered(owners: Integers, starts: Integers, ends: Integers, n: int) -> Integers:
    """The length of the union of each owner's spans, for the owners 0 to n - 1. No span may end before it starts."""
    if not len(owners):
        return np.zeros(n, dtype=np.int64)
    order = np.lexsort((starts, owners))
    owners, starts, ends = owners[order], starts[order], ends[order]
    # How far the spans so far have reached, within each owner: the running maximum of (owner, rank of the end).
    by_end = np.argsort(ends, kind="stable")
    ranks = np.empty_like(by_end)
    ranks[by_end] = np.arange(len(ends))
    reached = ends[by_end][np.maximum.accumulate(owners * len(ends) + ranks) % len(ends)]
    before = np.concatenate([starts[:1], reached[:-1]])
    before = np.where(np.diff(owners, prepend=-1) != 0, starts, before)
    fresh = np.maximum(0, ends - np.maximum(starts, before))
    return np.bincount(owners, weights=fresh, minlength=n).astype(np.int64)


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

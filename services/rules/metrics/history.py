"""The events as they stood at `as_of`, put in order once: every window of every metric is then a slice of it."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np

from services.rules.domain import DeploymentKind, DeploymentState, Verdict
from services.rules.metrics import quality
from services.rules.metrics.events import (
    DeploymentEvent,
    Events,
    GateRunEvent,
    Id,
    TrainingFacts,
    id_order,
)
from services.rules.metrics.kinds import NEW, Arrivals, Delivered, arrivals, in_order
from services.rules.metrics.leads import Leads
from services.rules.metrics.ledgers import Ledger, ledger
from services.rules.metrics.links import Failure, Link, Linked, forward_by_application, link
from services.rules.metrics.pausing import collector_paused
from services.rules.metrics.samples import Floats, Sample, Samples, hours, seconds
from services.rules.metrics.turns import Turns, turns
from services.rules.metrics.values import QualityKind, QualityRow
from services.rules.metrics.waits import MICROSECONDS, Activity, WaitColumns, Waits, wait_columns
from services.rules.metrics.windows import Window, aware

LETTING_THROUGH = (None, Verdict.PASSED)
CAUSED_BY_FAILURE = frozenset({DeploymentKind.ROLLBACK, DeploymentKind.HOTFIX, DeploymentKind.RETRAIN})


class History:
    """What a set of events says at `as_of`. What a metric does not ask for is never computed.

    Raises BadInput for an `as_of` without a zone.
    """

    def __init__(self, events: Events, as_of: datetime) -> None:
        self.as_of = aware(as_of)
        self.events = events
        self._unique = list({d.id: d for d in events.deployments}.values())

    # -- order, kinds and links ----------------------------------------------------------------------------------

    @cached_property
    def _arrivals(self) -> Arrivals:
        return arrivals(self.events, self._unique, self.as_of)

    @property
    def delivered(self) -> Sequence[Delivered]:
        """Succeeded deployments to the counting stages, redeploys and drills included, in the order of their finish."""
        return self._arrivals.delivered

    @cached_property
    def by_id(self) -> dict[Id, Delivered]:
        return {d.id: d for d in self.delivered}

    @cached_property
    def _linked(self) -> Linked:
        incidents = list({i.id: i for i in self.events.incidents}.values())
        return link(self.events, incidents, self.delivered, self.as_of)

    @property
    def links(self) -> tuple[Link, ...]:
        """One for each incident that had begun, by the beginning of its impact."""
        return self._linked.links

    @property
    def failures(self) -> dict[Id, Failure]:
        """By the failed forward deployment."""
        return self._linked.failures

    def infer_cause(self, application: str, impact_started_at: datetime) -> Delivered | None:
        """The deployment that the rule blames for an incident nobody has linked yet."""
        forward = forward_by_application(self.delivered).get(application)
        return forward.cause(impact_started_at, self.events.rules_of(application).attribution) if forward else None

    def attribution(self, delivered: Delivered) -> timedelta:
        return self.events.rules_of(delivered.event.application).attribution

    def maturing(self, delivered: Delivered) -> bool:
        """An incident that begins now could still become its."""
        return self.as_of < delivered.at + self.attribution(delivered)

    # -- samples of deployments ----------------------------------------------------------------------------------

    @cached_property
    def forward(self) -> Samples:
        """D_fwd; the value says whether it failed."""
        found = [d for d in self.delivered if d.forward]
        failures = self.failures
        return _deployments(found, np.fromiter((d.id in failures for d in found), dtype=float))

    @cached_property
    def counted(self) -> Samples:
        """D_all; the value says whether it was rework."""
        found = [d for d in self.delivered if d.counts]
        return _deployments(found, np.fromiter((_rework(d) for d in found), dtype=float))

    @cached_property
    def promotions(self) -> Samples:
        """D_all and what failed before it served; the value says whether it succeeded."""
        failed = self._failed(but=DeploymentKind.REDEPLOY)
        return self.counted.valued(1.0).merged(failed.valued(0.0))

    @cached_property
    def failed_rollbacks(self) -> Samples:
        return self._failed(only=DeploymentKind.ROLLBACK)

    def _failed(self, *, only: DeploymentKind | None = None, but: DeploymentKind | None = None) -> Samples:
        return Samples.of(
            Sample(event.finished_at, event.id, 1.0)
            for event, kind in self._arrivals.failed
            if event.finished_at and not event.drill and kind is not but and only in (None, kind)
        )

    @cached_property
    def maturing_deployments(self) -> Samples:
        found = [d for d in self.delivered if d.forward and self.maturing(d)]
        return _deployments(found, np.ones(len(found)))

    @cached_property
    def rollbacks(self) -> Samples:
        """Succeeded ones, in hours since the request."""
        return _not_negative(self._rollbacks)

    @cached_property
    def _rollbacks(self) -> Samples:
        return Samples.of(
            Sample(d.at, d.id, hours(d.at - d.event.requested_at))
            for d in self.delivered
            if d.kind is DeploymentKind.ROLLBACK and d.counts and d.event.requested_at
        )

    # -- lead times ----------------------------------------------------------------------------------------------

    @cached_property
    def first_arrivals(self) -> list[Delivered]:
        """The deployment with which each bundle first arrived, where it counts."""
        return [d for d in self.delivered if d.derived is DeploymentKind.RELEASE and d.kind in NEW and d.counts]

    @cached_property
    def bundles_with_commits(self) -> frozenset[Id]:
        return frozenset(commit.bundle for commit in self.events.commits)

    @cached_property
    def trainings(self) -> dict[Id, TrainingFacts]:
        return {facts.bundle: facts for facts in self.events.trainings}

    @cached_property
    def _commit_leads(self) -> Samples:
        leads, arrivals = Leads(), self.first_arrivals
        rows = {d.event.bundle: row for row, d in enumerate(arrivals)}
        arrived = [commit for commit in self.events.commits if commit.bundle in rows]
        of_row = [rows[commit.bundle] for commit in arrived]
        for number in np.lexsort(
            (seconds(c.at for c in arrived), np.array(of_row))
        ).tolist():  # by arrival, then by time
            commit = arrived[number]
            leads.add(arrivals[of_row[number]], commit.at, commit.sha)
        return leads.samples()

    @cached_property
    def _training_leads(self) -> Samples:
        leads, trainings = Leads(), self.trainings
        for d in self.first_arrivals:
            facts = trainings.get(d.event.bundle)
            if facts is not None and facts.ended_at is not None:
                leads.add(d, facts.ended_at, facts.model_version)
        return leads.samples()

    @cached_property
    def _data_leads(self) -> Samples:
        leads, trainings = Leads(), self.trainings
        for d in self.first_arrivals:
            facts = trainings.get(d.event.bundle)
            if facts is not None:
                for dataset in facts.datasets:
                    leads.add(d, dataset.cutoff, dataset.version)
        return leads.samples()

    @cached_property
    def commit_leads(self) -> Samples:
        return _not_negative(self._commit_leads)

    @cached_property
    def training_leads(self) -> Samples:
        return _not_negative(self._training_leads)

    @cached_property
    def data_leads(self) -> Samples:
        return _not_negative(self._data_leads)

    # -- recovery ------------------------------------------------------------------------------------------------

    @cached_property
    def _recoveries(self) -> Samples:
        return Samples.of(
            Sample(f.restored_at, f.deployment.id, hours(f.restored_at - f.deployment.at))
            for f in self.failures.values()
            if f.restored_at is not None and f.measurable
        )

    @cached_property
    def recoveries(self) -> Samples:
        """At the moment of restoration, in hours since the failed deployment had finished."""
        return _not_negative(self._recoveries)

    def open_failures(self, window: Window) -> Samples:
        """Failed deployments from before the window's end that are not restored, with their age in hours."""
        return Samples.of(
            Sample(f.deployment.at, f.deployment.id, hours(self.as_of - f.deployment.at), detail="open")
            for f in self.failures.values()
            if f.restored_at is None and f.deployment.at < window.end
        )

    # -- what served, and what was kept out -----------------------------------------------------------------------

    @cached_property
    def turns(self) -> Turns:
        return turns(self.delivered)

    @cached_property
    def model_births(self) -> Floats:
        """Of each turn, when its model's training ended."""
        return self.turns.births(self.trainings, lambda facts: facts.ended_at)

    @cached_property
    def data_births(self) -> Floats:
        """Of each turn, up to when its latest data reaches."""
        return self.turns.births(self.trainings, lambda facts: max((d.cutoff for d in facts.datasets), default=None))

    @cached_property
    def blocks(self) -> list[GateRunEvent]:
        """Gate runs that kept a bundle out, by the time of their result; each once."""
        blocking = {
            run.id: run
            for run in self.events.gate_runs
            if run.enforcing
            and run.verdict not in LETTING_THROUGH
            and run.finished_at
            and run.finished_at <= self.as_of
        }
        return sorted(blocking.values(), key=lambda run: (run.finished_at, id_order(run.id)))

    # -- waits ---------------------------------------------------------------------------------------------------

    @cached_property
    def _requested(self) -> list[Delivered]:
        return [d for d in self.delivered if d.forward and _times_in_order(d)]

    @cached_property
    def waits(self) -> WaitColumns:
        """Of the forward deployments whose request and start are known."""
        events = [d.event for d in self._requested]
        return wait_columns(events, self.events.gate_runs, self.events.approvals, self.as_of)

    @cached_property
    def waited(self) -> Samples:
        """Row by row those of `waits`, with the hours from request to finish."""
        return _deployments(self._requested, self.waits.total / MICROSECONDS)

    @cached_property
    def activity(self) -> Activity:
        return Activity(self.events.gate_runs, self.events.approvals, self.as_of)

    def waits_of(self, deployment: Id) -> Waits | None:
        """Of one deployment, or none where it did not count, or its times are not known or out of order."""
        found = self.by_id.get(deployment)
        return self.activity.waits(found.event) if found else None

    @cached_property
    def _first_in_stages(self) -> dict[tuple[str, Id], list[DeploymentEvent]]:
        found: dict[tuple[str, Id], list[DeploymentEvent]] = defaultdict(list)
        seen: set[tuple[str, str, Id]] = set()
        for event in in_order(self._unique, self.as_of):
            place = (event.application, event.stage, event.bundle)
            if event.state is DeploymentState.SUCCEEDED and not event.drill and place not in seen:
                seen.add(place)
                found[event.application, event.bundle].append(event)
        return found

    def ledgers(self, window: Window) -> tuple[Ledger, ...]:
        """Of the releases that first arrived in the window, in order. One that ends before its training has none."""
        with collector_paused():
            found = [self._ledger(d) for d in self.first_arrivals if window.contains(d.at)]
        return tuple(one for one in found if one is not None)

    def _ledger(self, arrival: Delivered) -> Ledger | None:
        event = arrival.event
        steps = self._first_in_stages[event.application, event.bundle]
        earlier = [s for s in steps if s.stage != event.stage and (s.finished_at or arrival.at) <= arrival.at]
        return ledger(event, earlier, self.trainings.get(event.bundle), self.activity)

    # -- the record ----------------------------------------------------------------------------------------------

    @cached_property
    def quality(self) -> tuple[QualityRow, ...]:
        """Everything a person should look at, by time; one row for each thing that is wrong."""
        found = {*self._linked.quality, *self._negative(), *quality.of_deployments(self), *quality.aborted(self)}
        return tuple(sorted(found, key=lambda row: (row.at, row.kind, row.subject, str(row.id), row.text)))

    def quality_of(self, window: Window) -> tuple[QualityRow, ...]:
        times = self._quality_times
        return self.quality[bisect_left(times, window.start) : bisect_left(times, window.end)]

    @cached_property
    def _quality_times(self) -> list[datetime]:
        return [row.at for row in self.quality]

    def _negative(self) -> Iterator[QualityRow]:
        leads = (
            (self._commit_leads, "It finished before its commit {} was made."),
            (self._training_leads, "It finished before the training of {} had ended."),
            (self._data_leads, "It finished before the cut-off of its data {}."),
            (self._recoveries, "It was restored before it had finished."),
            (self._rollbacks, "It finished before it was requested."),
        )
        for samples, text in leads:
            for sample in samples.where(samples.values < 0):
                said = text.format(sample.detail or "(without a name)")
                yield QualityRow(sample.at, QualityKind.NEGATIVE, sample.subject, sample.id, said)

    @property
    def unique_deployments(self) -> Sequence[DeploymentEvent]:
        """As they were handed over, doubles left out."""
        return self._unique


def _deployments(found: Sequence[Delivered], values: Floats) -> Samples:
    return Samples([d.at for d in found], [d.id for d in found], values)


def _not_negative(samples: Samples) -> Samples:
    return samples.where(samples.values >= 0)


def _times_in_order(d: Delivered) -> bool:
    requested, started = d.event.requested_at, d.event.started_at
    return requested is not None and started is not None and requested <= started <= d.at


def _rework(d: Delivered) -> bool:
    return not d.planned and (d.kind in CAUSED_BY_FAILURE or bool(d.event.fixes) or d.event.blames is not None)

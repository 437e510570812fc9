"""The events as they stood at `as_of`, put in order once: every window of every metric is then a slice of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property

from services.rules.domain import DeploymentKind, DeploymentState
from services.rules.metrics.events import CommitEvent, DeploymentEvent, Events, Id, TrainingFacts
from services.rules.metrics.kinds import NEW, Arrivals, Delivered, arrivals, in_order
from services.rules.metrics.links import Failure, Link, Linked, link
from services.rules.metrics.values import QualityKind, QualityRow, Sample, Series, hours, series
from services.rules.metrics.waits import Activity, Ledger, Waits, ledger
from services.rules.metrics.windows import Window, aware

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

    def attribution(self, delivered: Delivered) -> timedelta:
        return self.events.rules_of(delivered.event.application).attribution

    def maturing(self, delivered: Delivered) -> bool:
        """An incident that begins now could still become its."""
        return self.as_of < delivered.at + self.attribution(delivered)

    # -- samples of deployments ----------------------------------------------------------------------------------

    @cached_property
    def forward(self) -> Series:
        """D_fwd; the value says whether it failed."""
        failures = self.failures
        return Series([Sample(d.at, d.id, float(d.id in failures)) for d in self.delivered if d.forward])

    @cached_property
    def counted(self) -> Series:
        """D_all; the value says whether it was rework."""
        return Series([Sample(d.at, d.id, float(_rework(d)), detail=d.kind.value) for d in self.delivered if d.counts])

    @cached_property
    def promotions(self) -> Series:
        """D_all and what failed before it served; the value says whether it succeeded."""
        failed = [
            Sample(event.finished_at, event.id, 0.0)
            for event, kind in self._arrivals.failed
            if event.finished_at and kind is not DeploymentKind.REDEPLOY and not event.drill
        ]
        return series([sample._replace(value=1.0) for sample in self.counted.samples] + failed)

    @cached_property
    def maturing_deployments(self) -> Series:
        return Series([Sample(d.at, d.id, 1.0) for d in self.delivered if d.forward and self.maturing(d)])

    @cached_property
    def rollbacks(self) -> Series:
        """Succeeded ones, in hours since the request."""
        return Series([sample for sample in self._rollbacks if sample.value >= 0])

    @cached_property
    def _rollbacks(self) -> list[Sample]:
        return [
            Sample(d.at, d.id, hours(d.at - d.event.requested_at))
            for d in self.delivered
            if d.kind is DeploymentKind.ROLLBACK and d.counts and d.event.requested_at
        ]

    @cached_property
    def failed_rollbacks(self) -> Series:
        return Series(
            [
                Sample(event.finished_at, event.id, 1.0)
                for event, kind in self._arrivals.failed
                if event.finished_at and kind is DeploymentKind.ROLLBACK and not event.drill
            ]
        )

    # -- lead times ----------------------------------------------------------------------------------------------

    @cached_property
    def first_arrivals(self) -> list[Delivered]:
        """The deployment with which each bundle first arrived, where it counts."""
        return [
            d for d in self.delivered if d.derived is DeploymentKind.RELEASE and d.kind in NEW and not d.event.drill
        ]

    @cached_property
    def commits_by_bundle(self) -> dict[Id, list[CommitEvent]]:
        found: dict[Id, list[CommitEvent]] = defaultdict(list)
        for commit in self.events.commits:
            found[commit.bundle].append(commit)
        return found

    @cached_property
    def trainings(self) -> dict[Id, TrainingFacts]:
        return {facts.bundle: facts for facts in self.events.trainings}

    @cached_property
    def _commit_leads(self) -> list[Sample]:
        found, seen = [], set()
        for d in self.first_arrivals:
            for commit in sorted(self.commits_by_bundle.get(d.event.bundle, ()), key=lambda c: (c.at, c.sha)):
                once = (d.event.application, commit.sha)
                if not commit.sha or once not in seen:
                    seen.add(once)
                    found.append(
                        Sample(d.at, d.id, hours(d.at - commit.at), detail=commit.sha or commit.at.isoformat())
                    )
        return found

    @cached_property
    def _training_leads(self) -> list[Sample]:
        found, seen = [], set()
        for d in self.first_arrivals:
            facts = self.trainings.get(d.event.bundle)
            if facts is None or facts.ended_at is None:
                continue
            once = (d.event.application, facts.model_version)
            if not facts.model_version or once not in seen:
                seen.add(once)
                found.append(Sample(d.at, d.id, hours(d.at - facts.ended_at), detail=facts.model_version))
        return found

    @cached_property
    def _data_leads(self) -> list[Sample]:
        found, seen = [], set()
        for d in self.first_arrivals:
            facts = self.trainings.get(d.event.bundle)
            for dataset in sorted(facts.datasets, key=lambda s: (s.version, s.cutoff)) if facts else ():
                once = (d.event.application, dataset.version)
                if once not in seen:
                    seen.add(once)
                    found.append(Sample(d.at, d.id, hours(d.at - dataset.cutoff), detail=dataset.version))
        return found

    @cached_property
    def commit_leads(self) -> Series:
        return _not_negative(self._commit_leads)

    @cached_property
    def training_leads(self) -> Series:
        return _not_negative(self._training_leads)

    @cached_property
    def data_leads(self) -> Series:
        return _not_negative(self._data_leads)

    # -- recovery ------------------------------------------------------------------------------------------------

    @cached_property
    def _recoveries(self) -> list[Sample]:
        return [
            Sample(f.restored_at, f.deployment.id, hours(f.restored_at - f.deployment.at))
            for f in self.failures.values()
            if f.restored_at is not None and f.measurable
        ]

    @cached_property
    def recoveries(self) -> Series:
        """At the moment of restoration, in hours since the failed deployment had finished."""
        return _not_negative(self._recoveries)

    def open_failures(self, window: Window) -> tuple[Sample, ...]:
        """Failed deployments from before the window's end that are not restored, with their age in hours."""
        return tuple(
            Sample(f.deployment.at, f.deployment.id, hours(self.as_of - f.deployment.at), detail="open")
            for f in self.failures.values()
            if f.restored_at is None and f.deployment.at < window.end
        )

    # -- waits ---------------------------------------------------------------------------------------------------

    @cached_property
    def activity(self) -> Activity:
        return Activity(self.events.gate_runs, self.events.approvals, self.as_of)

    @cached_property
    def waits(self) -> dict[Id, Waits]:
        """Of the forward deployments whose request and start are known, in the order of their finish."""
        found = ((d.id, self.activity.waits(d.event)) for d in self.delivered if d.forward)
        return {identity: waits for identity, waits in found if waits is not None}

    @cached_property
    def waited(self) -> Series:
        """Hours from request to finish."""
        return Series([Sample(self.by_id[i].at, i, hours(waits.total)) for i, waits in self.waits.items()])

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
        found = (self._ledger(d) for d in self.first_arrivals if window.contains(d.at))
        return tuple(one for one in found if one is not None)

    def _ledger(self, arrival: Delivered) -> Ledger | None:
        event = arrival.event
        steps = self._first_in_stages[event.application, event.bundle]
        earlier = [
            step for step in steps if step.stage != event.stage and (step.finished_at or arrival.at) <= arrival.at
        ]
        return ledger(event, earlier, self.trainings.get(event.bundle), self.activity)

    # -- the record ----------------------------------------------------------------------------------------------

    @cached_property
    def quality(self) -> tuple[QualityRow, ...]:
        """Everything a person should look at, by time; one row for each thing that is wrong."""
        rows = [*self._linked.quality, *self._negative(), *self._contradictions(), *self._without_commits()]
        return tuple(
            sorted({*rows, *self._aborted()}, key=lambda row: (row.at, row.kind, row.subject, str(row.id), row.text))
        )

    def quality_of(self, window: Window) -> tuple[QualityRow, ...]:
        return tuple(row for row in self.quality if window.contains(row.at))

    def _negative(self) -> Iterator[QualityRow]:
        leads = (
            (self._commit_leads, "It finished before its commit {} was made."),
            (self._training_leads, "It finished before the training of {} had ended."),
            (self._data_leads, "It finished before the cut-off of its data {}."),
            (self._recoveries, "It was restored before it had finished."),
            (self._rollbacks, "It finished before it was requested."),
        )
        for samples, text in leads:
            for sample in samples:
                if sample.value < 0:
                    said = text.format(sample.detail)
                    yield QualityRow(sample.at, QualityKind.NEGATIVE, sample.subject, sample.id, said)
        for d in self.delivered:
            requested, started = d.event.requested_at, d.event.started_at
            if not d.forward or requested is None or started is None:
                continue
            if d.at < requested:
                yield _negative_row(d, "It finished before it was requested.")
            elif not requested <= started <= d.at:
                yield _negative_row(d, "It started before it was requested, or after it had finished.")

    def _contradictions(self) -> Iterator[QualityRow]:
        for d in self.delivered:
            if d.contradicts:
                text = f"It was declared a {d.kind.value}; by the order of arrival it is a {d.derived.value}."
                yield QualityRow(d.at, QualityKind.CONTRADICTION, "deployment", d.id, text)

    def _without_commits(self) -> Iterator[QualityRow]:
        for d in self.first_arrivals:
            if d.kind is not DeploymentKind.RETRAIN and not self.commits_by_bundle.get(d.event.bundle):
                text = "No commits are known of its bundle, so it is in no lead time."
                yield QualityRow(d.at, QualityKind.MISSING_COMMITS, "deployment", d.id, text)

    def _aborted(self) -> Iterator[QualityRow]:
        for event in self._unique:
            since = event.writing_since
            counts = event.stage == self.events.rules_of(event.application).stage
            if event.state is DeploymentState.ABORTED and counts and since is not None and since <= self.as_of:
                text = "It was aborted while it was being made live: it may have served for a moment."
                yield QualityRow(since, QualityKind.MAY_HAVE_SERVED, "deployment", event.id, text)


def _rework(d: Delivered) -> bool:
    return not d.planned and (d.kind in CAUSED_BY_FAILURE or bool(d.event.fixes) or d.event.blames is not None)


def _not_negative(samples: list[Sample]) -> Series:
    return series(sample for sample in samples if sample.value >= 0)


def _negative_row(d: Delivered, text: str) -> QualityRow:
    return QualityRow(d.at, QualityKind.NEGATIVE, "deployment", d.id, text)

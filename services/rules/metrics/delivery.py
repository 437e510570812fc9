"""The five of DORA, and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import timedelta
from itertools import pairwise

from services.rules.metrics import intervals
from services.rules.metrics.history import History
from services.rules.metrics.links import LinkKind
from services.rules.metrics.samples import Sample, Samples
from services.rules.metrics.values import Answer, QualityKind, QualityRow, Value
from services.rules.metrics.windows import Window
from services.rules.spoken import of_hours

Metric = Callable[[History, Window], Value]
SIX_MONTHS = timedelta(days=180)
NO_SOURCE = "no incident source is connected: only rollbacks and hotfixes can show a failure"


def _answer(history: History, window: Window) -> Answer:
    return Answer(window, history.as_of)


def deployments(history: History, window: Window) -> Value:
    return _answer(history, window).count("deployments", history.forward.within(window).valued(1.0))


def deployments_all(history: History, window: Window) -> Value:
    return _answer(history, window).count("deployments_all", history.counted.within(window).valued(1.0))


def deployment_frequency(history: History, window: Window) -> Value:
    samples = history.forward.within(window).valued(1.0)
    low, high = intervals.poisson(len(samples))
    notes: tuple[str, ...] = ()
    if window.partial(history.as_of):
        notes = (f"the window of {window.days} days is not over: the days to come count as days without a deployment",)
    per_day = len(samples) / window.days
    interval = (low / window.days, high / window.days)
    return _answer(history, window).make("deployment_frequency", per_day, samples, interval, notes=notes)


def deployment_days_per_week(history: History, window: Window) -> Value:
    """One sample a complete week, whose id is its Monday."""
    samples = Samples.of(
        Sample(week.start, week.first.isoformat(), float(_days_with_one(history, week)), "week")
        for week in window.complete_weeks(history.as_of)
    )
    return _answer(history, window).median("deployment_days_per_week", samples)


def _days_with_one(history: History, week: Window) -> int:
    edges = history.forward.positions(week.day_starts())
    return sum(1 for first, following in pairwise(edges) if following > first)


def change_lead_time(history: History, window: Window) -> Value:
    samples = history.commit_leads.within(window)
    return _answer(history, window).median("change_lead_time", samples, quality=_unusable_leads(history, window))


def change_lead_time_p90(history: History, window: Window) -> Value:
    samples = history.commit_leads.within(window)
    return _answer(history, window).p90("change_lead_time_p90", samples, quality=_unusable_leads(history, window))


def _unusable_leads(history: History, window: Window) -> tuple[QualityRow, ...]:
    wanted = (QualityKind.NEGATIVE, QualityKind.MISSING_COMMITS)
    return tuple(row for row in history.quality_of(window) if row.kind in wanted and row.subject == "deployment")


def failed_deployment_recovery_time(history: History, window: Window) -> Value:
    still_open = history.open_failures(window)
    notes = _source(history)
    if still_open:
        notes += (f"{len(still_open)} still open, the oldest for {of_hours(float(still_open.values.max()))}",)
    samples = history.recoveries.within(window)
    return _answer(history, window).median("failed_deployment_recovery_time", samples, notes=notes)


def failed_deployment_recovery_time_p90(history: History, window: Window) -> Value:
    samples = history.recoveries.within(window)
    return _answer(history, window).p90("failed_deployment_recovery_time_p90", samples)


def recovery_open(history: History, window: Window) -> Value:
    """The samples' values are ages in hours, and their number is the value."""
    return _answer(history, window).count("recovery_open", history.open_failures(window), notes=_source(history))


def recovery_kaplan_meier(history: History, window: Window) -> Value:
    closed, still_open = history.recoveries.within(window), history.open_failures(window)
    median = intervals.kaplan_meier_median(closed.values, still_open.values)
    notes = (f"{len(closed)} restored, {len(still_open)} still open",) if closed or still_open else ()
    return _answer(history, window).make(
        "recovery_kaplan_meier", median, Samples.of([*closed, *still_open]), notes=notes
    )


def change_fail_rate(history: History, window: Window) -> Value:
    samples = history.forward.within(window)
    young = len(history.maturing_deployments.within(window))
    notes = _source(history)
    if young:
        notes += (f"{young} of {len(samples)} are so young that an incident may still become theirs",)
    quality = tuple(row for row in history.quality_of(window) if row.kind in _LINKING)
    return _answer(history, window).share("change_fail_rate", samples, notes=notes, quality=quality)


_LINKING = (QualityKind.UNATTRIBUTED, QualityKind.UNKNOWN_REFERENCE, QualityKind.IN_NO_RATE)


def failed_deployments(history: History, window: Window) -> Value:
    failed = history.forward.within(window).hits
    return _answer(history, window).count("failed_deployments", failed, notes=_source(history))


def deployment_rework_rate(history: History, window: Window) -> Value:
    notes = ("the window is shorter than the six months this rate is meant for",)
    long_enough = window.end - window.start >= SIX_MONTHS
    samples = history.counted.within(window)
    return _answer(history, window).share("deployment_rework_rate", samples, notes=() if long_enough else notes)


def maturing_deployments(history: History, window: Window) -> Value:
    return _answer(history, window).count("maturing_deployments", history.maturing_deployments.within(window))


def incidents(history: History, window: Window) -> Value:
    samples = _incidents(history, window, tuple(LinkKind))
    return _answer(history, window).count("incidents", samples, notes=_source(history))


def unattributed_incidents(history: History, window: Window) -> Value:
    samples = _incidents(history, window, (LinkKind.UNATTRIBUTED,))
    apart = len(_incidents(history, window, (LinkKind.NO_DEPLOYMENT,)))
    notes = _source(history)
    if apart:
        notes += (f"{apart} more of which a person said that no deployment caused {'it' if apart == 1 else 'them'}",)
    return _answer(history, window).count("unattributed_incidents", samples, notes=notes)


def _incidents(history: History, window: Window, kinds: Container[LinkKind]) -> Samples:
    return Samples.of(
        Sample(link.incident.impact_started_at, link.incident.id, 1.0, "incident", link.kind.value)
        for link in history.links
        if link.kind in kinds and window.contains(link.incident.impact_started_at)
    )


def promotion_success(history: History, window: Window) -> Value:
    return _answer(history, window).share("promotion_success", history.promotions.within(window))


def data_quality(history: History, window: Window) -> Value:
    rows = history.quality_of(window)
    samples = Samples.of(Sample(row.at, row.id, 1.0, row.subject, row.kind.value) for row in rows)
    return _answer(history, window).make("data_quality", float(len(rows)), samples, quality=rows)


def _source(history: History) -> tuple[str, ...]:
    return () if history.events.incidents_are_reported else (NO_SOURCE,)


METRICS: dict[str, Metric] = {
    metric.__name__: metric
    for metric in (
        deployments,
        deployments_all,
        deployment_frequency,
        deployment_days_per_week,
        change_lead_time,
        change_lead_time_p90,
        failed_deployment_recovery_time,
        failed_deployment_recovery_time_p90,
        recovery_open,
        recovery_kaplan_meier,
        change_fail_rate,
        failed_deployments,
        deployment_rework_rate,
        maturing_deployments,
        incidents,
        unattributed_incidents,
        promotion_success,
        data_quality,
    )
}

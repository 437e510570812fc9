"""What is true of the metrics whatever the events are."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from services.rules.domain import Cause, DeploymentKind, DeploymentState, Verdict
from services.rules.metrics import (
    ApprovalWait,
    BlockDecision,
    CommitEvent,
    DatasetFacts,
    DeploymentEvent,
    Events,
    GateRunEvent,
    History,
    IncidentEvent,
    TrainingFacts,
    Value,
    combined,
    compute,
    intervals,
    split,
    window,
)
from services.rules.metrics.waits import covered

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 28
WINDOW = window(date(2026, 3, 2), date(2026, 3, 30))
AS_OF = START + timedelta(days=DAYS)
COUNTS = (
    "deployments",
    "deployments_all",
    "failed_deployments",
    "maturing_deployments",
    "incidents",
    "unattributed_incidents",
    "rollbacks_failed",
    "data_quality",
)
RATES = ("change_fail_rate", "deployment_rework_rate", "promotion_success", "gate_catch_rate", "false_block_rate")
WAITS = ("wait_gates", "wait_approval", "wait_queue", "wait_deploy")
thorough = settings(max_examples=50, deadline=None)  # machines that are busy are slow, and no less right
minutes = st.integers(min_value=0, max_value=DAYS * 24 * 60).map(lambda n: START + timedelta(minutes=n))
spans = st.tuples(minutes, st.integers(min_value=-60, max_value=6000)).map(
    lambda pair: (pair[0], pair[0] + timedelta(minutes=pair[1]))
)


@st.composite
def deployment(draw: st.DrawFn, identity: int) -> DeploymentEvent:
    finished = draw(minutes)
    application = draw(st.sampled_from(("delay", "price")))
    return DeploymentEvent(
        id=identity,
        application=application,
        stage=draw(st.sampled_from(("production", "production", "production", "staging"))),
        bundle=f"{application}/{draw(st.integers(1, 5))}",
        state=draw(st.sampled_from((DeploymentState.SUCCEEDED,) * 5 + tuple(DeploymentState))),
        finished_at=finished,
        requested_at=draw(st.none() | st.integers(-30, 3000).map(lambda n: finished - timedelta(minutes=n))),
        started_at=draw(st.none() | st.integers(-5, 60).map(lambda n: finished - timedelta(minutes=n))),
        declared_kind=draw(st.sampled_from((None,) * 6 + (DeploymentKind.HOTFIX, DeploymentKind.RETRAIN))),
        fixes=draw(st.sampled_from(("", "", "", "1", "incident/2", "nobody"))),
        blames=draw(st.sampled_from((None, None, None, 1, 2, 99))),
        writing_since=finished,
    )


@st.composite
def records(draw: st.DrawFn) -> Events:
    """A month of two applications, with everything that can go wrong in it."""
    deployments = [draw(deployment(n)) for n in range(draw(st.integers(0, 12)))]
    bundles = sorted({d.bundle for d in deployments})
    incidents = [
        IncidentEvent(
            n,
            draw(st.sampled_from(("delay", "price"))),
            *draw(spans.map(lambda span: (span[0], span[0], span[1]))),
            caused_by=draw(st.none() | st.integers(0, 12)),
            cause=draw(st.sampled_from(Cause)),
        )
        for n in range(draw(st.integers(0, 5)))
    ]
    if not bundles:
        return Events(incidents=incidents)
    of = st.sampled_from(bundles)
    places = of.map(lambda bundle: (bundle.split("/")[0], "production", bundle))
    return Events(
        deployments=deployments,
        incidents=incidents,
        gate_runs=[
            GateRunEvent(
                n,
                *draw(places),
                "schema",
                *sorted(draw(spans)),
                draw(st.sampled_from(Verdict)),
                waived_at=draw(st.none() | minutes),
                decision=draw(st.none() | st.sampled_from(BlockDecision)),
            )
            for n in range(draw(st.integers(0, 6)))
        ],
        approvals=[ApprovalWait(*draw(places), *sorted(draw(spans))) for _ in range(draw(st.integers(0, 4)))],
        commits=[
            CommitEvent(draw(of), draw(minutes), draw(st.sampled_from(("", "a", "b", "c"))))
            for _ in range(draw(st.integers(0, 8)))
        ],
        trainings=[
            TrainingFacts(
                bundle, f"m/{bundle}", draw(minutes), draw(minutes), (DatasetFacts(f"d/{bundle}", draw(minutes)),)
            )
            for bundle in bundles
            if draw(st.booleans())
        ],
    )


def numbers(values: dict[str, Value]) -> dict[str, tuple[object, ...]]:
    return {name: (v.value, v.n, v.low, v.high, v.ids) for name, v in values.items()}


def moved(events: Events, by: timedelta) -> Events:
    """All instants of all events, later by that much."""

    def later(thing: object) -> object:
        if isinstance(thing, datetime):
            return thing + by
        if isinstance(thing, tuple | list):
            return tuple(later(part) for part in thing)
        if hasattr(thing, "__dataclass_fields__"):
            return replace(thing, **{name: later(getattr(thing, name)) for name in thing.__dataclass_fields__})
        return thing

    return later(events)


@thorough
@given(records(), st.integers(1, DAYS - 1))
def test_cutting_a_window_in_two_adds_counts_exactly(events: Events, days: int):
    cut = date(2026, 3, 2) + timedelta(days=days)
    history = History(events, AS_OF)

    whole, first, second = (
        compute(history.events, within, AS_OF)
        for within in (WINDOW, window(WINDOW.first, cut), window(cut, WINDOW.until))
    )

    for name in COUNTS:
        assert whole[name].value == first[name].value + second[name].value, name
    for name in ("change_lead_time", "failed_deployment_recovery_time", "change_fail_rate", *WAITS):
        assert whole[name].n == first[name].n + second[name].n, name
        assert sorted(whole[name].samples.values) == sorted([*first[name].samples.values, *second[name].samples.values])


@thorough
@given(records(), st.randoms(use_true_random=False))
def test_the_order_in_which_events_are_stored_changes_nothing(events: Events, chance: random.Random):
    def shuffled(things: object) -> object:
        return chance.sample(things, len(things)) if isinstance(things, list) else things

    other = replace(events, **{name: shuffled(getattr(events, name)) for name in events.__dataclass_fields__})

    assert numbers(compute(other, WINDOW, AS_OF)) == numbers(compute(events, WINDOW, AS_OF))


@thorough
@given(records(), minutes, st.sampled_from(("delay", "price")))
def test_a_redeploy_changes_nothing(events: Events, when: datetime, application: str):
    # given what serves at that instant, deployed once more
    before = compute(events, WINDOW, AS_OF)
    serving = [d for d in History(events, when).delivered if d.event.application == application]
    if not serving:
        return
    again = replace(
        serving[-1].event, id=1000, finished_at=when, declared_kind=None, fixes="", blames=None, requested_at=None
    )

    # when
    after = compute(replace(events, deployments=[*events.deployments, again]), WINDOW, AS_OF)

    # then
    assert numbers(after) == numbers(before)


@thorough
@given(records(), st.integers(0, 11), st.integers(0, 5000))
def test_a_second_incident_on_a_failed_deployment_changes_no_rate(events: Events, nth: int, later: int):
    history = History(events, AS_OF)
    failed = list(history.failures.values())
    if not failed:
        return
    one = failed[nth % len(failed)].deployment
    began = min(one.at + timedelta(minutes=later), AS_OF)
    second = IncidentEvent(1000, one.event.application, began, began, None, one.id, Cause.DEPLOYMENT)

    before = compute(events, WINDOW, AS_OF)
    after = compute(replace(events, incidents=[*events.incidents, second]), WINDOW, AS_OF)

    for name in ("change_fail_rate", "deployment_rework_rate", "promotion_success", "gate_catch_rate"):
        assert numbers(after)[name] == numbers(before)[name], name


@thorough
@given(records())
def test_moving_all_instants_and_the_window_by_24_hours_changes_nothing(events: Events):
    # deployment days go by calendar weeks, which a day's move cuts elsewhere; they are the same after a whole week
    day, week = timedelta(days=1), timedelta(days=7)
    before, by_a_day, by_a_week = (
        numbers(compute(moved(events, by), window(WINDOW.first + by, WINDOW.until + by), AS_OF + by))
        for by in (timedelta(0), day, week)
    )

    assert [n for n, v in before.items() if by_a_day[n] != v and n != "deployment_days_per_week"] == []
    weeks = "deployment_days_per_week"
    assert by_a_week[weeks][:4] == before[weeks][:4]


@thorough
@given(records())
def test_the_parts_of_a_wait_always_sum_to_the_whole(events: Events):
    history, values = History(events, AS_OF), compute(events, WINDOW, AS_OF)

    for delivered in history.delivered:
        waits = history.waits_of(delivered.id)
        if waits is not None:
            assert min(waits.gates, waits.approval, waits.queue, waits.deploy) >= timedelta(0)
            assert waits.total == delivered.at - delivered.event.requested_at
    columns = history.waits
    assert (columns.gates + columns.approval + columns.queue + columns.deploy).tolist() == columns.total.tolist()
    if values["wait_total"].value is not None:
        assert sum(values[name].value for name in WAITS) == pytest.approx(values["wait_total"].value)


@thorough
@given(records())
def test_many_waits_at_once_are_those_of_each_by_itself(events: Events):
    history = History(events, AS_OF)

    for row, sample in enumerate(history.waited):
        waits, columns = history.waits_of(sample.id), history.waits
        for name in ("gates", "approval", "queue", "deploy"):
            assert int(getattr(columns, name)[row]) == getattr(waits, name) // timedelta(microseconds=1)


@thorough
@given(st.lists(spans, max_size=6), st.lists(spans, max_size=6), spans)
def test_waits_are_disjoint_and_complete_for_any_spans(
    gates: list[tuple[datetime, datetime]], approvals: list[tuple[datetime, datetime]], own: tuple[datetime, datetime]
):
    requested, finished = sorted(own)
    waits = split(requested, requested + (finished - requested) / 2, finished, gates, approvals)

    assert waits.total == finished - requested
    assert min(waits.gates, waits.approval, waits.queue, waits.deploy) >= timedelta(0)


@thorough
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 15)), max_size=25))
def test_the_union_of_many_owners_spans_is_that_of_each_by_itself(rows: list[tuple[int, int, int]]):
    owners, starts, lengths = (
        (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
        if rows
        else [np.empty(0, dtype=np.int64)] * 3
    )

    found = covered(owners, starts, starts + lengths, 4)

    alone = [
        len({n for who, start, length in rows if who == owner for n in range(start, start + length)})
        for owner in range(4)
    ]
    assert found.tolist() == alone


@thorough
@given(records())
def test_the_parts_of_a_ledger_sum_to_the_lead_time_from_training(events: Events):
    history = History(events, AS_OF)

    ledgers = history.ledgers(WINDOW)

    for ledger in ledgers:
        assert sum((part.duration for part in ledger.parts), timedelta(0)) == ledger.total
        assert min((part.duration for part in ledger.parts), default=timedelta(0)) >= timedelta(0)
    leads = {sample.id: sample.value for sample in history.training_leads}
    for ledger in ledgers:
        if ledger.from_training:
            assert ledger.total / timedelta(hours=1) == pytest.approx(leads[ledger.deployment])
    together = sum((part.duration for part in combined(ledgers)), timedelta(0))
    assert together == sum((ledger.total for ledger in ledgers), timedelta(0))


@thorough
@given(records())
def test_every_value_can_be_recomputed_from_the_samples_that_it_opens(events: Events):
    values = compute(events, WINDOW, AS_OF)

    for name, value in values.items():
        samples = [sample.value for sample in value.samples]
        assert value.n == len(samples), name
        if name in COUNTS or name == "recovery_open":
            assert value.value == len(samples)
        if name in RATES and samples:
            assert value.value == sum(1 for s in samples if s) / len(samples)
        if name in ("change_lead_time", "rollback_time", "lead_time_training", "lead_time_data") and samples:
            assert value.value == pytest.approx(float(np.median(samples)))
    known = {d.id for d in events.deployments}
    assert known.issuperset(values["change_fail_rate"].ids)
    assert len(values["deployments"].ids) == values["deployments"].n


@thorough
@given(records())
def test_a_value_lies_within_its_interval(events: Events):
    for value in compute(events, WINDOW, AS_OF).values():
        if value.low is not None and value.value is not None:
            assert value.low <= value.value <= value.high


@thorough
@given(st.integers(0, 400), st.integers(0, 400))
def test_rates_and_counts_have_the_intervals_of_the_textbook(hits: int, others: int):
    n = hits + others
    low, high = intervals.poisson(hits)
    assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * hits + 2) / 2)
    assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * hits) / 2 if hits else 0)
    if n:
        textbook = stats.binomtest(hits, n).proportion_ci(0.95, "wilson")
        assert intervals.wilson(hits, n) == pytest.approx((textbook.low, textbook.high), abs=1e-9)


@thorough
@given(st.integers(1, 600))
def test_a_medians_interval_is_the_narrowest_symmetric_one_that_covers_95_percent(n: int):
    interval = intervals.of_percentile(np.arange(1.0, n + 1), 0.5)

    ranks = [k for k in range(1, n // 2 + 1) if stats.binom.cdf(k - 1, n, 0.5) <= 0.025]
    assert interval == ((max(ranks), n + 1 - max(ranks)) if ranks else None)
    assert (interval is None) == (n < 6)

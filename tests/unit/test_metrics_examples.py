"""Every worked example of the definitions, fed as events."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from week import AS_OF, MON, SUN, THU, TUE, WED, at, deployed, incident, measured, rounded

from services.rules.domain import Cause, DeploymentKind, Verdict
from services.rules.metrics import (
    ApplicationRules,
    ApprovalWait,
    CommitEvent,
    Events,
    GateRunEvent,
    History,
    LinkKind,
    QualityKind,
    band,
    window,
)

RATES_AND_TIMES = (
    "change_fail_rate",
    "deployment_rework_rate",
    "change_lead_time",
    "failed_deployment_recovery_time",
)


def test_four_releases_without_a_failure():
    # given
    days = (at(MON, 10), at(TUE, 10), at(THU, 9), at(THU, 17))
    events = Events(deployments=[deployed(n, f"V{n}", when) for n, when in enumerate(days)])

    # when
    values = measured(events)

    # then
    frequency, failed = values["deployment_frequency"], values["change_fail_rate"]
    assert values["deployments"].value == 4
    assert rounded(frequency.value, frequency.low, frequency.high) == [0.5714, 0.1557, 1.4631]
    assert values["deployment_days_per_week"].value == 3
    assert (failed.value, failed.n) == (0, 4)
    assert rounded(failed.low, failed.high) == [0, 0.4899]
    assert frequency.ids == (0, 1, 2, 3)


def test_nothing_is_a_frequency_of_zero_and_no_rate_at_all():
    values = measured(Events())

    frequency = values["deployment_frequency"]
    assert rounded(frequency.value, frequency.low, frequency.high) == [0, 0, 0.5270]
    assert [values[name].value for name in RATES_AND_TIMES] == [None] * 4
    assert values["change_fail_rate"].notes[0] == "no deployments"
    assert values["reproducibility"].notes == ("not yet tried",)


def way_back(blames: int | None = None) -> Events:
    return Events(
        deployments=[
            deployed(1, "V1", at(MON, 9)),
            deployed(2, "V2", at(TUE, 10)),
            deployed(3, "V3", at(TUE, 14)),
            deployed(4, "V1", at(TUE, 16.5), requested=at(TUE, 16), blames=blames),
        ]
    )


def test_a_rollback_without_a_link_blames_the_first_arrival_after_the_bundle_it_returns_to():
    values = measured(way_back())

    assert (values["deployments"].value, values["deployments_all"].value) == (3, 4)
    assert values["change_fail_rate"].hits == (2,)
    assert values["change_fail_rate"].value == pytest.approx(1 / 3)
    assert values["deployment_rework_rate"].value == 0.25
    assert values["failed_deployment_recovery_time"].value == 6.5
    assert values["rollback_time"].value == 0.5


def test_a_rollback_with_a_link_blames_what_it_names():
    values = measured(way_back(blames=3))

    assert values["change_fail_rate"].hits == (3,)
    assert values["failed_deployment_recovery_time"].value == 2.5


def test_kinds_follow_from_the_order_of_first_arrivals():
    # given
    bundles = ("V1", "V1", "V2", "V1", "V2")
    events = Events(
        deployments=[deployed(n, bundle, at(MON, n + 9)) for n, bundle in enumerate(bundles)],
        commits=[CommitEvent("V1", at(MON, 7), "a"), CommitEvent("V2", at(MON, 10), "b")],
    )

    # when
    history, values = History(events, AS_OF), measured(events)

    # then
    assert [d.kind.value for d in history.delivered] == ["release", "redeploy", "release", "rollback", "repromotion"]
    assert (values["deployments"].value, values["deployments_all"].value) == (3, 4)
    assert [(s.id, s.detail, s.value) for s in values["change_lead_time"].samples] == [(0, "a", 2), (2, "b", 1)]


def test_three_incidents_on_one_deployment_are_one_failure_restored_with_the_last():
    # given
    began = at(TUE, 10)
    events = Events(
        deployments=[deployed(n, f"V{n}", at(MON, 10) + timedelta(days=n)) for n in range(4)],
        incidents=[incident(n, began, began + timedelta(hours=n), caused_by=1) for n in (1, 2, 5)],
    )

    # when
    values = measured(events)

    # then
    recovery = values["failed_deployment_recovery_time"]
    assert values["change_fail_rate"].value == 0.25
    assert (recovery.value, recovery.n) == (5, 1)


def test_an_incident_is_inferred_to_be_of_the_latest_deployment_for_the_attribution_time_and_no_longer():
    # given
    began = [at(MON, 10), at(MON, 10) + timedelta(days=7), at(MON, 10) + timedelta(days=9), at(MON, 10)]
    began[3] -= timedelta(seconds=1)
    events = Events(
        deployments=[deployed(1, "V1", at(MON, 10))], incidents=[incident(n, when) for n, when in enumerate(began)]
    )

    # when
    history = History(events, datetime(2026, 4, 1, tzinfo=UTC))

    # then
    kinds = {link.incident.id: link.kind for link in history.links}
    linked, loose = LinkKind.INFERRED, LinkKind.UNATTRIBUTED
    assert kinds == {0: linked, 1: linked, 2: loose, 3: loose}
    inferred = [history.infer_cause("delay", when) for when in began]
    assert [cause and cause.id for cause in inferred] == [1, 1, None, None]


def test_an_incident_that_no_deployment_caused_as_a_person_said_is_in_no_rate_and_leaves_nothing_to_look_at():
    # given an incident that the rule would link, and a hotfix that names it
    events = Events(
        deployments=[
            deployed(1, "V1", at(MON, 10)),
            deployed(2, "V2", at(TUE, 10), declared=DeploymentKind.HOTFIX, fixes="incident/1"),
        ],
        incidents=[incident(1, at(MON, 11), at(MON, 12), cause=Cause.NONE)],
    )

    # when
    values, history = measured(events), History(events, AS_OF)

    # then
    assert (history.links[0].kind, history.links[0].deployment) == (LinkKind.NO_DEPLOYMENT, None)
    assert (values["change_fail_rate"].value, values["failed_deployment_recovery_time"].value) == (0.0, None)
    assert (values["incidents"].value, values["unattributed_incidents"].value) == (1, 0)
    assert values["unattributed_incidents"].notes == ("1 more of which a person said that no deployment caused it",)
    assert not [row for row in history.quality if row.subject == "incident"]


def test_the_attribution_time_is_the_applications_own():
    late = incident(1, at(MON, 10) + timedelta(days=12))
    rules = {"delay": ApplicationRules(attribution=timedelta(days=14))}
    events = Events(deployments=[deployed(1, "V1", at(MON, 10))], incidents=[late], rules=rules)

    assert History(events, datetime(2026, 4, 1, tzinfo=UTC)).links[0].kind is LinkKind.INFERRED


def test_lead_times_of_commits_are_pooled_over_deployments():
    # given
    a, b = at(SUN, 9), at(SUN, 10)
    commits = [CommitEvent("A", a - timedelta(hours=h), f"a{h}") for h in (1, 2, 4, 100)]
    events = Events(
        deployments=[deployed(1, "A", a), deployed(2, "B", b)],
        commits=[*commits, CommitEvent("B", b - timedelta(hours=10), "b")],
    )

    # when
    values = measured(events)

    # then
    lead, p90 = values["change_lead_time"], values["change_lead_time_p90"]
    assert (lead.value, lead.n, lead.low) == (4, 5, None)
    assert p90.value is None
    assert "10 samples" in p90.notes[0]
    assert lead.ids == (1, 2)
    assert [s.value for s in lead.samples] == [100, 4, 2, 1, 10]


def test_a_negative_lead_time_is_left_out_and_counted_and_zero_stays():
    # given
    finished = at(TUE, 10)
    commits = [CommitEvent("A", finished - timedelta(minutes=m), f"c{m}") for m in (-5, 0, 30, 90)]
    events = Events(deployments=[deployed(1, "A", finished)], commits=commits)

    # when
    values = measured(events)

    # then
    assert values["change_lead_time"].n == 3
    assert values["change_lead_time"].value == 0.5
    assert values["data_quality"].value == 1
    assert values["change_lead_time"].quality[0].kind is QualityKind.NEGATIVE


def test_an_open_failure_stands_beside_the_median_and_counts_in_kaplan_meier():
    # given
    as_of = at(TUE, 20)
    events = Events(
        deployments=[
            deployed(1, "A", at(MON, 8)),
            deployed(2, "B", at(MON, 12)),
            deployed(3, "C", as_of - timedelta(hours=10)),
        ],
        incidents=[
            incident(1, at(MON, 8), at(MON, 9), caused_by=1),
            incident(2, at(MON, 12), at(MON, 15), caused_by=2),
            incident(3, at(TUE, 11), None, caused_by=3),
        ],
    )

    # when
    values = measured(events, as_of=as_of)

    # then
    closed, still_open = values["failed_deployment_recovery_time"], values["recovery_open"]
    assert (closed.value, closed.n) == (2, 2)
    assert (still_open.value, still_open.samples[0].value) == (1, 10)
    assert "1 still open, the oldest for 10 hours" in closed.notes
    assert values["recovery_kaplan_meier"].value == 3


def waiting() -> Events:
    place = ("delay", "production", "A")
    return Events(
        deployments=[
            deployed(1, "A", at(MON, 13) + timedelta(minutes=10), requested=at(MON, 8), started=at(MON, 13)),
        ],
        gate_runs=[
            GateRunEvent(1, *place, "schema", at(MON, 8), at(MON, 8.5), Verdict.PASSED),
            GateRunEvent(2, *place, "drift", at(MON, 8) + timedelta(minutes=20), at(MON, 9), Verdict.PASSED),
        ],
        approvals=[
            ApprovalWait(*place, at(MON, 8) + timedelta(minutes=50), at(MON, 12) + timedelta(minutes=50)),
        ],
    )


def test_the_parts_of_a_wait_sum_to_the_whole():
    values = measured(waiting())

    minutes = {
        name: round((values[f"wait_{name}"].value or 0) * 60) for name in ("gates", "approval", "queue", "deploy")
    }
    assert minutes == {"gates": 60, "approval": 230, "queue": 10, "deploy": 10}
    assert round((values["wait_total"].value or 0) * 60) == 310
    assert round(values["flow_efficiency"].value or 0, 4) == 0.2258


def test_one_failure_in_three_has_a_wide_interval_and_no_band():
    failed = measured(way_back())["change_fail_rate"]

    assert rounded(failed.value, failed.low, failed.high) == [0.3333, 0.0615, 0.7923]
    assert failed.too_few
    assert band(failed) is None


def test_empty_weeks_count_in_the_median_of_deployment_days_and_partial_weeks_do_not():
    # given
    mondays = [datetime(2026, 2, 2, tzinfo=UTC) + timedelta(weeks=n) for n in range(5)]
    moments = [
        monday + timedelta(days=day, hours=hour)
        for monday, days in zip(mondays, (5, 0, 3, 1, 2), strict=True)
        for day in range(days)
        for hour in (9, 15)  # two on each day
    ]
    events = Events(deployments=[deployed(n, f"V{n}", when) for n, when in enumerate(moments)])
    within = window(date(2026, 2, 2), date(2026, 3, 9))

    # when
    days = measured(events, within, as_of=at(WED, 12))["deployment_days_per_week"]

    # then
    assert [sample.value for sample in days.samples] == [5, 0, 3, 1]
    assert days.value == 2

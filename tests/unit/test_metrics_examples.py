"""Every worked example of the definitions, fed as events."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from services.rules.domain import Cause, DeploymentKind, DeploymentState, Verdict
from services.rules.metrics import (
    ApplicationRules,
    ApprovalWait,
    BlockDecision,
    CommitEvent,
    DatasetFacts,
    DeploymentEvent,
    Events,
    GateRunEvent,
    History,
    IncidentEvent,
    LinkKind,
    PartName,
    QualityKind,
    ReproductionEvent,
    ReproductionOutcome,
    TrainingFacts,
    Value,
    band,
    combined,
    compare,
    compute,
    trend,
    window,
)

MON, TUE, WED, THU, SUN = (datetime(2026, 3, day, tzinfo=UTC) for day in (2, 3, 4, 5, 8))
WEEK = window(date(2026, 3, 2), date(2026, 3, 9))
AS_OF = datetime(2026, 3, 9, tzinfo=UTC)
RATES_AND_TIMES = (
    "change_fail_rate",
    "deployment_rework_rate",
    "change_lead_time",
    "failed_deployment_recovery_time",
)


def at(day: datetime, hour: float) -> datetime:
    return day + timedelta(hours=hour)


def deployed(
    identity: int,
    bundle: str,
    finished: datetime,
    *,
    requested: datetime | None = None,
    started: datetime | None = None,
    declared: DeploymentKind | None = None,
    state: DeploymentState = DeploymentState.SUCCEEDED,
    stage: str = "production",
    planned: bool | None = None,
    fixes: str = "",
    blames: int | None = None,
    application: str = "delay",
) -> DeploymentEvent:
    return DeploymentEvent(
        id=identity,
        application=application,
        stage=stage,
        bundle=bundle,
        state=state,
        finished_at=finished,
        requested_at=requested,
        started_at=started,
        declared_kind=declared,
        planned=planned,
        fixes=fixes,
        blames=blames,
    )


def incident(
    identity: int,
    began: datetime,
    resolved: datetime | None = None,
    caused_by: int | None = None,
    cause: Cause | None = None,
) -> IncidentEvent:
    """Whoever names a deployment has said it, and whoever does not, has not."""
    said = cause or (Cause.UNKNOWN if caused_by is None else Cause.DEPLOYMENT)
    return IncidentEvent(identity, "delay", began, began, resolved, caused_by, said)


def measured(events: Events, within=WEEK, as_of: datetime = AS_OF) -> dict[str, Value]:
    return compute(events, within, as_of)


def rounded(*numbers: float | None) -> list[float]:
    return [round(number, 4) for number in numbers if number is not None]


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


# -- what the examples leave to the rules ------------------------------------------------------------------------


def test_a_failed_deployment_counts_in_promotion_success_only():
    events = Events(
        deployments=[
            deployed(1, "A", at(MON, 9)),
            deployed(2, "B", at(MON, 10), state=DeploymentState.FAILED),
            deployed(3, "B", at(MON, 11), state=DeploymentState.ABORTED),
        ]
    )

    values = measured(events)

    assert (values["deployments"].value, values["change_fail_rate"].value) == (1, 0)
    assert (values["promotion_success"].value, values["promotion_success"].n) == (0.5, 2)


def test_an_aborted_deployment_that_may_have_served_stands_in_data_quality():
    event = DeploymentEvent(
        1, "delay", "production", "A", DeploymentState.ABORTED, at(MON, 10), writing_since=at(MON, 9)
    )

    rows = measured(Events(deployments=[event]))["data_quality"].quality

    assert [(row.kind, row.id) for row in rows] == [(QualityKind.MAY_HAVE_SERVED, 1)]


def test_a_declared_kind_that_contradicts_the_order_stands_and_is_a_row_of_data_quality():
    # given a hotfix that is declared for a bundle that served before
    events = Events(
        deployments=[
            deployed(1, "A", at(MON, 9)),
            deployed(2, "B", at(MON, 10)),
            deployed(3, "A", at(MON, 11), declared=DeploymentKind.HOTFIX, fixes="2"),
        ],
        commits=[CommitEvent("A", at(MON, 8)), CommitEvent("B", at(MON, 8))],
    )

    # when
    values = measured(events)

    # then
    assert values["deployments"].value == 3
    assert values["deployment_rework_rate"].hits == (3,)
    assert [row.kind for row in values["data_quality"].quality] == [QualityKind.CONTRADICTION]


def test_a_hotfix_that_names_an_incident_says_what_was_live_when_it_began():
    # given an incident so late that the rule would not infer anything
    began = at(MON, 10) + timedelta(days=20)
    events = Events(
        deployments=[
            deployed(1, "A", at(MON, 9)),
            deployed(2, "B", began + timedelta(hours=3), declared=DeploymentKind.HOTFIX, fixes="incident/7"),
        ],
        incidents=[incident(7, began, began + timedelta(hours=1))],
    )

    # when
    history = History(events, began + timedelta(days=1))

    # then
    assert (history.links[0].kind, history.links[0].deployment.id) == (LinkKind.NAMED, 1)
    assert history.failures[1].restored_at == began + timedelta(hours=3)


def test_a_rollback_that_blames_a_redeploy_means_the_deployment_it_repeats():
    events = Events(
        deployments=[
            deployed(1, "A", at(MON, 9)),
            deployed(2, "B", at(MON, 10)),
            deployed(3, "B", at(MON, 11)),
            deployed(4, "A", at(MON, 12), blames=3),
        ]
    )

    assert measured(events)["change_fail_rate"].hits == (2,)


def test_after_a_second_way_back_the_newcomer_is_blamed_and_not_the_first_one_again():
    bundles = ("A", "B", "A", "C", "A")
    events = Events(deployments=[deployed(n, bundle, at(MON, n)) for n, bundle in enumerate(bundles)])

    assert measured(events)["change_fail_rate"].hits == (1, 3)


def test_references_to_nothing_are_rows_and_not_errors():
    events = Events(
        deployments=[deployed(1, "A", at(MON, 9), fixes="nobody"), deployed(2, "B", at(MON, 10), blames=99)],
        incidents=[incident(1, at(MON, 11), caused_by=77)],
        commits=[CommitEvent("A", at(MON, 8)), CommitEvent("B", at(MON, 8))],
    )

    values = measured(events)

    assert [row.kind for row in values["data_quality"].quality] == [QualityKind.UNKNOWN_REFERENCE] * 3
    assert values["unattributed_incidents"].value == 0
    assert values["change_fail_rate"].value == 0


def test_the_ledger_sums_to_the_lead_time_from_training_and_names_its_largest_part():
    # given
    staging = deployed(1, "A", at(MON, 10), requested=at(MON, 8), started=at(MON, 9.5), stage="staging")
    production = deployed(2, "A", at(TUE, 12), requested=at(MON, 12), started=at(TUE, 11))
    events = Events(
        deployments=[production, staging],
        approvals=[ApprovalWait("delay", "production", "A", at(MON, 13), at(TUE, 10))],
        gate_runs=[GateRunEvent(1, "delay", "staging", "A", "schema", at(MON, 8), at(MON, 9), Verdict.PASSED)],
        trainings=[TrainingFacts("A", "m/1", at(MON, 6), at(MON, 7), (DatasetFacts("d/1", at(MON, 0)),))],
    )

    # when
    history, values = History(events, AS_OF), measured(events)
    ledger = history.ledgers(WEEK)[0]

    # then
    assert sum((part.duration for part in ledger.parts), timedelta(0)) == ledger.total == timedelta(hours=30)
    assert values["lead_time_training"].value == 30
    assert values["lead_time_data"].value == 36
    assert ledger.largest is not None
    assert (ledger.largest.name, ledger.largest.stage, ledger.largest.hours) == (PartName.APPROVAL, "production", 21)
    assert sum(part.hours for part in combined([ledger, ledger])) == 60


def test_a_rollback_makes_the_models_age_jump_up_and_a_windows_mean_weighs_by_time():
    # given
    trained = {"A": at(MON, 0) - timedelta(days=10), "B": at(MON, 0)}
    events = Events(
        deployments=[deployed(1, "A", at(MON, 0)), deployed(2, "B", at(TUE, 0)), deployed(3, "A", at(WED, 0))],
        trainings=[TrainingFacts(bundle, bundle, ended) for bundle, ended in trained.items()],
    )
    days = window(date(2026, 3, 2), date(2026, 3, 5))

    # when
    ages = [measured(events, as_of=when)["model_age"].value for when in (at(TUE, 23), at(WED, 0))]
    mean = measured(events, days)["model_age_mean"]

    # then
    assert ages == [47, 12 * 24]
    assert mean.value == pytest.approx(24 * (10.5 + 1.5 + 12.5) / 3)


def test_gates_catch_confirmed_defects_and_retries_of_a_bundle_count_once():
    # given
    def blocked(
        number: int, bundle: str, decision: BlockDecision | None, waived: datetime | None = None
    ) -> GateRunEvent:
        return GateRunEvent(
            number,
            "delay",
            "staging",
            bundle,
            "accuracy",
            at(MON, number),
            at(MON, number + 0.5),
            Verdict.FAILED,
            waived_at=waived,
            decision=decision,
        )

    events = Events(
        deployments=[deployed(1, "A", at(MON, 9)), deployed(2, "W", at(MON, 12))],
        incidents=[incident(1, at(MON, 10), at(MON, 11), caused_by=1)],
        gate_runs=[
            blocked(1, "X", BlockDecision.DEFECT),
            blocked(2, "X", BlockDecision.DEFECT),
            blocked(3, "Y", BlockDecision.FALSE),
            blocked(4, "W", None, waived=at(MON, 6)),
            blocked(5, "Z", None),
        ],
    )

    # when
    young, old = (measured(events, as_of=when) for when in (AS_OF, AS_OF + timedelta(days=7)))

    # then
    assert (young["gate_catch_rate"].value, young["gate_catch_rate"].n) == (0.5, 2)
    assert (young["false_block_rate"].value, young["false_block_rate"].n) == (pytest.approx(1 / 3), 3)
    assert old["false_block_rate"].value == pytest.approx(2 / 3)
    assert "not yet known" in young["false_block_rate"].notes[0]


def test_reproducibility_leaves_errors_of_the_infrastructure_out():
    outcomes = (ReproductionOutcome.EXACT, ReproductionOutcome.DIFFERENT, ReproductionOutcome.ERRORED)
    events = Events(
        reproductions=[ReproductionEvent(n, "delay", "A", at(MON, n), outcome) for n, outcome in enumerate(outcomes)]
    )

    value = measured(events)["reproducibility"]

    assert (value.value, value.n) == (0.5, 2)
    assert value.notes == ("1 ended in an error of the infrastructure",)


def test_young_deployments_are_counted_and_marked_as_maturing():
    events = Events(deployments=[deployed(1, "A", at(MON, 9)), deployed(2, "B", at(SUN, 9))])

    values = measured(events, as_of=AS_OF + timedelta(days=1))

    assert values["change_fail_rate"].n == 2
    assert values["maturing_deployments"].ids == (2,)


def test_nothing_failed_and_no_incident_source_are_told_apart():
    deployment = deployed(1, "A", at(MON, 9))

    quiet = measured(Events(deployments=[deployment], incident_source=True))["change_fail_rate"]
    deaf = measured(Events(deployments=[deployment]))["change_fail_rate"]

    assert quiet.value == deaf.value == 0
    assert not any("source" in note for note in quiet.notes)
    assert any("no incident source" in note for note in deaf.notes)


def test_a_drill_counts_in_nothing_and_ends_nobodys_turn():
    # given a drill back to A and forward again, and then a real way back to A that names nothing
    drill = [
        DeploymentEvent(n, "delay", "production", bundle, DeploymentState.SUCCEEDED, at(MON, 10 + n), drill=True)
        for n, bundle in ((3, "A"), (4, "B"))
    ]
    plain = [deployed(1, "A", at(MON, 9)), deployed(2, "B", at(MON, 10)), deployed(5, "A", at(MON, 20))]

    # when
    without, with_drill = (measured(Events(deployments=d)) for d in (plain, plain + drill))

    # then
    assert with_drill["change_fail_rate"].hits == (2,)
    assert {n: v.value for n, v in without.items()} == {n: v.value for n, v in with_drill.items()}


def test_the_first_remedy_restores_and_a_later_hotfix_of_the_cause_changes_nothing():
    events = Events(
        deployments=[
            deployed(1, "A", at(MON, 9)),
            deployed(2, "B", at(MON, 10)),
            deployed(3, "A", at(MON, 11), blames=2),
            deployed(4, "C", at(TUE, 10), declared=DeploymentKind.HOTFIX, fixes="deployment/2"),
        ]
    )

    values = measured(events)

    assert values["failed_deployment_recovery_time"].value == 1
    assert values["deployment_rework_rate"].hits == (3, 4)


def test_a_rollback_that_only_the_order_shows_is_unplanned_unless_somebody_said_that_it_was_planned():
    def rework(planned: bool | None) -> list[float | None]:
        values = measured(
            Events(
                deployments=[
                    deployed(1, "A", at(MON, 9)),
                    deployed(2, "B", at(MON, 10)),
                    deployed(3, "A", at(MON, 11), planned=planned),
                ]
            )
        )
        return [values[name].value for name in ("deployment_rework_rate", "change_fail_rate")]

    assert rework(None) == rework(False) == [pytest.approx(1 / 3), 0.5]
    assert rework(True) == [0.0, 0.0]


def test_an_unplanned_release_is_rework_only_where_a_failure_caused_it():
    events = Events(
        deployments=[
            deployed(1, "A", at(MON, 9)),
            deployed(2, "B", at(MON, 10), planned=False),
            deployed(3, "C", at(MON, 11), planned=False, fixes="1"),
            deployed(4, "D", at(MON, 12), planned=False, declared=DeploymentKind.RETRAIN),
            deployed(5, "E", at(MON, 13), declared=DeploymentKind.RETRAIN),
        ]
    )

    assert measured(events)["deployment_rework_rate"].hits == (3, 4)


def test_a_commit_that_travels_in_two_bundles_counts_once_in_each_application():
    events = Events(
        deployments=[
            deployed(1, "A", at(MON, 9)),
            deployed(2, "B", at(MON, 10)),
            deployed(3, "P", at(MON, 11), application="price"),
        ],
        commits=[CommitEvent(bundle, at(MON, 8), "same") for bundle in "BAP"],
    )

    assert [(s.id, s.value) for s in measured(events)["change_lead_time"].samples] == [(1, 1), (3, 3)]


def test_bands_lie_on_the_bins_and_rates_have_a_score():
    # given 6 deployments in a week, each 30 minutes after its commit, one of them failed
    moments = [at(MON, 9) + timedelta(days=n) for n in range(6)]
    events = Events(
        deployments=[deployed(n, f"V{n}", when) for n, when in enumerate(moments)],
        commits=[CommitEvent(f"V{n}", when - timedelta(minutes=30)) for n, when in enumerate(moments)],
        incidents=[incident(1, moments[0], moments[1], caused_by=0)],
    )

    # when
    values = measured(events)

    # then
    lead, frequency, failed = (
        band(values[name]) for name in ("change_lead_time", "deployment_frequency", "change_fail_rate")
    )
    assert (lead.bin, lead.score) == (6, 10)
    assert (frequency.bin, frequency.answer, frequency.score) == (5, "about one a day", 8)
    assert failed.bin is None
    assert failed.score == pytest.approx(10 - 100 / 6 / 10)
    assert band(values["failed_deployment_recovery_time"]) is None
    assert (values["change_lead_time"].low, values["change_lead_time"].high) == (0.5, 0.5)


def test_a_trend_has_gaps_where_there_is_nothing_and_marks_what_is_partial_or_maturing():
    # given releases in the first and the third week
    moments = (at(MON, 9), at(MON, 9) + timedelta(weeks=2))
    events = Events(
        deployments=[deployed(n, f"V{n}", when) for n, when in enumerate(moments)],
        commits=[CommitEvent(f"V{n}", when - timedelta(hours=3)) for n, when in enumerate(moments)],
    )
    within = window(date(2026, 3, 2), date(2026, 3, 20))

    # when
    points = trend(History(events, moments[1] + timedelta(days=1)), "change_lead_time", within)

    # then
    assert [point.value.value for point in points] == [3, None, 3]
    assert [point.partial for point in points] == [False, False, True]
    assert [point.maturing for point in points] == [False, False, True]
    assert [[sample.id for sample in point.samples] for point in points] == [[0], [], [1]]


def test_a_change_deserves_an_arrow_only_where_it_exceeds_the_interval():
    # given twenty deployments in the week after one with six
    before = [at(MON, 1) - timedelta(days=n) for n in range(1, 7)]
    after = [at(MON, 0) + timedelta(hours=8 * n) for n in range(20)]
    events = Events(deployments=[deployed(n, f"V{n}", when) for n, when in enumerate(before + after)])

    # when
    comparison = compare(History(events, AS_OF), WEEK)

    # then
    assert (comparison["deployments"].now.value, comparison["deployments"].before.value) == (20, 6)
    assert comparison["deployments"].change == 14
    assert comparison["deployments"].exceeds_interval
    assert not comparison["change_fail_rate"].exceeds_interval

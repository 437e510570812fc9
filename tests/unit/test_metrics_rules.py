"""What the worked examples of the metrics' definitions leave to the rules, fed as events."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from week import AS_OF, MON, SUN, TUE, WED, WEEK, at, deployed, incident, measured

from services.rules.domain import DeploymentKind, DeploymentState, Verdict
from services.rules.metrics import (
    ApprovalWait,
    BlockDecision,
    CommitEvent,
    DatasetFacts,
    DeploymentEvent,
    Events,
    GateRunEvent,
    History,
    LinkKind,
    PartName,
    QualityKind,
    ReproductionEvent,
    ReproductionOutcome,
    TrainingFacts,
    band,
    combined,
    compare,
    trend,
    window,
)


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

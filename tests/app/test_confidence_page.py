"""The Confidence page: five questions, each with a sentence, a state that is never green by default, and evidence."""

from __future__ import annotations

from datetime import timedelta

import pytest
from delivering import LOU, MIA, Delivery, Open, sentence, words
from streamlit.testing.v1 import AppTest
from test_statements import MOST, counted, history

from pages.components import reads, sparks
from services import clock as clocks
from services.commands import incidents, preflights, rollbacks
from services.commands.incidents import Report
from services.queries import confidence
from services.queries.confidence import Confidence
from services.rules.confidence import LOOKED_AT_WITHIN, State, fresh
from services.rules.domain import SlotRef, Verdict
from services.rules.preflight import Answer, Finding
from services.store.database import Store

PRODUCTION = SlotRef("delays", "production")
QUESTIONS = (
    "How long does it take to push a retrained model to production?",
    "Are there automated tests for the data pipelines?",
    "Can we roll back within an hour?",
    "Can we reproduce the conditions of last month's model?",
    "Do our releases hold?",
)
GREEN = ":green-badge[:material/check_circle: yes]"


def opened(open_page: Open, **parameters: str) -> AppTest:
    return open_page("measure/confidence", **parameters)


def answers(team: Delivery, application: str = "") -> Confidence:
    return confidence.confidence(team.store, application, "UTC", clocks.wall())


def test_without_an_application_it_says_what_to_do_first(open_page: Open, store: Store) -> None:
    at = opened(open_page)

    assert sentence(at) == "Nothing is delivered here yet, so there is nothing to be confident of."
    assert "headgate apply" in words(at)


def test_what_nobody_measured_is_not_yet_known_and_never_green(open_page: Open, team: Delivery) -> None:
    at = opened(open_page)

    assert sentence(at) == "5 not yet known."
    assert [header.value.replace("\\", "") for header in at.header] == list(QUESTIONS)
    assert not any(GREEN in element.value for element in at.markdown)


def test_every_question_states_what_it_takes_for_a_yes(open_page: Open, team: Delivery) -> None:
    said = [element.value for element in opened(open_page).markdown]

    assert sum(":gray[Yes: " in words.replace("\\", "") for words in said) == len(QUESTIONS)


def test_every_question_links_to_its_evidence(open_page: Open, team: Delivery) -> None:
    for _ in range(2):
        assert len(opened(open_page).get("page_link")) == len(QUESTIONS)
        team.bring_live(team.make())


def test_a_month_without_a_value_is_a_gap_and_no_line_is_drawn_through_it() -> None:
    drawn = sparks.drawing([1.0, 2.0, None, 3.0, None, 2.0, 1.0], "Jun", "Dec", "light")

    assert drawn.count("<polyline") == 2
    assert drawn.count("<circle") == 5


def test_a_rate_is_drawn_as_bars_from_zero_and_a_week_of_none_has_none() -> None:
    assert sparks.drawing([0.0, 2.0, None, 1.0], "1 Jun", "22 Jun", "dark", bars=True).count("<rect") == 2


def test_it_counts_what_was_measured(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.ask(team.make(), "staging")
    team.judge(schema=Verdict.FAILED)

    said = words(opened(open_page))

    assert "The data of 0 of 1 bundle passed a schema and a drift gate (1 schema, 0 drift)." in said
    assert "Last caught: delays/2 by schema" in said
    assert "No incident source is connected" in said
    assert "Nobody has tried it" in said


def test_a_rollback_and_a_safe_target_answer_whether_one_can_go_back(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.bring_live(team.make())
    rollbacks.roll_back(team.store, PRODUCTION, actor=LOU, clock=team.clock, reason="Too many late notices.")
    team.carry("production")
    assert answers(team).way_back.state is State.UNKNOWN

    for wanted in preflights.wanted(team.store, PRODUCTION):
        preflights.note(team.store, wanted, [Finding("model", Answer.SAFE, "The model is there.")])

    assert answers(team).way_back.state is State.YES
    said = words(opened(open_page))
    assert "in 1 rollback and 0 drills" in said
    assert "1 of 1 live bundle has a safe target now." in said
    assert "delays/1 to delays/2" in said


def test_an_unsafe_target_is_a_no(team: Delivery) -> None:
    team.bring_live(team.make())
    team.bring_live(team.make())
    for wanted in preflights.wanted(team.store, PRODUCTION):
        preflights.note(team.store, wanted, [Finding("model", Answer.UNSAFE, "The model is gone.")])

    assert answers(team).way_back.state is State.NO


@pytest.mark.parametrize(("age", "same_live"), [(LOOKED_AT_WITHIN * 2, True), (timedelta(0), False)])
def test_a_preflight_that_is_old_or_of_another_live_bundle_is_unknown(age: timedelta, same_live: bool) -> None:
    now = clocks.wall()

    assert fresh("safe", now - age, same_live=same_live, now=now) is Answer.UNKNOWN


def test_an_incident_is_counted_against_the_releases(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())
    team.clock.elapse(60)
    now = team.clock.now()
    incidents.open_(team.store, Report("delays", "Late notices", now, now), actor=MIA, clock=team.clock)

    said = words(opened(open_page))

    assert "1 of 1 deployment failed" in said
    assert "1 still fails." in said
    assert "The last incident began" in said


def test_one_application_is_a_link_to_send(open_page: Open, team: Delivery) -> None:
    team.bring_live(team.make())

    assert "delays, 180 days up to" in words(opened(open_page, application="delays"))
    assert sentence(opened(open_page, application="nobody")) == "There is no application 'nobody'."


def test_a_name_that_is_markup_is_shown_as_it_was_written(open_page: Open, team: Delivery) -> None:
    nasty = "<b>x</b> :material/home: [a](https://x.example)"

    raw = [title.value for title in opened(open_page, application=nasty).title]

    assert not any("](https" in value or ":material/home:" in value for value in raw)


@pytest.mark.parametrize("bundles", [10, 1000])
def test_it_takes_at_most_twelve_statements(open_page: Open, team: Delivery, bundles: int) -> None:
    team.bring_live(team.make())
    team.bring_live(team.make())
    history(team, bundles)

    for parameters in ({}, {"application": "delays"}):
        at = opened(open_page, **parameters)
        reads.forget_everything()
        with counted() as said:
            at.run()
        assert not at.exception
        assert len(said) <= MOST, said

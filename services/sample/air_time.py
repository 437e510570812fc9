"""The second story: how long will a flight be in the air? Another team, another kind of model, no prompt, and a new
model every second month.

Its trees know the months that they have seen, and no others. So the model of October keeps to the summer's winds in
November, when flights to the west take 20 minutes longer than it says; nothing in October could have told.
"""

from __future__ import annotations

from services.commands.incidents import NONE_NEEDED
from services.sample.data import AIR_TIMES, Recipe
from services.sample.people import PLANNER, PLANNING_LEAD
from services.sample.steps import (
    PRODUCTION,
    Approve,
    Blame,
    Delivery,
    Moment,
    Promote,
    Report,
    Resolve,
    Retrain,
    SampleApplication,
)

APPLICATION = SampleApplication("air-time", "air-time.toml", PLANNING_LEAD)
WINDS = "winds of autumn"


def _retrain(month: int, at: Moment, minutes: int, *commits: Moment) -> Retrain:
    return Retrain(Recipe(month, task=AIR_TIMES), at, minutes, commits, by=PLANNER)


def _promote(at: Moment, reason: str, mends: str = "") -> Promote:
    return Promote(PRODUCTION, at, reason, mends, by=PLANNER)


def _approve(at: Moment, comment: str = "") -> Approve:
    return Approve(PRODUCTION, at, comment, by=PLANNING_LEAD)


DELIVERIES = (
    Delivery(
        APPLICATION,
        "air-time 2013-02",
        2,
        _retrain(2, Moment(14, 10, 5), 9, Moment(12, 13, 20), Moment(13, 9, 40)),
        (
            _promote(Moment(15, 9, 10), "The first model, trained on January alone."),
            _approve(Moment(16, 14, 5), "Better than the table we plan with today."),
        ),
    ),
    Delivery(
        APPLICATION,
        "air-time 2013-04",
        4,
        _retrain(4, Moment(15, 9, 30), 10, Moment(14, 15, 10)),
        (
            _promote(Moment(15, 13, 20), "Knows the winds of spring."),
            _approve(Moment(18, 9, 45)),
        ),
    ),
    Delivery(
        APPLICATION,
        "air-time 2013-06",
        6,
        _retrain(6, Moment(16, 8, 50), 10, Moment(15, 10, 30), Moment(15, 16)),
        (
            _promote(Moment(17, 9), "Retrained with two months more."),
            _approve(Moment(17, 15, 35), "Two minutes nearer than what is live."),
        ),
    ),
    Delivery(
        APPLICATION,
        "air-time 2013-08",
        8,
        _retrain(8, Moment(15, 10, 15), 11, Moment(14, 11, 50)),
        (
            _promote(Moment(16, 9, 30), "Retrained with the summer."),
            _approve(Moment(18, 10, 10)),
        ),
    ),
    Delivery(
        APPLICATION,
        "air-time 2013-10",
        10,
        _retrain(10, Moment(14, 9, 30), 11, Moment(13, 14, 25)),
        (
            _promote(Moment(15, 9, 5), "Retrained with two months more."),
            _approve(Moment(16, 10, 30), "As good as what is live."),
            Report(
                WINDS,
                "Flights to the west coast take 20 minutes longer than planned",
                "medium",
                Moment(19, 6),
                Moment(24, 9, 40),
                by=PLANNER,
            ),
            Blame(WINDS, Moment(24, 15, 20), by=PLANNING_LEAD),
        ),
    ),
    Delivery(
        APPLICATION,
        "air-time 2013-11",
        11,
        _retrain(11, Moment(1, 8, 40), 11, Moment(0, 9, 15)),
        (
            _promote(Moment(1, 10, 10), "Knows October, when the winds turned.", mends=WINDS),
            _approve(Moment(1, 12, 40), "Four minutes nearer on November's flights. Out with it."),
            Resolve(
                WINDS,
                Moment(2, 9),
                "Retrained out of turn, with October. The winds turn every autumn: we retrain monthly until March.",
                NONE_NEEDED,
                by=PLANNING_LEAD,
            ),
        ),
    ),
    Delivery(
        APPLICATION,
        "air-time 2013-12",
        12,
        _retrain(12, Moment(3, 9, 20), 12, Moment(2, 14, 30)),
        (
            _promote(Moment(4, 9, 40), "Retrained with one month more."),
            _approve(Moment(5, 16, 15), "Three minutes nearer than what is live."),
        ),
    ),
)

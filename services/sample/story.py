"""The story of the sample, as data: what was made in each month of 2013, and what the people did with it.

The steps of every delivery are the same routine, whatever comes of them. What the gates stop, they stop for what is in
it: the leak is an extra column of one recipe, the broken notice a text without one of its variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from services.rules.domain import Person
from services.sample.data import YEAR, Recipe
from services.sample.people import LEAD, MAKER

APPLICATION = "flight-delay"
MODEL = "flight-delay"
PROMPT = "delay-notice"
STAGING, PRODUCTION = "staging", "production"


@dataclass(frozen=True)
class Moment:
    """A time of the story: days after the end of the month that the delivery's data reaches to, and the time of day.

    Day 0 is the first day of the next month. Times are UTC.
    """

    day: int
    hour: int
    minute: int = 0

    @property
    def offset(self) -> timedelta:
        return timedelta(days=self.day, hours=self.hour, minutes=self.minute)


@dataclass(frozen=True)
class Retrain:
    """A model trained by `by` on what was known by then, from `at` on, for so many minutes."""

    recipe: Recipe
    at: Moment
    minutes: int
    commits: tuple[Moment, ...] = ()
    by: Person = MAKER


@dataclass(frozen=True)
class Reword:
    """A new version of the notice to passengers. The model stays what it is."""

    template: str
    at: Moment
    by: Person = MAKER


@dataclass(frozen=True)
class Promote:
    stage: str
    at: Moment
    reason: str = ""
    by: Person = MAKER


@dataclass(frozen=True)
class Approve:
    stage: str
    at: Moment
    comment: str = ""
    by: Person = LEAD


@dataclass(frozen=True)
class Reject:
    stage: str
    at: Moment
    comment: str
    by: Person = LEAD


@dataclass(frozen=True)
class RollBack:
    stage: str
    at: Moment
    reason: str
    by: Person = LEAD


Step = Promote | Approve | Reject | RollBack


@dataclass(frozen=True)
class Delivery:
    """Something made, which becomes a bundle, and what is then done with it. `month` is the last one known by then."""

    name: str
    month: int
    makes: Retrain | Reword
    steps: tuple[Step, ...]


FIRST_WORDING = (
    "Write a short notice to the passengers of {{airline}} flight {{flight}}. It will probably leave about "
    "{{minutes}} minutes late. Apologise once and ask them to stay near the gate."
)
WORDING_WITHOUT_MINUTES = (
    "You write for people who are waiting at an airport. In at most two plain sentences, tell the passengers of "
    "{{airline}} flight {{flight}} that it will probably leave late. Give no cause and promise nothing."
)
SECOND_WORDING = (
    "You write for people who are waiting at an airport. In at most two plain sentences, tell the passengers of "
    "{{airline}} flight {{flight}} that it will probably leave about {{minutes}} minutes late. Give no cause and "
    "promise nothing."
)

OPENING = Moment(1, 8)  # after the first delivery's month: the policy is applied and the first notice written

DELIVERIES = (
    Delivery(
        "2013-05",
        5,
        Retrain(Recipe(5), Moment(2, 9, 10), 26, (Moment(1, 9, 30), Moment(1, 15, 5))),
        (
            Promote(STAGING, Moment(2, 13), "The first model, trained on four months."),
            Promote(PRODUCTION, Moment(4, 9, 30)),
            Approve(PRODUCTION, Moment(5, 10, 15), "Go. We watch the first week together."),
        ),
    ),
    Delivery(
        "2013-06",
        6,
        Retrain(Recipe(6), Moment(3, 8, 40), 27, (Moment(1, 11, 20),)),
        (
            Promote(STAGING, Moment(3, 14), "Retrained with one month more."),
            Promote(PRODUCTION, Moment(5, 9)),
            Approve(PRODUCTION, Moment(6, 15, 40), "Nothing unusual in the evidence."),
        ),
    ),
    Delivery(
        "2013-07",
        7,
        Retrain(
            Recipe(7, extra_columns=("dep_delay",)),
            Moment(2, 10),
            31,
            (Moment(1, 10, 45), Moment(1, 16, 30), Moment(2, 8, 55)),
        ),
        (
            Promote(STAGING, Moment(2, 15, 20), "A new column makes it far better than any before."),
            Promote(PRODUCTION, Moment(3, 9)),
            Approve(PRODUCTION, Moment(3, 16)),
        ),
    ),
    Delivery(
        "2013-07, declared columns",
        7,
        Retrain(Recipe(7), Moment(4, 9, 15), 28, (Moment(3, 16, 40),)),
        (
            Promote(STAGING, Moment(4, 11, 30), "The same month, trained on the declared columns only."),
            Promote(PRODUCTION, Moment(4, 16)),
            Approve(PRODUCTION, Moment(5, 9, 20), "Good catch by the gate."),
        ),
    ),
    Delivery(
        "2013-08",
        8,
        Retrain(Recipe(8), Moment(2, 9), 29, (Moment(1, 13, 35),)),
        (
            Promote(STAGING, Moment(2, 11), "Retrained with the busiest month so far."),
            Promote(PRODUCTION, Moment(3, 10)),
            Approve(PRODUCTION, Moment(3, 17, 5)),
        ),
    ),
    Delivery(
        "shorter notice",
        8,
        Reword(WORDING_WITHOUT_MINUTES, Moment(12, 9, 30)),
        (
            Promote(STAGING, Moment(12, 10), "Shorter, plainer notice, as the customer desk asked."),
            Promote(PRODUCTION, Moment(12, 14)),
            Approve(PRODUCTION, Moment(12, 16, 30)),
        ),
    ),
    Delivery(
        "shorter notice, with minutes",
        8,
        Reword(SECOND_WORDING, Moment(13, 9, 30)),
        (
            Promote(STAGING, Moment(13, 10, 15), "The shorter notice says again how many minutes."),
            Promote(PRODUCTION, Moment(13, 13)),
            Approve(PRODUCTION, Moment(14, 9, 10), "Reads well. The model is the same."),
        ),
    ),
    Delivery(
        "2013-09",
        9,
        Retrain(Recipe(9), Moment(2, 9, 20), 30, (Moment(1, 9, 50), Moment(1, 17))),
        (
            Promote(STAGING, Moment(2, 12), "Retrained with one month more."),
            Promote(PRODUCTION, Moment(3, 9, 45)),
            Approve(PRODUCTION, Moment(3, 14, 30)),
            RollBack(
                PRODUCTION,
                Moment(4, 8, 5),
                "The customer desk counts far more warnings than late departures since yesterday afternoon.",
            ),
        ),
    ),
    Delivery(
        "2013-10",
        10,
        Retrain(Recipe(10), Moment(2, 8, 50), 32, (Moment(1, 10, 5),)),
        (
            Promote(STAGING, Moment(2, 11, 15), "Knows the month in which far fewer flights left late."),
            Promote(PRODUCTION, Moment(4, 9)),
            Approve(PRODUCTION, Moment(4, 13, 25), "Warns about as often as flights are late again."),
        ),
    ),
    Delivery(
        "2013-11",
        11,
        Retrain(Recipe(11), Moment(2, 9, 35), 33, (Moment(1, 15, 15),)),
        (
            Promote(STAGING, Moment(2, 14), "Retrained with one month more."),
            Promote(PRODUCTION, Moment(3, 11)),
            Reject(
                PRODUCTION,
                Moment(4, 10, 40),
                "The weakest so far at telling late flights apart. What is live stays until we know why.",
            ),
        ),
    ),
    Delivery(
        "2013-12",
        12,
        Retrain(Recipe(12), Moment(2, 9, 5), 35, (Moment(1, 11, 30), Moment(1, 16, 45))),
        (
            Promote(STAGING, Moment(3, 10), "Retrained with one month more."),
            Promote(PRODUCTION, Moment(6, 15, 10), "One month more than the one that was turned down."),
        ),
    ),
)


@dataclass(frozen=True)
class Calendar:
    """Shifts 2013 to the time the story is told in: by whole days, so that the story ends right before `until`."""

    until: date

    @property
    def shift(self) -> timedelta:
        """How far the story's times lie from those of the data."""
        return datetime.combine(self.until, time(), UTC) - _end_of_story()

    def at(self, month: int, moment: Moment) -> datetime:
        """When a moment after the data month is told to have been."""
        return end_of_month(month) + moment.offset + self.shift

    def start_of(self, month: int) -> datetime:
        """When a data month is told to have begun: to there reaches what is known of the months before it."""
        return end_of_month(month - 1) + self.shift

    @property
    def opening(self) -> datetime:
        return self.at(DELIVERIES[0].month, OPENING)

    @classmethod
    def opened_at(cls, opening: datetime) -> Calendar:
        """The calendar of a story that was begun on an earlier day."""
        since_2013 = opening - (end_of_month(DELIVERIES[0].month) + OPENING.offset)
        return cls((_end_of_story() + since_2013).date())


def end_of_month(month: int) -> datetime:
    """The first moment after a month of the data's year; month 0 is the December before it."""
    return datetime(YEAR + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def moments(delivery: Delivery) -> tuple[Moment, ...]:
    """Every moment of a delivery, in the order in which they are told."""
    made = delivery.makes
    commits = made.commits if isinstance(made, Retrain) else ()
    return (*commits, made.at, *(step.at for step in delivery.steps))


def _end_of_story() -> datetime:
    """Midnight after the last moment, in the data's own time."""
    last = max(end_of_month(delivery.month) + moment.offset for delivery in DELIVERIES for moment in moments(delivery))
    return datetime.combine(last.date() + timedelta(days=1), time(), UTC)

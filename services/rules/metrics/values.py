"""What a metric answers: a number or nothing, with all that is needed to believe it, or to take it apart."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from services.rules.metrics import intervals
from services.rules.metrics.catalogue import BY_NAME
from services.rules.metrics.events import Id
from services.rules.metrics.windows import Window

HOUR = timedelta(hours=1)
LEAST_TO_JUDGE = 5  # below it a value is grey, without band or arrow


class Sample(NamedTuple):
    """One thing that was counted: when, which, and what it adds. A value's n is the number of its samples.

    `value` is hours for durations, 1 or 0 for shares, 1 for counts. `id` is of a `subject`: what it opens.
    """

    at: datetime
    id: Id
    value: float
    subject: str = "deployment"
    detail: str = ""


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


@dataclass(frozen=True)
class Value:
    """One metric of one window.

    `value` is none where there is nothing to say it of. `low` and `high` bound its 95 % interval, where one exists.
    `ids` are the distinct things behind it, in the order of their time; `samples` has what each of them adds.
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
    ids: tuple[Id, ...] = ()
    notes: tuple[str, ...] = ()
    quality: tuple[QualityRow, ...] = ()
    samples: tuple[Sample, ...] = ()

    @property
    def partial(self) -> bool:
        """The window was not over yet."""
        return self.window.partial(self.as_of)

    @property
    def too_few(self) -> bool:
        """Shown in grey, without band or arrow."""
        return self.n < LEAST_TO_JUDGE

    @property
    def hits(self) -> tuple[Id, ...]:
        """Of a share: those that make its numerator."""
        return tuple(dict.fromkeys(sample.id for sample in self.samples if sample.value))


@dataclass(frozen=True)
class Series:
    """All samples of a kind, in the order of their time, so that a window is a slice of them."""

    samples: Sequence[Sample]

    @cached_property
    def _times(self) -> list[datetime]:
        return [sample.at for sample in self.samples]

    def within(self, window: Window) -> tuple[Sample, ...]:
        return tuple(self.samples[bisect_left(self._times, window.start) : bisect_left(self._times, window.end)])


def series(samples: Iterable[Sample]) -> Series:
    return Series(sorted(samples, key=attrgetter("at")))  # a stable sort: makers hand them over in one order


@dataclass(frozen=True)
class Answer:
    """Makes the values of one window, so that each knows the same window, as_of and method as its definition."""

    window: Window
    as_of: datetime

    def count(self, name: str, samples: tuple[Sample, ...], *, notes: tuple[str, ...] = ()) -> Value:
        """How many, with an exact Poisson interval."""
        low, high = intervals.poisson(len(samples))
        return self.make(name, float(len(samples)), samples, (low, high), notes=notes)

    def share(
        self,
        name: str,
        samples: tuple[Sample, ...],
        *,
        notes: tuple[str, ...] = (),
        quality: tuple[QualityRow, ...] = (),
    ) -> Value:
        """How large a part of the samples is 1, with a Wilson interval. Nothing of nothing is none, never 0."""
        hits = sum(1 for sample in samples if sample.value)
        value = hits / len(samples) if samples else None
        return self.make(name, value, samples, intervals.wilson(hits, len(samples)), notes=notes, quality=quality)

    def median(
        self,
        name: str,
        samples: tuple[Sample, ...],
        *,
        notes: tuple[str, ...] = (),
        quality: tuple[QualityRow, ...] = (),
    ) -> Value:
        values = [sample.value for sample in samples]
        found = intervals.percentile(values, 0.5)
        return self.make(name, found, samples, intervals.of_percentile(values, 0.5), notes=notes, quality=quality)

    def p90(self, name: str, samples: tuple[Sample, ...], *, quality: tuple[QualityRow, ...] = ()) -> Value:
        """None below 10 samples, where it would be little else than the largest."""
        values = [sample.value for sample in samples]
        if 0 < len(values) < intervals.LEAST_FOR_P90:
            few = f"{len(values)} of the {intervals.LEAST_FOR_P90} samples that a p90 needs"
            return self.make(name, None, samples, None, notes=(few,), quality=quality)
        found = intervals.percentile(values, 0.9)
        return self.make(name, found, samples, intervals.of_percentile(values, 0.9), quality=quality)

    def make(
        self,
        name: str,
        value: float | None,
        samples: tuple[Sample, ...],
        interval: tuple[float, float] | None = None,
        *,
        notes: tuple[str, ...] = (),
        quality: tuple[QualityRow, ...] = (),
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
            ids=tuple(identity for identity, _ in dict.fromkeys((s.id, s.subject) for s in samples)),
            notes=notes,
            quality=quality,
            samples=samples,
        )


def hours(duration: timedelta) -> float:
    return duration / HOUR

"""Samples: what was counted, kept in columns, so that fifty thousand cost next to nothing until one is looked at."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from services.rules.metrics.events import Id
from services.rules.metrics.windows import Window

Floats = NDArray[np.float64]
HOUR = timedelta(hours=1)
DEPLOYMENT = "deployment"


class Sample(NamedTuple):
    """One thing that was counted: when, which, and what it adds. A value's n is the number of its samples.

    `value` is hours for durations, 1 or 0 for shares, 1 for counts. `id` is of a `subject`: what it opens.
    """

    at: datetime
    id: Id
    value: float
    subject: str = DEPLOYMENT
    detail: str = ""


class Samples(Sequence[Sample]):
    """Samples in the order of their time. `values` is a column of them; the others appear one by one."""

    __slots__ = ("_at", "_details", "_ids", "_subjects", "values")

    def __init__(
        self,
        at: Sequence[datetime],
        ids: Sequence[Id],
        values: Floats,
        details: Sequence[str] | None = None,
        subjects: Sequence[str] | None = None,
    ) -> None:
        self._at, self._ids, self.values, self._details, self._subjects = at, ids, values, details, subjects

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Samples:
        """From single ones, which are put in order; those of one instant stay as they come."""
        rows = sorted(samples, key=lambda sample: sample.at)
        return cls(
            [row.at for row in rows],
            [row.id for row in rows],
            np.array([row.value for row in rows], dtype=float),
            [row.detail for row in rows],
            [row.subject for row in rows],
        )

    @property
    def ids(self) -> tuple[Id, ...]:
        """The distinct ones, in order."""
        if self._subjects is None:
            return tuple(dict.fromkeys(self._ids))
        return tuple(identity for identity, _ in dict.fromkeys(zip(self._ids, self._subjects, strict=True)))

    @property
    def hits(self) -> Samples:
        """Those whose value is not 0."""
        return self.where(self.values != 0)

    def within(self, window: Window) -> Samples:
        return self[bisect_left(self._at, window.start) : bisect_left(self._at, window.end)]

    def merged(self, other: Samples) -> Samples:
        """These and the others, in the order of their time; of one instant these first."""
        if not other:
            return self
        at = [*self._at, *other._at]
        order = sorted(range(len(at)), key=at.__getitem__)
        ids, details = [*self._ids, *other._ids], [*self._all_details, *other._all_details]
        subjects = [*self._all_subjects, *other._all_subjects]
        return Samples(
            [at[i] for i in order],
            [ids[i] for i in order],
            np.concatenate([self.values, other.values])[order],
            [details[i] for i in order],
            [subjects[i] for i in order],
        )

    @property
    def _all_details(self) -> Sequence[str]:
        return [""] * len(self) if self._details is None else self._details

    @property
    def _all_subjects(self) -> Sequence[str]:
        return [DEPLOYMENT] * len(self) if self._subjects is None else self._subjects

    def positions(self, instants: Iterable[datetime]) -> list[int]:
        """How many lie before each of the instants."""
        return [bisect_left(self._at, instant) for instant in instants]

    def where(self, mask: NDArray[np.bool_]) -> Samples:
        """Those at which the mask is true."""
        if mask.all():
            return self
        kept = np.flatnonzero(mask).tolist()
        return Samples(
            [self._at[i] for i in kept],
            [self._ids[i] for i in kept],
            self.values[mask],
            None if self._details is None else [self._details[i] for i in kept],
            None if self._subjects is None else [self._subjects[i] for i in kept],
        )

    def valued(self, values: Floats | float) -> Samples:
        """The same things with other values."""
        column = np.full(len(self), values) if isinstance(values, float) else values
        return Samples(self._at, self._ids, column, self._details, self._subjects)

    def __len__(self) -> int:
        return len(self._at)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Samples: ...

    def __getitem__(self, index: int | slice) -> Sample | Samples:
        if isinstance(index, slice):
            return Samples(
                self._at[index],
                self._ids[index],
                self.values[index],
                None if self._details is None else self._details[index],
                None if self._subjects is None else self._subjects[index],
            )
        return Sample(
            self._at[index],
            self._ids[index],
            float(self.values[index]),
            DEPLOYMENT if self._subjects is None else self._subjects[index],
            "" if self._details is None else self._details[index],
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Samples) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Samples({list(self)!r})"


def hours(duration: timedelta) -> float:
    return duration / HOUR


def seconds(instants: Iterable[datetime]) -> Floats:
    """Since 1970. Exact to the microsecond, so that equal instants stay equal."""
    return np.fromiter(map(datetime.timestamp, instants), dtype=float)

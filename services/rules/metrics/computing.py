"""All metrics of a window, their course week by week, and the change against the window before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.errors import BadInput
from services.rules.metrics import ai, delivery, intervals
from services.rules.metrics.catalogue import BY_NAME, NAMES
from services.rules.metrics.events import Events
from services.rules.metrics.history import History
from services.rules.metrics.pausing import collector_paused
from services.rules.metrics.samples import Samples
from services.rules.metrics.values import Value
from services.rules.metrics.windows import Window, window

METRICS = {**delivery.METRICS, **ai.METRICS}


@dataclass(frozen=True)
class TrendPoint:
    """One ISO week, cut to the window. A value of none is a gap, not a zero.

    `partial`: the week is cut by the window, or not over. `maturing`: an incident may still become that of one of its
    deployments. `p90` for durations with enough samples.
    """

    week: Window
    value: Value
    p90: float | None
    partial: bool
    maturing: bool

    @property
    def samples(self) -> Samples:
        return self.value.samples


@dataclass(frozen=True)
class Comparison:
    """A value and that of as many days before. `change` is none where one of them is."""

    now: Value
    before: Value

    @property
    def change(self) -> float | None:
        if self.now.value is None or self.before.value is None:
            return None
        return self.now.value - self.before.value

    @property
    def exceeds_interval(self) -> bool:
        """Worth an arrow: enough samples on both sides, and the value before lies outside the interval of now."""
        known = self.now.low is not None and self.now.high is not None and self.before.value is not None
        if not known or self.now.too_few or self.before.too_few:
            return False
        assert self.now.low is not None
        assert self.now.high is not None
        assert self.before.value is not None
        return not self.now.low <= self.before.value <= self.now.high


def compute(events: Events, within: Window, as_of: datetime, names: Iterable[str] = NAMES) -> dict[str, Value]:
    """Every metric of the window as it stood at `as_of`, by name.

    Raises BadInput for an `as_of` without a zone, and for a name that no metric has.
    """
    return measure(History(events, as_of), within, names)


def measure(history: History, within: Window, names: Iterable[str] = NAMES) -> dict[str, Value]:
    """As `compute`, on a history that other windows are asked of as well."""
    with collector_paused():
        return {name: _metric(name)(history, within) for name in names}


def trend(history: History, name: str, within: Window) -> tuple[TrendPoint, ...]:
    """One metric week by week, for the weeks that had begun at the history's `as_of`."""
    metric = _metric(name)
    points = []
    for week in within.weeks():
        cut = window(max(week.first, within.first), min(week.until, within.until), within.zone)
        if cut.start > history.as_of:
            break
        value = metric(history, cut)
        points.append(
            TrendPoint(
                week=cut,
                value=value,
                p90=_p90(value),
                partial=cut != week or cut.partial(history.as_of),
                maturing=bool(history.maturing_deployments.within(cut)),
            )
        )
    return tuple(points)


def compare(history: History, within: Window, names: Sequence[str] = NAMES) -> dict[str, Comparison]:
    """Every metric of the window beside that of the window before, both as known at the same `as_of`."""
    now, before = measure(history, within, names), measure(history, within.before(), names)
    return {name: Comparison(value, before[name]) for name, value in now.items()}


def _p90(value: Value) -> float | None:
    if BY_NAME[value.name].unit != "hours" or value.n < intervals.LEAST_FOR_P90:
        return None
    return intervals.percentile(value.samples.values, 0.9)


def _metric(name: str) -> delivery.Metric:
    if name not in METRICS:
        raise BadInput(f"There is no metric named {name!r}.", f"Choose one of {', '.join(NAMES)}.")
    return METRICS[name]

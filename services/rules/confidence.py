"""Five questions about delivery: what answers them, and when that is a yes or a no. What nobody measured is neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from services.rules.domain import BundleRef
from services.rules.metrics import LedgerPart, Value
from services.rules.metrics.values import LEAST_TO_JUDGE
from services.rules.preflight import Answer

LEAD_LIMIT = timedelta(days=7)
TESTED_LIMIT = 0.9
ROLLBACK_LIMIT = timedelta(hours=1)
TRIED_WITHIN = timedelta(days=90)
LOOKED_AT_WITHIN = timedelta(hours=24)
# The means of the industry in 2025 (METRICS, Bands): no better than most is no reason to be confident.
FAIL_LIMIT, REWORK_LIMIT = 0.19, 0.22


class State(StrEnum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "not yet known"


def fresh(answer: str, looked_at: datetime, *, same_live: bool, now: datetime) -> Answer:
    """What a preflight says now: unknown where it is old, or was made against something that is no longer live."""
    if not same_live or now - looked_at > LOOKED_AT_WITHIN or answer not in set(Answer):
        return Answer.UNKNOWN
    return Answer(answer)


def _yes(met: bool) -> State:
    return State.YES if met else State.NO


@dataclass(frozen=True)
class Named:
    """A bundle, as people call it. `ref` is none for an imported one, which has no page."""

    application: str
    label: str
    ref: BundleRef | None


@dataclass(frozen=True)
class Month:
    """One point of a trend. A value of none is a gap, not a zero."""

    first: date
    value: float | None


@dataclass(frozen=True)
class Timed:
    """Something that happened to a bundle, and how long it took."""

    bundle: Named
    at: datetime
    duration: timedelta


@dataclass(frozen=True)
class LeadTime:
    median: Value
    largest: LedgerPart | None
    share: float | None
    rows: tuple[Timed, ...]
    trend: tuple[Month, ...]

    @property
    def state(self) -> State:
        """Half of the model versions are live within the limit; too few of them say nothing."""
        if self.median.value is None or self.median.too_few:
            return State.UNKNOWN
        return _yes(timedelta(hours=self.median.value) <= LEAD_LIMIT)


@dataclass(frozen=True)
class Caught:
    bundle: Named
    gate: str
    stage: str
    at: datetime
    summary: str


@dataclass(frozen=True)
class Columns:
    """Of the data of what is live: how many columns a schema gate knew, of how many there are."""

    bundle: Named
    covered: int
    found: int


@dataclass(frozen=True)
class Tests:
    """Bundles that first arrived in production, without imported ones, whose gates ran elsewhere."""

    arrived: int
    tested: int
    passed: Mapping[str, int]
    imported: int
    columns: tuple[Columns, ...]
    last_caught: Caught | None
    trend: tuple[Month, ...]

    @property
    def state(self) -> State:
        """Of enough bundles that arrived in production, enough had data that passed both kinds of gate."""
        if self.arrived < LEAST_TO_JUDGE:
            return State.UNKNOWN
        return _yes(self.tested / self.arrived >= TESTED_LIMIT)


@dataclass(frozen=True)
class Practised:
    application: str
    stage: str
    at: datetime
    back: timedelta | None
    outcome: str


@dataclass(frozen=True)
class Target:
    """Where one would go back to from what is live. `target` is none where there is nothing, or nobody looked yet."""

    live: Named
    target: Named | None
    answer: Answer
    looked_at: datetime | None


@dataclass(frozen=True)
class WayBack:
    rollbacks: Value
    failed: int
    rows: tuple[Timed, ...]
    drills: tuple[Practised, ...]
    last_tried: datetime | None
    targets: tuple[Target, ...]
    trend: tuple[Month, ...]

    @property
    def durations(self) -> list[timedelta]:
        """Of everything that was tried, real or practised."""
        real = [timedelta(hours=sample.value) for sample in self.rollbacks.samples]
        return real + [drill.back for drill in self.drills if drill.back is not None]

    @property
    def state(self) -> State:
        """No: one took too long or failed, or a target is unsafe. Yes: tried lately, and all targets are safe."""
        answers = [target.answer for target in self.targets]
        if self.failed or any(one > ROLLBACK_LIMIT for one in self.durations) or Answer.UNSAFE in answers:
            return State.NO
        old = self.last_tried is None or self.rollbacks.as_of - self.last_tried > TRIED_WITHIN
        return State.UNKNOWN if old or not answers or Answer.UNKNOWN in answers else State.YES


@dataclass(frozen=True)
class Recorded:
    """What served at the end of last month, and which parts of its making are on record."""

    bundle: Named
    gaps: tuple[str, ...]
    known: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not self.gaps and not self.missing


@dataclass(frozen=True)
class Reproducible:
    month: date
    bundles: tuple[Recorded, ...]
    trend: tuple[Month, ...]

    @property
    def state(self) -> State:
        """No where a part of a record is missing. A whole record is no proof: no model has been made again yet."""
        return State.UNKNOWN if all(one.complete for one in self.bundles) else State.NO


@dataclass(frozen=True)
class Holding:
    fail_rate: Value
    rework: Value
    still_failing: int
    failed: int
    catch_rate: Value
    last_incident: datetime | None
    incidents_are_reported: bool
    trend: tuple[Month, ...]

    @property
    def state(self) -> State:
        """Both rates are known, and at most the limits. “Nothing failed” and “nobody reports” are different answers."""
        fail_rate, rework = self.fail_rate.value, self.rework.value
        if not self.incidents_are_reported or fail_rate is None or rework is None or self.fail_rate.too_few:
            return State.UNKNOWN
        return _yes(fail_rate <= FAIL_LIMIT and rework <= REWORK_LIMIT)
